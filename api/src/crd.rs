//! The CustomResourceDefinition, generated from the types.

use std::collections::BTreeMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps,
};
use kube::CustomResourceExt;

use crate::resource::{Nats, NatsSpec};

/// The name of the definition.
pub const NAME: &str = "nats.operator.kyma-project.io";

/// The definition to install.
pub fn definition() -> CustomResourceDefinition {
    let mut crd = Nats::crd();
    for version in &mut crd.spec.versions {
        if let Some(root) = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut()) {
            complete_root(root);
        }
    }
    crd
}

/// A resource without a spec gets the defaults too.
fn complete_root(root: &mut JSONSchemaProps) {
    root.required = None;
    if let Some(spec) = root.properties.as_mut().and_then(|fields| fields.get_mut("spec")) {
        spec.default = serde_json::to_value(NatsSpec::default()).ok().map(JSON);
        refuse_nulls(spec);
    }
}

/// kube makes int-or-string fields nullable. Where a field is not, the apiserver takes `null` for
/// absent and fills in the default; where it is, `null` would be stored, and CEL fails on it.
fn refuse_nulls(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    for field in schema.properties.iter_mut().flat_map(BTreeMap::values_mut) {
        refuse_nulls(field);
    }
}
