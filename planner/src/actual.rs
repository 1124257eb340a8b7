//! Actual state in Kubernetes, as the watch caches have it.

use crate::{time::Time, version::Version};

/// Kubernetes objects of one NATS cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ActualState {
    /// Name of the StatefulSet. A server's name is this, a dash and its ordinal.
    pub name: String,
    /// Namespace of all objects, for the commands in messages.
    pub namespace: String,
    /// The StatefulSet; `None` if it does not exist.
    pub stateful_set: Option<StatefulSetState>,
    /// Pods with the servers' labels, also foreign ones (`ordinal` is `None` then).
    pub pods: Vec<PodState>,
    /// PVCs with exactly the names of servers' PVCs, whatever their labels.
    pub pvcs: Vec<PvcState>,
    /// The configuration in the live ConfigMap; `None` if the ConfigMap does not exist.
    pub config: Option<LiveConfig>,
    /// The number of servers that the configuration was built for, as recorded before it took effect (status, or an
    /// annotation of an earlier version). 1 and 2 are standalone.
    pub members: Option<u32>,
    /// A NATS container of this resource has started; `None` is unknown.
    pub servers_started: Option<bool>,
}

/// The StatefulSet's spec and status, as far as decisions depend on them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatefulSetState {
    /// `metadata.uid`: a deletion is for exactly this StatefulSet.
    pub uid: String,
    /// `metadata.resourceVersion`; the precondition of every change that was computed from this state.
    pub resource_version: Option<String>,
    /// `spec.replicas`. Users can set it by hand.
    pub replicas: u32,
    /// Pods with this ordinal and above get the new template. For `OnDelete` it equals `replicas`.
    pub partition: u32,
    /// A hash of the Pod template as it was last applied by us.
    pub template_hash: Option<String>,
    /// The key of the ConfigMap that the Pod template reads.
    pub config_key: ConfigKey,
    /// The memory store that the servers were last configured with, in bytes, where it is known; 0 is off.
    pub memory_store: Option<u64>,
    /// The file store that the servers were last configured with, in bytes, where it is known; 0 is off.
    pub file_store: Option<u64>,
    /// The size in bytes that new PVCs request; `None` without a PVC template.
    pub volume_size: Option<u64>,
    /// The status belongs to the present spec (`observedGeneration >= generation`).
    pub is_observed: bool,
    /// `status.currentRevision`.
    pub current_revision: Option<String>,
    /// `status.updateRevision`.
    pub update_revision: Option<String>,
    /// `status.replicas`, `status.updatedReplicas`, `status.readyReplicas`.
    pub counts: ReplicaCounts,
}

/// Numbers of Pods, as the StatefulSet controller counted them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplicaCounts {
    /// Number of Pods that exist.
    pub present: u32,
    /// Number of Pods at the update revision.
    pub updated: u32,
    /// Number of Pods whose condition `Ready` is true.
    pub ready: u32,
}

/// The key of the ConfigMap that a Pod's server reads its configuration from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConfigKey {
    /// `nats.conf`: fresh clusters, and those taken over from the predecessor.
    #[default]
    Main,
    /// The key that a change from a standalone server to a cluster adds, so that no Pod of the old template ever reads
    /// a configuration of the other kind.
    Clustered,
}

/// Mode of the servers: standalone, or members of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServerMode {
    /// Servers without a cluster block in their configuration.
    Standalone,
    /// Servers with a cluster block in their configuration.
    Clustered,
}

/// The fewest servers that form a cluster. Fewer must not have a cluster block: a single one would never elect a meta
/// leader (measured).
pub const SMALLEST_CLUSTER: u32 = 3;

impl ServerMode {
    /// Returns the mode of so many servers: clustered from [`SMALLEST_CLUSTER`] on.
    pub const fn of(servers: u32) -> Self {
        if servers >= SMALLEST_CLUSTER { Self::Clustered } else { Self::Standalone }
    }
}

/// The servers' configuration in the live ConfigMap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LiveConfig {
    /// Routes of the key [`ConfigKey::Main`]; 0 without a cluster block; `None` without the key.
    pub main_routes: Option<u32>,
    /// Routes of the key [`ConfigKey::Clustered`]; `None` without the key.
    pub clustered_routes: Option<u32>,
    /// The largest `max_file_store` under both keys, in bytes; `None` where none can be read.
    pub file_store: Option<u64>,
}

/// A Pod of a server, as far as decisions depend on it.
#[expect(clippy::struct_excessive_bools, reason = "each is a condition that Kubernetes reports on its own")]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodState {
    /// Name of the Pod and of its server.
    pub name: String,
    /// `metadata.uid`: a deletion is for exactly this Pod.
    pub uid: String,
    /// Ordinal in the StatefulSet; `None` if the name is not one of the StatefulSet's.
    pub ordinal: Option<u32>,
    /// `metadata.creationTimestamp`.
    pub created: Option<Time>,
    /// The node that the Pod is bound to.
    pub node: Option<String>,
    /// The revision of the template that the Pod was created from.
    pub revision: Option<String>,
    /// The version of the Pod's NATS image, if the tag has one.
    pub version: Option<Version>,
    /// The NATS container has started at least once.
    pub started: bool,
    /// The NATS container runs, and its startup probe has passed.
    pub running: bool,
    /// The condition `Ready` is true.
    pub ready: bool,
    /// The last change of the condition `Ready`.
    pub ready_changed: Option<Time>,
    /// The deletion timestamp, less the grace period: since when it is terminating.
    pub terminating: Option<Time>,
    /// The cause for which the Pod cannot run as it is: its template has to change, or what it depends on.
    pub broken: Option<String>,
    /// The Pod cannot be scheduled for another reason than missing resources.
    pub stranded: bool,
}

/// A PVC of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PvcState {
    /// Ordinal of the server that the PVC belongs to.
    pub ordinal: u32,
    /// `metadata.uid`: a deletion is for exactly this PVC.
    pub uid: String,
    /// `metadata.resourceVersion`: a replacement is for exactly this version, since a request can be withdrawn.
    pub resource_version: Option<String>,
    /// Requested size in bytes (`spec.resources.requests`).
    pub requested: u64,
    /// Size of the volume with its file system in bytes (`status.capacity`); `None` before a volume is bound.
    pub capacity: Option<u64>,
    /// Expansion of the volume, as far as the PVC and its events report it.
    pub expansion: VolumeExpansion,
    /// The PVC has a deletion timestamp.
    pub terminating: bool,
    /// The finalizers of others that keep a terminating PVC, as a list for messages.
    pub kept_by: Option<String>,
    /// A user has requested a fresh volume for the server.
    pub replacement: Option<Replacement>,
}

/// The consent of a request to replace a server (annotation `replace-server` of its PVC).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replacement {
    /// No stream may be lost.
    KeepStreams,
    /// Streams that have their only replica on the server are lost.
    LoseStreams,
}

/// Expansion of a volume (`PersistentVolumeClaimStatus` in `core/v1`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum VolumeExpansion {
    /// Nothing is reported: no expansion is in progress, or no volume driver has begun it.
    #[default]
    Unreported,
    /// The volume driver or the kubelet works on it.
    InProgress,
    /// The volume has grown, and its file system has not (condition `FileSystemResizePending`). The kubelet expands it
    /// online, or when the volume is mounted again.
    FileSystemPending {
        /// The last change of the condition.
        since: Time,
    },
    /// The last attempt failed. The volume driver tries again by itself.
    Failed {
        /// The message of the apiserver, of a condition or of an event; `None` where none is known.
        cause: Option<String>,
    },
}

impl ActualState {
    /// Builds the name of the server with this ordinal.
    pub fn server(&self, ordinal: u32) -> String {
        format!("{}-{ordinal}", self.name)
    }

    /// Builds the name of the PVC of this ordinal.
    pub fn pvc_name(&self, ordinal: u32) -> String {
        format!("{0}-js-pvc-{0}-{ordinal}", self.name)
    }

    /// Returns the Pod of this ordinal; `None` if it does not exist.
    pub fn pod(&self, ordinal: u32) -> Option<&PodState> {
        self.pods.iter().find(|pod| pod.ordinal == Some(ordinal))
    }

    /// Returns the PVC of this ordinal; `None` if it does not exist.
    pub fn pvc(&self, ordinal: u32) -> Option<&PvcState> {
        self.pvcs.iter().find(|pvc| pvc.ordinal == ordinal)
    }

    /// Returns the names of the servers that the StatefulSet should have, by ordinal; at most [`MAX_SERVERS`].
    pub fn expected_servers(&self) -> Vec<String> {
        let replicas = self.stateful_set.as_ref().map_or(0, |set| set.replicas);
        (0..replicas.min(MAX_SERVERS)).map(|ordinal| self.server(ordinal)).collect()
    }
}

/// The largest number of servers: each one has a route to every other.
pub const MAX_SERVERS: u32 = 99;

impl PvcState {
    /// Returns whether the volume is smaller than the PVC requests.
    pub fn is_growing(&self) -> bool {
        self.capacity.is_some_and(|capacity| capacity < self.requested)
    }

    /// Returns the obstacle of a terminating PVC for messages. `server` is the name of its server.
    pub(crate) fn terminating_message(&self, server: &str) -> String {
        match &self.kept_by {
            None => format!("the PVC of {server} is terminating"),
            Some(finalizers) => format!("the PVC of {server} is terminating, and kept by the finalizer {finalizers}"),
        }
    }
}

impl PodState {
    /// Returns whether the Pod is ready and not terminating.
    pub fn is_serving(&self) -> bool {
        self.ready && self.terminating.is_none()
    }
}
