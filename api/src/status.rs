//! The status of a NATS resource: what Eventing, the Kyma lifecycle manager and users read.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

// Read tolerantly: whatever an older manager stored.
/// What NATS Manager sees of the cluster.
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
    /// What JetStream holds, as far as the admission webhook needs to know it. Absent until the
    /// servers were asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "JetStreamStatus", extend("default" = null))]
    pub jet_stream: Option<JetStreamStatus>,
}

/// What JetStream holds: enough to refuse a change that would lose data without asking it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct JetStreamStatus {
    /// Whether there is any stream.
    pub streams: bool,
    /// Whether a deletion would wait: there is a stream other than Eventing's, or a consumer.
    pub customer_data: bool,
    /// The highest number of replicas that a stream has; 0 without streams.
    pub highest_replicas: u32,
    /// How full the fullest server's file store is: `Healthy`, `NearlyFull`, `Full` or `Unknown`.
    pub storage: String,
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

impl State {
    /// Each of them.
    pub const ALL: [Self; 5] = [Self::Ready, Self::Processing, Self::Warning, Self::Error, Self::Deleting];
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
    /// A change is carried out; false while one is held.
    Progressing,
    /// The servers have room for messages.
    Storage,
    /// JetStream is whole: its servers, its leader, and every copy of every stream.
    JetStream,
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
    /// A change goes on, and waits for something.
    Waiting,
    Healthy,
    NearlyFull,
    Full,
    /// Too few servers answer for JetStream to accept messages.
    QuorumLost,
    /// A server does not answer.
    ServerUnreachable,
    /// A server runs, but JetStream's meta group does not know it.
    ServerMissing,
    /// A server's pod hangs on a node that is gone.
    ServerStuck,
    /// A server switched JetStream off, mostly since its volume was full.
    ServerDisabled,
    /// A copy of a stream or consumer does not catch up.
    ReplicaBehind,
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

    /// Whether the condition of this type is true.
    pub fn holds(&self, kind: ConditionType) -> bool {
        self.condition(kind).is_some_and(|condition| condition.status == "True")
    }
}
