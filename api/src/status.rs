//! The status of a NATS resource: what Eventing, the Kyma lifecycle manager and users read.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What NATS Manager sees of the cluster. Read tolerantly: whatever an older manager stored.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NatsStatus {
    /// Ready, Processing, Warning, Error or Deleting.
    pub state: String,
    /// The address of the NATS servers inside the cluster; empty until they were ready.
    pub url: String,
    /// In how many availability zones the NATS servers run.
    pub availability_zones_used: i64,
    /// The state in detail.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// The generation of the resource that this status tells of.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i64", extend("default" = null))]
    pub observed_generation: Option<i64>,
    /// Whether a NATS server of this resource ever started: from then on there may be data. Absent:
    /// not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool", extend("default" = null))]
    pub servers_started: Option<bool>,
}

/// The state of the module, as the Kyma lifecycle manager reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It works.
    Ready,
    /// It is being deployed.
    Processing,
    /// It works, or waits, and somebody should look.
    Warning,
    /// It cannot be deployed as it stands.
    Error,
    /// It is being deleted.
    Deleting,
}

/// The types of conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionType {
    /// NATS can be used.
    Available,
    /// The StatefulSet is as wanted.
    StatefulSet,
    /// The servers are spread over enough availability zones.
    AvailabilityZones,
    /// The deletion goes on.
    Deleted,
    /// A change of the spec is carried out; false while one is held.
    Progressing,
}

/// The reasons of conditions and events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the contract's and say all there is")]
pub enum Reason {
    Processing,
    Deploying,
    Deployed,
    Deleting,
    FailedProcessing,
    Forbidden,
    Available,
    Pending,
    FailedToSyncResources,
    InvalidManifests,
    DeletionError,
    NotConfigured,
    Unknown,
    /// A change waits until it can be made without loss of data.
    Held,
    /// The spec breaks a policy that its admission would refuse today.
    PolicyViolated,
}

/// The variants' names are the words that are written.
macro_rules! words {
    ($($name:ty),+) => {$(
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Debug::fmt(self, f)
            }
        }
    )+};
}
words!(State, ConditionType, Reason);

impl NatsStatus {
    /// The condition of this type, if it was ever set.
    pub fn condition(&self, kind: ConditionType) -> Option<&Condition> {
        let kind = kind.to_string();
        self.conditions.iter().find(|condition| condition.type_ == kind)
    }
}
