//! Errors of the apply stage: one for each child that could not be applied.

use std::fmt;

use crate::{controller::foreign_finalizers::is_of_kubernetes, error_message::summary};

/// Kind of the object that creates the servers, which has a condition of its own.
pub(super) const STATEFUL_SET: &str = "StatefulSet";

/// Message of the apiserver for a JSON patch whose test failed, or that names a missing field. The object is not
/// validated then.
const PATCH_NOT_APPLICABLE: &str = "the server rejected our request due to an error in our request";

/// Failure to apply one child.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApplyError {
    /// An object of that name with another controller.
    #[error(
        "{kind} {name} belongs to {owner} and is not taken over; delete it, or remove its owner reference, to let NATS Manager create its own"
    )]
    Foreign {
        kind: &'static str,
        name: String,
        /// Kind and name of its controller.
        owner: String,
    },
    /// An object of a deleted resource of the same name. The garbage collector removes it soon.
    #[error("{kind} {name} of the deleted NATS resource is not gone yet")]
    Leftover { kind: &'static str, name: String },
    /// An object that is replaced, and is still there.
    #[error("{kind} {name} is being deleted and waits for its finalizers: {finalizers}")]
    Terminating { kind: &'static str, name: String, finalizers: String },
    /// An object that selects other Pods or has other PVCs, which NATS Manager does not replace.
    #[error(
        "{kind} {name} cannot be changed: {fields} is immutable and differs; move its data, and delete it, to let NATS Manager create its own"
    )]
    Immutable { kind: &'static str, name: String, fields: String },
    /// An object whose field another client sets again after each correction.
    #[error(
        "{kind} {name}: the field manager {manager} sets {field} again after each correction; stop that client. NATS Manager corrects it once a minute, and carries out no action on servers meanwhile"
    )]
    Contested { kind: &'static str, name: String, field: String, manager: String },
    /// A request that the apiserver rejected or did not answer.
    #[error("cannot apply {kind} {name}: {}", summary(cause))]
    Rejected { kind: &'static str, name: String, cause: kube::Error },
    /// An attempt that failed a moment ago, and is not repeated yet.
    #[error("{message}")]
    Pending { kind: &'static str, message: String },
    /// An object of ours that cannot be serialized, which is a bug in NATS Manager.
    #[error("cannot serialize {kind}: {cause}")]
    Serialize { kind: &'static str, cause: serde_json::Error },
}

/// Failures of one apply stage, at least one.
#[derive(Debug)]
pub(crate) struct ApplyErrors(Vec<ApplyError>);

impl ApplyError {
    pub(super) fn kind(&self) -> &'static str {
        let (Self::Foreign { kind, .. }
        | Self::Leftover { kind, .. }
        | Self::Terminating { kind, .. }
        | Self::Immutable { kind, .. }
        | Self::Contested { kind, .. }
        | Self::Rejected { kind, .. }
        | Self::Pending { kind, .. }
        | Self::Serialize { kind, .. }) = self;
        kind
    }

    /// Returns whether the apiserver does not serve the kind (404), or accepts no more objects of it (405).
    pub(super) fn is_kind_not_served(&self) -> bool {
        matches!(self, Self::Rejected { cause: kube::Error::Api(status), .. } if matches!(status.code, 404 | 405))
    }

    /// Returns whether a retry is expected to succeed: another client wrote at the same time, or an object is not gone
    /// yet.
    pub(super) fn is_conflict(&self) -> bool {
        match self {
            Self::Leftover { .. } => true,
            // Kubernetes removes its own finalizers soon. Those of others may stay, and must not delay the servers.
            Self::Terminating { finalizers, .. } => finalizers.split(", ").all(is_of_kubernetes),
            Self::Rejected { cause: kube::Error::Api(status), .. } => {
                status.code == 409 || (status.code == 422 && status.message == PATCH_NOT_APPLICABLE)
            }
            _ => false,
        }
    }
}

impl ApplyErrors {
    /// Wraps the failures. `None` if there are none.
    pub(crate) fn of(errors: Vec<ApplyError>) -> Option<Self> {
        (!errors.is_empty()).then_some(Self(errors))
    }

    /// Returns whether the StatefulSet is one of the objects.
    pub(crate) fn has_stateful_set(&self) -> bool {
        self.has(STATEFUL_SET)
    }

    /// Returns whether the StatefulSet, or an object that its Pods mount, is one of the objects. Then no action on
    /// servers is carried out.
    pub(super) fn has_server_object(&self) -> bool {
        [STATEFUL_SET, "ConfigMap", "Secret"].into_iter().any(|kind| self.has(kind))
    }

    /// Returns whether a retry is expected to succeed for each object.
    pub(crate) fn is_conflict(&self) -> bool {
        self.0.iter().all(ApplyError::is_conflict)
    }

    /// Returns whether an object was tried, and not only one that failed a moment ago.
    pub(crate) fn has_attempt(&self) -> bool {
        self.0.iter().any(|error| !matches!(error, ApplyError::Pending { .. }))
    }

    fn has(&self, kind: &str) -> bool {
        self.0.iter().any(|error| error.kind() == kind)
    }
}

impl fmt::Display for ApplyErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&all.join("; "))
    }
}

impl std::error::Error for ApplyErrors {}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::Status;

    #[test]
    fn stale_patch_is_a_conflict_and_an_invalid_object_is_not() {
        for (is_conflict, code, message) in [
            (true, 409, "the object has been modified"),
            (true, 422, PATCH_NOT_APPLICABLE),
            (false, 422, "StatefulSet.apps \"n\" is invalid: spec.replicas: Invalid value: -1"),
            (false, 403, "forbidden"),
        ] {
            let status = Status { code, message: message.to_owned(), ..Status::default() };
            let cause = kube::Error::Api(Box::new(status));
            let error = ApplyError::Rejected { kind: "StatefulSet", name: "n".to_owned(), cause };
            assert_eq!(error.is_conflict(), is_conflict, "{message}");
        }
    }
}
