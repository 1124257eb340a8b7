//! A value against the schema of the CRD: types and unknown fields, as the apiserver sees them.
//!
//! Bounds, patterns and CEL are not asked: the rules of the API say the same, and say more.

use std::collections::BTreeMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use serde_json::{Map, Value};

/// Values that are longer are not repeated.
const LONGEST_VALUE: usize = 64;

/// What does not fit.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct SchemaErrors {
    /// Values of another type, each with its field path: they would be refused.
    pub(super) types: Vec<String>,
    /// The paths of fields that nobody knows: they would be dropped.
    pub(super) unknown: Vec<String>,
}

/// Checks `value`, which stands at `path`. Nulls and unknown fields are taken out, as the apiserver
/// does before it stores the rest.
pub(super) fn check(value: &mut Value, schema: &JSONSchemaProps, path: &str, misfits: &mut SchemaErrors) {
    if !is_of_type(value, schema) {
        let wanted = if is_int_or_string(schema) { "integer or string" } else { type_of(schema) };
        let text = value.to_string();
        let shown = if text.len() > LONGEST_VALUE { String::new() } else { format!(" {text}:") };
        misfits.types.push(format!("{path}: Invalid value:{shown} must be of type {wanted}"));
        return;
    }
    match value {
        Value::Object(fields) => check_fields(fields, schema, path, misfits),
        Value::Array(items) => {
            let Some(JSONSchemaPropsOrArray::Schema(item_schema)) = &schema.items else { return };
            for (index, item) in items.iter_mut().enumerate() {
                check(item, item_schema, &format!("{path}[{index}]"), misfits);
            }
        }
        _ => {}
    }
}

fn check_fields(fields: &mut Map<String, Value>, schema: &JSONSchemaProps, path: &str, misfits: &mut SchemaErrors) {
    let none = BTreeMap::new();
    let known = schema.properties.as_ref().unwrap_or(&none);
    let entries = match &schema.additional_properties {
        Some(JSONSchemaPropsOrBool::Schema(entries)) => Some(entries.as_ref()),
        _ => None,
    };
    fields.retain(|key, value| {
        // The apiserver drops null where it is not allowed, before it looks at types
        // (<https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#defaulting-and-nullable>).
        let field = known.get(key).or(entries);
        if value.is_null() && field.is_some_and(|field| field.nullable != Some(true)) {
            return false;
        }
        if let Some(field) = known.get(key) {
            check(value, field, &format!("{path}.{key}"), misfits);
            return true;
        }
        match entries {
            // As the rules write it.
            Some(entry) if is_int_or_string(entry) => check(value, entry, &format!("{path}.{key}"), misfits),
            Some(entry) => check(value, entry, &format!("{path}[{key}]"), misfits),
            None => misfits.unknown.push(format!("{path}.{key}")),
        }
        entries.is_some()
    });
}

fn is_of_type(value: &Value, schema: &JSONSchemaProps) -> bool {
    let is_integer = value.is_i64() || value.is_u64();
    if is_int_or_string(schema) {
        return is_integer || value.is_string();
    }
    match type_of(schema) {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => is_integer,
        "number" => value.is_number(),
        _ => true,
    }
}

fn is_int_or_string(schema: &JSONSchemaProps) -> bool {
    schema.x_kubernetes_int_or_string == Some(true)
}

fn type_of(schema: &JSONSchemaProps) -> &str {
    schema.type_.as_deref().unwrap_or_default()
}
