//! Status of a NATS resource, which Eventing, the Kyma lifecycle manager and users read.

mod operation;
mod summary;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use operation::OperationStatus;
pub use summary::JetStreamStatus;

// Every field has a default, because an older manager may have stored the status.
/// Observed state of the NATS JetStream cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NatsStatus {
    /// State of the module: Ready, Processing, Warning, Error or Deleting.
    pub state: String,
    /// Address of the NATS servers inside the Kubernetes cluster. Empty until the servers are ready for the first time.
    pub url: String,
    /// Number of availability zones in which NATS servers run.
    pub availability_zones_used: i64,
    /// Number of NATS servers that are ready.
    pub ready_servers: u32,
    /// NATS servers that are ready, of those that the spec asks for, such as `3/3`. Empty until a StatefulSet exists.
    pub ready: String,
    /// Details of the state, one condition for each type.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Change in progress. Absent while no change is in progress.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "OperationStatus", extend("default" = null))]
    pub operation: Option<OperationStatus>,
    /// Number of servers that the servers' configuration was built for. 1 is a standalone server: as long as the number
    /// is 1, a change of `spec.cluster.size` from 1 to more can be taken back. Absent until the number is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32", extend("default" = null))]
    pub members: Option<u32>,
    /// Generation of the resource that this status describes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i64", extend("default" = null))]
    pub observed_generation: Option<i64>,
    /// True once a NATS server of this resource has started: from then on, data may exist. Absent if unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool", extend("default" = null))]
    pub servers_started: Option<bool>,
    /// Summary of the streams for the admission webhook. Absent until the servers have responded.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "JetStreamStatus", extend("default" = null))]
    pub jet_stream: Option<JetStreamStatus>,
}

/// State of the module for the Kyma lifecycle manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModuleState {
    /// The NATS cluster works.
    Ready,
    /// The NATS cluster is being deployed.
    Processing,
    /// The NATS cluster works or waits, and requires attention.
    Warning,
    /// The resource cannot be deployed as it is.
    Error,
    /// The resource is being deleted.
    Deleting,
}

impl ModuleState {
    /// All states.
    pub const ALL: [Self; 5] = [Self::Ready, Self::Processing, Self::Warning, Self::Error, Self::Deleting];
}

/// Types of the conditions.
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

/// Reasons of conditions and events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are part of the contract and explain themselves")]
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
    /// An admission webhook or policy replaces a field that NATS Manager applies.
    FieldOverridden,
    /// Another client changes the replicas of the StatefulSet.
    ReplicasChanged,

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
    /// Volumes grow.
    ExpandVolumes,
    /// A server is replaced with one that has a fresh volume.
    ReplaceServer,
    /// Something is repaired.
    Repair,
    /// A server has not loaded its changed configuration.
    ReloadPending,
    /// Pods cannot be created.
    FailedCreate,
    /// The annotation that forces rollouts is set while no rollout is in progress.
    RolloutForced,

    // Blocked changes.
    /// The number of servers cannot change, or not safely.
    ScalingBlocked,
    /// The version cannot change directly.
    VersionBlocked,
    /// Streams in memory use more than the desired memory store.
    MemoryStoreBlocked,
    /// A volume cannot be expanded.
    VolumeExpansionBlocked,
    /// A PVC is being deleted.
    PvcTerminating,
    /// A server cannot be replaced without the loss of streams.
    ReplacementBlocked,
    /// A server has to restart, and a stream has no quorum without it.
    RepairBlocked,
    /// A server of another cluster is in the meta group.
    UnknownServer,
    /// It is unknown whether the existing store is that of a standalone server.
    StoreUnknown,
    /// A Pod that may be the predecessor runs, which writes the same objects.
    PredecessorRunning,

    // Pauses.
    /// Reconciliation is paused by an annotation.
    Paused,
    /// Reconciliation continues after a pause.
    Resumed,
    /// An annotation has a value that has no effect.
    InvalidAnnotation,

    // Health.
    Healthy,
    /// The volume of a server was full, so that it has disabled JetStream.
    VolumeFull,
    /// The file store of a server is nearly full.
    FileStoreNearlyFull,
    /// The file store of a server is full.
    FileStoreFull,
    /// The memory store of a server is nearly full.
    MemoryStoreNearlyFull,
    /// The memory store of a server is full.
    MemoryStoreFull,
    /// A stream that rejects new messages at its limit is nearly full.
    StreamNearlyFull,
    /// A stream that rejects new messages at its limit is full.
    StreamFull,
    /// Streams have reserved nearly all of a store.
    ReservationNearlyFull,
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
    /// More than one server reports itself as the leader of a stream.
    ConflictingLeaders,
    /// A stream has fewer replicas than it is configured for.
    UnderReplicated,
    /// A replica of a stream is moving to another server.
    StreamMoving,
    /// A replica of a stream is not in sync.
    ReplicaOutOfSync,
    /// Streams are missing since a server restarted.
    StreamsMissing,
}

/// Implements `Display` with the name of the variant, which is its value in the API.
macro_rules! display_variant_name {
    ($($name:ty),+) => {$(
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Debug::fmt(self, f)
            }
        }
    )+};
}
display_variant_name!(ModuleState, ConditionType, Reason);

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

    /// Builds the JSON merge patch from `old` to this status. A field that only `old` has becomes `null`, which removes
    /// it.
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
        for (case, old, new, pointer, expected) in [
            ("operation ends", &some, &none, "/operation", json!(null)),
            ("field of the operation goes", &server, &some, "/operation/server", json!(null)),
            ("field of the operation comes", &some, &server, "/operation/server", json!("n-1")),
        ] {
            assert_eq!(new.merge_patch(old).pointer(pointer), Some(&expected), "{case}");
        }
        assert_eq!(none.merge_patch(&none).get("operation"), None, "nothing to remove");
    }
}
