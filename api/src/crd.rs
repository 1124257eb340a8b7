//! The CustomResourceDefinition, generated from the types.

use std::collections::BTreeMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool, ValidationRule,
};
use kube::CustomResourceExt;

use crate::resource::{Nats, NatsSpec, message};

/// The name of the definition.
pub const NAME: &str = "nats.operator.kyma-project.io";

/// The definition to install.
pub fn definition() -> CustomResourceDefinition {
    let mut crd = Nats::crd();
    for version in &mut crd.spec.versions {
        if let Some(root) = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut()) {
            complete_root(root);
            each_schema(root, &mut unfold);
        }
    }
    crd
}

/// A resource without a spec gets the defaults too.
fn complete_root(root: &mut JSONSchemaProps) {
    root.required = None;
    root.x_kubernetes_validations = Some(vec![not_back_to_one()]);
    if let Some(spec) = root.properties.as_mut().and_then(|fields| fields.get_mut("spec")) {
        spec.default = serde_json::to_value(NatsSpec::default()).ok().map(JSON);
        each_schema(spec, &mut refuse_null);
    }
}

/// Builds the rule against a change from a cluster to a single server. It is at the root, which sees the status: a
/// change from one server to several can be taken back until the servers' configuration is built for several
/// (`status.members`). Only the manager can write the status.
fn not_back_to_one() -> ValidationRule {
    let is_standalone = "has(self.status) && has(self.status.members) && self.status.members == 1";
    ValidationRule {
        rule: format!("!(oldSelf.spec.cluster.size > 1 && self.spec.cluster.size == 1) || ({is_standalone})"),
        message: Some(message::NOT_BACK_TO_ONE.to_owned()),
        field_path: Some(".spec.cluster.size".to_owned()),
        ..ValidationRule::default()
    }
}

/// Comments are folded for who reads the sources; `kubectl explain` folds for its terminal, and keeps what
/// is folded already. A schema's title is its Rust type, which is nobody's business.
fn unfold(schema: &mut JSONSchemaProps) {
    schema.title = None;
    if let Some(description) = &mut schema.description {
        let paragraphs: Vec<String> = description.split("\n\n").map(|text| text.replace('\n', " ")).collect();
        *description = paragraphs.join("\n\n");
    }
}

/// kube makes int-or-string fields nullable. Where a field is not, the apiserver takes `null` for
/// absent and fills in the default; where it is, `null` would be stored, and CEL fails on it.
fn refuse_null(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
}

/// Changes a schema and every one in it.
fn each_schema(schema: &mut JSONSchemaProps, change: &mut impl FnMut(&mut JSONSchemaProps)) {
    change(schema);
    for field in schema.properties.iter_mut().flat_map(BTreeMap::values_mut) {
        each_schema(field, change);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(entries)) = &mut schema.additional_properties {
        each_schema(entries, change);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        each_schema(items, change);
    }
}
