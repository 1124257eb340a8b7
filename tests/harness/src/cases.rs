//! The table `api/tests/cases.yaml`, on which the rules, the CEL of the CRD, the apiserver and the webhook must agree.

use kube::core::response::StatusCause;
use nats_manager_api::JetStreamStatus;
use serde::Deserialize;
use serde_json::Value;

/// A creation or an update of a NATS resource, with its expected rejections.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Description, for failure messages.
    pub name: String,
    /// Spec before the update; absent for a creation.
    pub old: Option<Value>,
    /// `status.jetStream` of the old resource. Fields that the table omits have their defaults.
    pub holds: Option<JetStreamStatus>,
    /// `status.members` of the old resource.
    pub members: Option<u32>,
    /// Spec of the creation, or after the update.
    pub new: Value,
    /// All rejections; empty if the change is accepted.
    #[serde(default)]
    pub rejected: Vec<Rejection>,
    /// `past the floor` if the CRD rejects the old spec as a creation, because it was stored before the rule existed.
    pub stored: Option<String>,
}

/// Violation of a rule, as the rules and the CRD report it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Rejection {
    /// Path that the rules report. The CRD reports it or a parent.
    pub field: String,
    /// Part of the message of the rules.
    pub message: String,
    /// Part that rejects the change without the webhook; absent if none does.
    pub floor: Option<Floor>,
    /// Message of the CRD, if it differs from that of the rules.
    pub floor_message: Option<String>,
}

/// Part that validates without the webhook.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum Floor {
    /// A CEL rule.
    Cel,
    /// The structural schema: type, range or pattern.
    Schema,
    /// The ValidatingAdmissionPolicy, which reports one rejection, and only if the CRD reports none.
    Policy,
}

impl Rejection {
    /// Returns the message of the CRD.
    pub fn floor_message(&self) -> &str {
        self.floor_message.as_ref().unwrap_or(&self.message)
    }

    /// Returns whether `reported` is the field of the rejection or a parent.
    pub fn is_at_or_below(&self, reported: &str) -> bool {
        self.field.strip_prefix(reported).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }

    /// Returns whether the cause is the rejection as the rules report it.
    pub fn is_reported_by_rules(&self, cause: &StatusCause) -> bool {
        self.field == cause.field && cause.message.contains(&self.message)
    }

    /// Returns whether the cause is the rejection as the CRD reports it.
    pub fn is_reported_by_floor(&self, cause: &StatusCause) -> bool {
        self.is_at_or_below(&cause.field) && cause.message.contains(self.floor_message())
    }
}

/// Returns a line for each expected rejection that is not among the causes.
pub fn unreported(
    expected: &[&Rejection],
    causes: &[StatusCause],
    is_reported: impl Fn(&Rejection, &StatusCause) -> bool,
) -> Vec<String> {
    let is_missing = |rejection: &&&Rejection| !causes.iter().any(|cause| is_reported(rejection, cause));
    let line = |rejection: &&Rejection| format!("{}: {} is not among {causes:?}", rejection.field, rejection.message);
    expected.iter().filter(is_missing).map(line).collect()
}

/// Parses the table.
///
/// # Panics
/// If it has an unknown field, or no name or new spec.
#[expect(clippy::unwrap_used, reason = "the functions that tests share are tests too")]
pub fn cases() -> Vec<Case> {
    serde_saphyr::from_str(include_str!("../../../api/tests/cases.yaml")).unwrap()
}
