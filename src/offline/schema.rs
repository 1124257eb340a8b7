//! Validation against the schema of the CRD: types and unknown fields, as the apiserver handles them.
//!
//! Bounds, patterns and CEL rules are not evaluated: the rules of the API cover them, and more.

use std::collections::BTreeMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use serde_json::{Map, Value};

/// Upper bound in bytes for a value that a finding quotes.
const LONGEST_VALUE: usize = 64;

/// Deviations from the schema.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct SchemaErrors {
    /// Values of a wrong type, each with its field path. The apiserver would reject them.
    pub(super) types: Vec<String>,
    /// Paths of unknown fields. The apiserver would drop them.
    pub(super) unknown: Vec<String>,
}

/// Checks `value`, the value at `path`. Removes nulls and unknown fields, as the apiserver does before it stores the
/// rest.
pub(super) fn check(value: &mut Value, schema: &JSONSchemaProps, path: &str, errors: &mut SchemaErrors) {
    if !is_of_type(value, schema) {
        let expected = if is_int_or_string(schema) { "integer or string" } else { type_of(schema) };
        let text = value.to_string();
        let shown = if text.len() > LONGEST_VALUE { String::new() } else { format!(" {text}:") };
        errors.types.push(format!("{path}: Invalid value:{shown} must be of type {expected}"));
        return;
    }
    match value {
        Value::Object(fields) => check_fields(fields, schema, path, errors),
        Value::Array(items) => {
            let Some(JSONSchemaPropsOrArray::Schema(item_schema)) = &schema.items else { return };
            for (index, item) in items.iter_mut().enumerate() {
                check(item, item_schema, &format!("{path}[{index}]"), errors);
            }
        }
        _ => {}
    }
}

fn check_fields(fields: &mut Map<String, Value>, schema: &JSONSchemaProps, path: &str, errors: &mut SchemaErrors) {
    let none = BTreeMap::new();
    let known = schema.properties.as_ref().unwrap_or(&none);
    let entries = match &schema.additional_properties {
        Some(JSONSchemaPropsOrBool::Schema(entries)) => Some(entries.as_ref()),
        _ => None,
    };
    fields.retain(|key, value| {
        // The apiserver drops null where it is not allowed, before it checks types
        // (<https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#defaulting-and-nullable>).
        let field = known.get(key).or(entries);
        if value.is_null() && field.is_some_and(|field| field.nullable != Some(true)) {
            return false;
        }
        if let Some(field) = known.get(key) {
            check(value, field, &format!("{path}.{key}"), errors);
            return true;
        }
        match entries {
            // The notation of the rules for such an entry.
            Some(entry) if is_int_or_string(entry) => check(value, entry, &format!("{path}.{key}"), errors),
            Some(entry) => check(value, entry, &format!("{path}[{key}]"), errors),
            None => errors.unknown.push(format!("{path}.{key}")),
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
