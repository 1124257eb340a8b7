//! Refusals as the apiserver itself writes them (`k8s.io/apimachinery/pkg/api/errors`), so that
//! clients print them as they print the errors of the schema.
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

/// How many causes an answer names.
const MOST_CAUSES: usize = 100;
/// In characters. Rules keep their findings shorter; this is for what they quote.
const LONGEST_CAUSE: usize = 1000;

/// 422: the object breaks rules.
pub(crate) fn invalid(name: &str, violations: &[Violation]) -> Status {
    let causes = violations
        .iter()
        .take(MOST_CAUSES)
        .map(|violation| cause(violation.cause.reason(), &violation.field, &violation.detail()));
    let mut causes: Vec<StatusCause> = causes.collect();
    if let Some(more) = violations.len().checked_sub(MOST_CAUSES).filter(|more| *more > 0) {
        causes.push(cause("FieldValueInvalid", "spec", &format!("and {more} more findings")));
    }
    unprocessable(name, causes)
}

/// 422: the object cannot be read.
pub(crate) fn mistyped(name: &str, error: &TypeError) -> Status {
    unprocessable(
        name,
        vec![cause("FieldValueTypeInvalid", &error.field, &format!("Invalid value: {}", error.message))],
    )
}

/// 403: such an object may not be.
pub(crate) fn forbidden(name: &str, message: String) -> Status {
    failure(403, "Forbidden", message, Some(details(RESOURCE, name)))
}

/// 400: the request makes no sense.
pub(crate) fn bad_request(message: String) -> Status {
    failure(400, "BadRequest", message, None)
}

fn unprocessable(name: &str, causes: Vec<StatusCause>) -> Status {
    let message = format!("{KIND}.{GROUP} {name:?} is invalid: {}", aggregate(&causes));
    failure(422, "Invalid", message, Some(StatusDetails { causes: Some(causes), ..details(KIND, name) }))
}

/// The list as Go's `Aggregate` prints it: each finding once, in brackets when there are several.
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
        message: Some(limited(message, LONGEST_CAUSE)),
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
    fn one_finding_stands_without_brackets() {
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
    fn several_findings_stand_in_brackets_each_once() {
        let forbidden = Violation::forbidden("spec.b", ViolationClass::Policy, "remove it");
        let status = invalid("n", &[violation("spec.a", 2), forbidden, violation("spec.a", 2)]);
        let expected = r#"NATS.operator.kyma-project.io "n" is invalid: [spec.a: Invalid value: 2: no good, spec.b: Forbidden: remove it]"#;
        assert_eq!(status.message.unwrap(), expected);
        let twice = invalid("n", &[violation("spec.a", 2), violation("spec.a", 2)]);
        assert!(twice.message.unwrap().ends_with("invalid: spec.a: Invalid value: 2: no good"));
    }

    #[test]
    fn many_findings_are_counted() {
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
