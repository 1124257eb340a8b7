//! Rules on selectors of labels.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::{Checked, check_choice, check_key, check_value, each, invalid};
use crate::rules::path::FieldPath;

pub(super) fn check(field: FieldPath<'_>, selector: &LabelSelector) -> Checked {
    for (key, value) in selector.match_labels.iter().flatten() {
        check_key(field.child("matchLabels"), key)?;
        check_value(field.child("matchLabels"), value)?;
    }
    let expressions = selector.match_expressions.as_deref().unwrap_or_default();
    each(field.child("matchExpressions"), expressions, |field, requirement| {
        let values = requirement.values.as_deref().unwrap_or_default();
        check_key(field.child("key"), &requirement.key)?;
        check_choice(field.child("operator"), &requirement.operator, &["In", "NotIn", "Exists", "DoesNotExist"])?;
        check_values(field, &requirement.operator, values)?;
        values.iter().try_for_each(|value| check_value(field.child("values"), value))
    })
}

/// Checks the operator of a requirement on a node, with its values.
pub(super) fn check_node_operator(field: FieldPath<'_>, operator: &str, values: &[String]) -> Checked {
    check_choice(field.child("operator"), operator, &["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"])?;
    check_values(field, operator, values)
}

fn check_values(field: FieldPath<'_>, operator: &str, values: &[String]) -> Checked {
    let message = match (operator, values.len()) {
        ("In" | "NotIn", 0) => "must have a value when `operator` is 'In' or 'NotIn'",
        ("Exists" | "DoesNotExist", 1..) => "must be empty when `operator` is 'Exists' or 'DoesNotExist'",
        ("Gt" | "Lt", 0 | 2..) => "must be one value when `operator` is 'Gt' or 'Lt'",
        _ => return Ok(()),
    };
    invalid(field.child("values"), values.first().map_or("", String::as_str), message)
}
