//! The actual state: what exists in Kubernetes, as the watch caches have it.

use crate::{time::Time, version::Version};

/// Everything that exists of one NATS cluster in Kubernetes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ActualState {
    /// Name of the StatefulSet; servers are called by it, a dash and their ordinal.
    pub name: String,
    /// The StatefulSet.
    pub stateful_set: Option<StatefulSetState>,
    /// Pods with the servers' labels, also foreign ones (`ordinal` is `None` then).
    pub pods: Vec<PodState>,
    /// PVCs with exactly the names of servers' PVCs, whatever their labels.
    pub pvcs: Vec<PvcState>,
    /// The configuration in the live ConfigMap.
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
    /// Sent as a precondition with every change that was computed from this state.
    pub resource_version: Option<String>,
    /// `spec.replicas`. Anybody may have set it.
    pub replicas: u32,
    /// Pods with this ordinal and above get the new template. For `OnDelete` it equals `replicas`.
    pub partition: u32,
    /// A hash of the Pod template as it was last applied by us.
    pub template_hash: Option<String>,
    /// The key of the ConfigMap that the Pod template reads.
    pub config_key: ConfigKey,
    /// The memory store that the servers were last configured with, in bytes, where it is known; 0 is off.
    pub memory_store: Option<u64>,
    /// Status is of the present spec (`observedGeneration >= generation`).
    pub is_observed: bool,
    /// `status.currentRevision`.
    pub current_revision: Option<String>,
    /// `status.updateRevision`.
    pub update_revision: Option<String>,
    /// `status.replicas`, `status.updatedReplicas`, `status.readyReplicas`.
    pub counts: ReplicaCounts,
}

/// Pods as the StatefulSet controller counted them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplicaCounts {
    /// Pods that exist.
    pub present: u32,
    /// Pods at the update revision.
    pub updated: u32,
    /// Pods that are ready.
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

/// Whether servers form a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServerMode {
    /// Without a cluster block.
    Standalone,
    /// With a cluster block.
    Clustered,
}

/// The fewest servers that form a cluster. Fewer must not have a cluster block: a single one would never elect a meta
/// leader (measured).
pub const SMALLEST_CLUSTER: u32 = 3;

impl ServerMode {
    /// Returns the kind of a cluster with so many servers.
    pub const fn of(servers: u32) -> Self {
        if servers >= SMALLEST_CLUSTER { Self::Clustered } else { Self::Standalone }
    }
}

/// What the live ConfigMap says about the servers' configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LiveConfig {
    /// Routes of the key [`ConfigKey::Main`]; 0 without a cluster block; `None` without the key.
    pub main_routes: Option<u32>,
    /// Routes of the key [`ConfigKey::Clustered`]; `None` without the key.
    pub clustered_routes: Option<u32>,
}

/// A Pod.
#[expect(clippy::struct_excessive_bools, reason = "each is a condition that Kubernetes reports on its own")]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodState {
    /// Its name, which is its server's.
    pub name: String,
    /// Its uid: deletions are for exactly this Pod.
    pub uid: String,
    /// Its place in the StatefulSet; `None` if its name is not one of the StatefulSet's.
    pub ordinal: Option<u32>,
    /// The node that it is bound to.
    pub node: Option<String>,
    /// The revision of the template that it was created from.
    pub revision: Option<String>,
    /// The version of its NATS image, if the tag has one.
    pub version: Option<Version>,
    /// The NATS container has started at least once.
    pub started: bool,
    /// The NATS container runs, and its startup probe has passed.
    pub running: bool,
    /// The Pod is ready.
    pub ready: bool,
    /// The last change of the condition `Ready`.
    pub ready_changed: Option<Time>,
    /// The deletion timestamp, less the grace period: since when it is terminating.
    pub terminating: Option<Time>,
    /// Why it cannot run as it is: its template has to change, or what it depends on.
    pub broken: Option<String>,
    /// It cannot be scheduled for another reason than missing resources.
    pub stranded: bool,
}

/// A PVC of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PvcState {
    /// The server's ordinal.
    pub ordinal: u32,
    /// Its uid: deletions are for exactly this PVC.
    pub uid: String,
    /// Its size in bytes.
    pub size: u64,
    /// It has a deletion timestamp.
    pub terminating: bool,
}

impl ActualState {
    /// Returns the name of the server with this ordinal.
    pub fn server(&self, ordinal: u32) -> String {
        format!("{}-{ordinal}", self.name)
    }

    /// Returns the Pod of this ordinal.
    pub fn pod(&self, ordinal: u32) -> Option<&PodState> {
        self.pods.iter().find(|pod| pod.ordinal == Some(ordinal))
    }

    /// Returns the PVC of this ordinal.
    pub fn pvc(&self, ordinal: u32) -> Option<&PvcState> {
        self.pvcs.iter().find(|pvc| pvc.ordinal == ordinal)
    }

    /// Returns the names of the servers that the StatefulSet should have.
    pub fn expected_servers(&self) -> Vec<String> {
        let replicas = self.stateful_set.as_ref().map_or(0, |set| set.replicas);
        (0..replicas.min(MAX_SERVERS)).map(|ordinal| self.server(ordinal)).collect()
    }
}

/// The most servers: each one has a route to every other.
pub const MAX_SERVERS: u32 = 99;

impl PodState {
    /// Returns whether it is ready and stays.
    pub fn is_serving(&self) -> bool {
        self.ready && self.terminating.is_none()
    }
}
