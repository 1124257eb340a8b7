//! The CustomResourceDefinition, generated from the types.

use std::collections::BTreeMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool, ValidationRule,
};
use kube::CustomResourceExt;

use crate::resource::{Nats, NatsSpec, message};

/// Name of the CustomResourceDefinition object.
pub const NAME: &str = "nats.operator.kyma-project.io";

/// Builds the CustomResourceDefinition to install.
pub fn definition() -> CustomResourceDefinition {
    let mut crd = Nats::crd();
    for version in &mut crd.spec.versions {
        if let Some(root) = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut()) {
            complete_root(root);
            each_schema(root, &mut clean_up);
        }
    }
    crd
}

/// Completes the root schema: a resource without a spec gets the defaults, no field of the spec accepts `null`, and the
/// rule that needs the status is added.
fn complete_root(root: &mut JSONSchemaProps) {
    root.required = None;
    root.x_kubernetes_validations = Some(vec![scale_down_to_one_rule()]);
    if let Some(spec) = root.properties.as_mut().and_then(|fields| fields.get_mut("spec")) {
        if let Some(scheduling) = spec.properties.as_mut().and_then(|fields| fields.get_mut("scheduling")) {
            for field in scheduling.properties.iter_mut().flat_map(BTreeMap::values_mut) {
                let own = field.description.clone();
                each_schema(field, &mut keep_first_sentence);
                field.description = own;
            }
        }
        spec.default = serde_json::to_value(NatsSpec::default()).ok().map(JSON);
        each_schema(spec, &mut forbid_null);
    }
}

/// Builds the rule against a change from a cluster to a single server. It is part of the root schema, because only
/// there a rule can read the status: a change from one server to several can be taken back until the servers'
/// configuration is built for several (`status.members`). Only the manager can write the status.
fn scale_down_to_one_rule() -> ValidationRule {
    let is_standalone = "has(self.status) && has(self.status.members) && self.status.members == 1";
    ValidationRule {
        rule: format!("!(oldSelf.spec.cluster.size > 1 && self.spec.cluster.size == 1) || ({is_standalone})"),
        message: Some(message::NOT_BACK_TO_ONE.to_owned()),
        field_path: Some(".spec.cluster.size".to_owned()),
        ..ValidationRule::default()
    }
}

/// Joins the lines of each paragraph of a description, and drops the title. `kubectl explain` wraps text for its
/// terminal and keeps existing line breaks. A title is the name of a Rust type, which means nothing to users.
fn clean_up(schema: &mut JSONSchemaProps) {
    schema.title = None;
    if let Some(description) = &mut schema.description {
        let paragraphs: Vec<String> = description.split("\n\n").map(|text| text.replace('\n', " ")).collect();
        *description = paragraphs.join("\n\n");
    }
}

/// Shortens the description of a field of Kubernetes to its first sentence: the complete texts would be most of the CRD.
fn keep_first_sentence(schema: &mut JSONSchemaProps) {
    if let Some(description) = &mut schema.description {
        let text = description.split_whitespace().collect::<Vec<_>>().join(" ");
        let end = text.find(". ").map_or(text.len(), |end| end + 1);
        description.clear();
        description.push_str(&text[..end]);
    }
}

/// Makes a field not nullable. kube makes int-or-string fields nullable. For a field that is not nullable, the
/// apiserver treats `null` as absent and fills in the default. For a nullable field, `null` would be stored, and CEL
/// fails on it.
fn forbid_null(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
}

/// Applies `change` to a schema and to every schema inside it.
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
