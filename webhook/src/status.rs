//! Rejections as the apiserver writes them (`k8s.io/apimachinery/pkg/api/errors`), so that clients print them like
//! errors of the schema.
//!
//! The apiserver keeps code, reason and details of a webhook's Status and puts the webhook's name
//! before the message. kubectl prints the causes of an invalid object, and the message otherwise.

use std::collections::HashSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Status, StatusCause, StatusDetails};
use nats_manager_api::rules::Violation;

use crate::{object::TypeError, text::limited};

pub(crate) const GROUP: &str = "operator.kyma-project.io";
pub(crate) const KIND: &str = "NATS";
const RESOURCE: &str = "nats";

/// Upper bound for the causes in one response.
const MAX_CAUSES: usize = 100;
/// Upper bound for one cause, in characters. The rules keep their findings shorter. The bound is for the values that
/// they quote.
const MAX_CAUSE_CHARS: usize = 1000;

/// Builds a 422 for an object that breaks rules.
pub(crate) fn invalid(name: &str, violations: &[Violation]) -> Status {
    let causes = violations
        .iter()
        .take(MAX_CAUSES)
        .map(|violation| cause(violation.cause.reason(), &violation.field, &violation.detail()));
    let mut causes: Vec<StatusCause> = causes.collect();
    if let Some(more) = violations.len().checked_sub(MAX_CAUSES).filter(|more| *more > 0) {
        causes.push(cause("FieldValueInvalid", "spec", &format!("and {more} more findings")));
    }
    unprocessable(name, causes)
}

/// Builds a 422 for an object that is unreadable.
pub(crate) fn mistyped(name: &str, error: &TypeError) -> Status {
    unprocessable(
        name,
        vec![cause("FieldValueTypeInvalid", &error.field, &format!("Invalid value: {}", error.message))],
    )
}

/// Builds a 403 for an object that must not be created.
pub(crate) fn forbidden(name: &str, message: String) -> Status {
    failure(403, "Forbidden", message, Some(details(RESOURCE, name)))
}

/// Builds a 503 for a request that depends on an object which is not cached yet.
pub(crate) fn unavailable(name: &str) -> Status {
    let message = format!("{RESOURCE} {name:?} is not known to NATS Manager yet; try again in some seconds");
    failure(503, "ServiceUnavailable", message, Some(details(RESOURCE, name)))
}

/// Builds a 400 for a request that is malformed.
pub(crate) fn bad_request(message: String) -> Status {
    failure(400, "BadRequest", message, None)
}

fn unprocessable(name: &str, causes: Vec<StatusCause>) -> Status {
    let message = format!("{KIND}.{GROUP} {name:?} is invalid: {}", aggregate(&causes));
    failure(422, "Invalid", message, Some(StatusDetails { causes: Some(causes), ..details(KIND, name) }))
}

/// Joins the causes as Go's `Aggregate` prints them: each finding once, in brackets if there are several.
fn aggregate(causes: &[StatusCause]) -> String {
    let text = |cause: &StatusCause| {
        format!("{}: {}", cause.field.as_deref().unwrap_or_default(), cause.message.as_deref().unwrap_or_default())
    };
    let mut seen = HashSet::new();
    let mut all: Vec<String> = causes.iter().map(text).filter(|text| seen.insert(text.clone())).collect();
    match all.len() {
        0 | 1 => all.pop().unwrap_or_default(),
        _ => format!("[{}]", all.join(", ")),
    }
}

fn cause(reason: &str, field: &str, message: &str) -> StatusCause {
    StatusCause {
        reason: Some(reason.to_owned()),
        field: Some(field.to_owned()),
        message: Some(limited(message, MAX_CAUSE_CHARS).into_owned()),
    }
}

fn details(kind: &str, name: &str) -> StatusDetails {
    StatusDetails {
        group: Some(GROUP.to_owned()),
        kind: Some(kind.to_owned()),
        name: Some(name.to_owned()),
        ..StatusDetails::default()
    }
}

fn failure(code: i32, reason: &str, message: String, details: Option<StatusDetails>) -> Status {
    Status {
        code: Some(code),
        reason: Some(reason.to_owned()),
        status: Some("Failure".to_owned()),
        message: Some(message),
        details,
        ..Status::default()
    }
}

#[cfg(test)]
mod tests {
    use nats_manager_api::rules::ViolationClass;
    use serde_json::json;

    use super::*;

    fn violation(field: &str, value: i64) -> Violation {
        Violation::invalid(field, ViolationClass::Policy, value, "no good")
    }

    #[test]
    fn single_finding_has_no_brackets() {
        assert_eq!(
            serde_json::to_value(invalid("n", &[violation("spec.a", 2)])).unwrap(),
            json!({
                "apiVersion": "v1",
                "kind": "Status",
                "metadata": {},
                "status": "Failure",
                "code": 422,
                "reason": "Invalid",
                "message": r#"NATS.operator.kyma-project.io "n" is invalid: spec.a: Invalid value: 2: no good"#,
                "details": {
                    "group": "operator.kyma-project.io",
                    "kind": "NATS",
                    "name": "n",
                    "causes": [{"reason": "FieldValueInvalid", "field": "spec.a", "message": "Invalid value: 2: no good"}],
                },
            })
        );
    }

    #[test]
    fn several_findings_are_bracketed_without_duplicates() {
        let forbidden = Violation::forbidden("spec.b", ViolationClass::Policy, "remove it");
        let status = invalid("n", &[violation("spec.a", 2), forbidden, violation("spec.a", 2)]);
        let expected = r#"NATS.operator.kyma-project.io "n" is invalid: [spec.a: Invalid value: 2: no good, spec.b: Forbidden: remove it]"#;
        assert_eq!(status.message.unwrap(), expected);
        let twice = invalid("n", &[violation("spec.a", 2), violation("spec.a", 2)]);
        assert!(twice.message.unwrap().ends_with("invalid: spec.a: Invalid value: 2: no good"));
    }

    #[test]
    fn findings_beyond_limit_are_counted() {
        let many = |count: i64| -> Vec<StatusCause> {
            let all: Vec<Violation> = (0..count).map(|n| violation("spec.a", n)).collect();
            invalid("n", &all).details.unwrap().causes.unwrap()
        };
        assert_eq!(many(100).len(), 100);
        let causes = many(123);
        assert_eq!(causes.len(), 101);
        assert_eq!(causes[100].message.as_deref(), Some("and 23 more findings"));
    }
}
