//! The status of a NATS resource: what Eventing, the Kyma lifecycle manager and users read.

mod operation;
mod summary;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use operation::OperationStatus;
pub use summary::JetStreamStatus;

// Read tolerantly: an older manager may have stored it.
/// The observed state of the NATS cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NatsStatus {
    /// Ready, Processing, Warning, Error or Deleting.
    pub state: String,
    /// The address of the NATS servers inside the cluster; empty until they were ready.
    pub url: String,
    /// The number of availability zones that the NATS servers run in.
    pub availability_zones_used: i64,
    /// The number of NATS servers that are ready.
    pub ready_servers: u32,
    /// The state in detail.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// The change in progress. Absent while nothing is in progress.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "OperationStatus", extend("default" = null))]
    pub operation: Option<OperationStatus>,
    /// The number of servers that the servers' configuration was built for; 1 is a standalone server. While it is 1, a
    /// change of `spec.cluster.size` from 1 to more can be taken back. Absent until it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32", extend("default" = null))]
    pub members: Option<u32>,
    /// The generation of the resource that this status describes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i64", extend("default" = null))]
    pub observed_generation: Option<i64>,
    /// True once a NATS server of this resource has started: from then on there may be data. Absent: unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool", extend("default" = null))]
    pub servers_started: Option<bool>,
    /// Summary of the streams, as far as the admission webhook needs it. Absent until the servers have answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "JetStreamStatus", extend("default" = null))]
    pub jet_stream: Option<JetStreamStatus>,
}

/// The state of the module, as the Kyma lifecycle manager reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModuleState {
    /// It works.
    Ready,
    /// It is being deployed.
    Processing,
    /// It works or waits, and needs attention.
    Warning,
    /// It cannot be deployed as it is.
    Error,
    /// It is being deleted.
    Deleting,
}

impl ModuleState {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Ready, Self::Processing, Self::Warning, Self::Error, Self::Deleting];
}

/// The types of conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionType {
    /// Clients are served, and the newest spec is carried out.
    Ready,
    /// Clients can publish and read.
    Available,
    /// A change is in progress.
    Reconciling,
    /// A change is blocked, or the spec cannot be carried out.
    Stalled,
    /// The StatefulSet is as desired.
    StatefulSet,
    /// The servers are spread over enough availability zones.
    AvailabilityZones,
    /// The servers have room for messages.
    Storage,
    /// JetStream is healthy: every server, the meta leader, and every replica of every stream.
    JetStream,
    /// The deletion is carried out.
    Deleted,
}

/// The reasons of conditions and events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are the contract's and need no more words")]
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
    /// Clients are served, and the newest spec is carried out.
    Ready,
    /// No change is in progress.
    Idle,
    /// No change is blocked.
    NotBlocked,
    /// The stored spec violates a policy that admission enforces by now.
    PolicyViolated,

    // Changes in progress.
    /// The first deployment.
    Deployment,
    /// Servers are restarted one by one.
    RollingUpdate,
    /// Servers are added.
    ScaleUp,
    /// Servers are removed.
    ScaleDown,
    /// A standalone server becomes a cluster.
    FormCluster,
    /// Something is repaired.
    Repair,
    /// A server has not loaded its changed configuration.
    ReloadPending,
    /// Pods cannot be created.
    FailedCreate,
    /// The annotation that forces rollouts is set while no rollout is in progress.
    RolloutForced,

    // Blocked changes.
    /// The size cannot change, or not safely.
    ScalingBlocked,
    /// The version cannot change directly.
    VersionBlocked,
    /// The memory store holds more than it is to be.
    MemoryStoreBlocked,
    /// A PVC is being deleted.
    PvcTerminating,
    /// A server of another cluster is in the meta group.
    UnknownServer,
    /// It is unknown whether the existing store is that of a standalone server.
    StoreUnknown,

    // Health.
    Healthy,
    NearlyFull,
    Full,
    /// Too few servers answer for JetStream to accept messages.
    QuorumLost,
    /// No server can be reached, though Pods are ready.
    ServersUnreachable,
    /// JetStream has no meta leader.
    NoMetaLeader,
    /// A server does not answer.
    ServerUnreachable,
    /// A server runs, and the meta group does not list it.
    ServerMissing,
    /// A server's Pod cannot stop, because its node is gone.
    ServerStuck,
    /// A server has disabled JetStream, mostly because its volume was full.
    ServerDisabled,
    /// A server runs, and is not ready.
    ServerNotReady,
    /// A server starts.
    ServerStarting,
    /// A server is not in sync with the meta leader.
    ServerOutOfSync,
    /// A server's `/healthz` fails.
    ServerUnhealthy,
    /// A server has stopped writing to a stream.
    WriteError,
    /// A stream has no leader.
    NoStreamLeader,
    /// More than one server claims to lead a stream.
    ConflictingLeaders,
    /// A stream has fewer replicas than it is configured for.
    UnderReplicated,
    /// A replica of a stream is moving to another server.
    StreamMoving,
    /// A replica of a stream is not in sync.
    ReplicaOutOfSync,
    /// Streams are gone since a server restarted.
    StreamsMissing,
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
words!(ModuleState, ConditionType, Reason);

impl NatsStatus {
    /// Returns the condition of this type, if it was ever set.
    pub fn condition(&self, kind: ConditionType) -> Option<&Condition> {
        let kind = kind.to_string();
        self.conditions.iter().find(|condition| condition.type_ == kind)
    }

    /// Returns whether the condition of this type is true.
    pub fn holds(&self, kind: ConditionType) -> bool {
        self.condition(kind).is_some_and(|condition| condition.status == "True")
    }

    /// Builds the JSON merge patch from `old` to this status: what only `old` has becomes `null`, which removes it.
    pub fn merge_patch(&self, old: &Self) -> Value {
        let json = |status: &Self| serde_json::to_value(status).unwrap_or_default();
        let mut patch = json(self);
        remove_absent(&mut patch, &json(old));
        patch
    }
}

/// Adds a `null` to `patch` for each field that only `old` has.
fn remove_absent(patch: &mut Value, old: &Value) {
    if let (Value::Object(patch), Value::Object(old)) = (patch, old) {
        for (name, old) in old {
            remove_absent(patch.entry(name).or_insert(Value::Null), old);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn merge_patch_removes_absent_fields() {
        let operation = |server: Option<&str>| OperationStatus {
            type_: "ScaleUp".to_owned(),
            step: "Create".to_owned(),
            server: server.map(str::to_owned),
            ..OperationStatus::default()
        };
        let with = |operation: Option<OperationStatus>| NatsStatus { operation, ..NatsStatus::default() };
        let (none, some, server) = (with(None), with(Some(operation(None))), with(Some(operation(Some("n-1")))));
        for (what, old, new, pointer, expected) in [
            ("operation ends", &some, &none, "/operation", json!(null)),
            ("field of the operation goes", &server, &some, "/operation/server", json!(null)),
            ("field of the operation comes", &some, &server, "/operation/server", json!("n-1")),
        ] {
            assert_eq!(new.merge_patch(old).pointer(pointer), Some(&expected), "{what}");
        }
        assert_eq!(none.merge_patch(&none).get("operation"), None, "nothing to remove");
    }
}
