//! Objects of the apiserver, as far as the planner and NATS depend on them.

use std::collections::BTreeMap;

use nats_manager_planner::{
    Time, Version,
    actual::{ConfigKey, Replacement},
    snapshot::PeerId,
};

use crate::servers::ServerId;

/// Behaviour of Pods with an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Image {
    /// The server starts.
    #[default]
    Good,
    /// The image cannot be pulled.
    Missing,
    /// The container exits.
    Crashing,
}

/// A Pod template; equal templates are one revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Template {
    /// ConfigMap key that the server reads.
    pub key: ConfigKey,
    /// Version of the server.
    pub nats: Version,
    /// Behaviour of the image.
    pub image: Image,
    /// Counts edits of other fields (resources, labels).
    pub edit: u32,
    /// Memory store in bytes that needed a restart; `None` if none did.
    pub memory: Option<u64>,
    /// Counts `kubectl rollout restart`. The field belongs to another field manager: our writes leave it as it is.
    pub restart: u32,
}

impl Template {
    /// Computes the hash of the fields that the manager applies.
    pub fn hash(&self) -> String {
        let Self { key, nats, image, edit, memory, .. } = self;
        format!("{key:?}-{nats}-{image:?}-{edit}-{memory:?}")
    }

    /// Builds the name of the template's revision.
    pub fn revision(&self) -> String {
        format!("{}-{}", self.hash(), self.restart)
    }

    /// Returns whether both templates are equal in the fields that the manager applies.
    pub fn is_applied_as(&self, other: &Self) -> bool {
        Self { restart: 0, ..*self } == Self { restart: 0, ..*other }
    }
}

/// The StatefulSet. Its `podManagementPolicy` is `Parallel`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatefulSet {
    /// `metadata.resourceVersion`.
    pub version: u64,
    /// `metadata.generation`.
    pub generation: u64,
    /// `spec.replicas`.
    pub replicas: u32,
    /// `spec.updateStrategy.rollingUpdate.partition`.
    pub partition: u32,
    /// `spec.updateStrategy.type` is `OnDelete`.
    pub on_delete: bool,
    /// `spec.template`.
    pub template: Template,
    /// Template of the manager's last write, whose hash is an annotation.
    pub applied: Option<Template>,
    /// Memory store of the manager's last write in bytes, an annotation: a lower value needs a restart.
    pub memory: u64,
    /// File store of the manager's last write in bytes, an annotation.
    pub file: u64,
    /// Size of new PVCs in bytes, which is immutable.
    pub volume: u64,
    /// `status`.
    pub status: SetStatus,
}

/// Status of the StatefulSet, as far as the planner depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetStatus {
    /// `status.observedGeneration`.
    pub observed: u64,
    /// Template of `status.currentRevision`.
    pub current: Template,
    /// Template of `status.updateRevision`.
    pub update: Template,
    /// `status.replicas`.
    pub present: u32,
    /// `status.updatedReplicas`.
    pub updated: u32,
    /// `status.readyReplicas`.
    pub ready: u32,
}

/// Actor that caused a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// The manager.
    Manager,
    /// The manager, with `force-rollout`.
    Forced,
    /// A user, or a fault.
    Other,
}

/// Change of the StatefulSet that makes the controller delete a Pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exposure {
    /// Actor that made the change.
    pub by: Actor,
    /// Second of the change.
    pub since: u64,
}

/// A server's Pod.
#[expect(clippy::struct_excessive_bools, reason = "each is a condition of its own")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// `metadata.uid`, as a number.
    pub uid: u64,
    /// Ordinal in the StatefulSet.
    pub ordinal: ServerId,
    /// Template that the Pod was created from.
    pub template: Template,
    /// Second of the creation.
    pub created: u64,
    /// Second of the deletion timestamp.
    pub terminating: Option<u64>,
    /// Change for which the controller will delete the Pod.
    pub exposure: Option<Exposure>,
    /// The NATS container has started once.
    pub started: bool,
    /// The startup probe has passed.
    pub running: bool,
    /// The condition `Ready` is true.
    pub ready: bool,
    /// Second of the last change of the condition `Ready`.
    pub ready_changed: u64,
    /// Cause for which the Pod cannot run.
    pub broken: Option<&'static str>,
    /// The Pod cannot be scheduled.
    pub stranded: bool,
    /// Second of the next start of the container.
    pub start_at: u64,
    /// Number of times that the container exited by itself.
    pub crashes: u32,
    /// Configuration in the Pod's ConfigMap volume.
    pub mounted: Option<ConfigMap>,
    /// Second at which the volume is updated from the ConfigMap.
    pub mount_at: Option<u64>,
}

impl Pvc {
    /// Builds a PVC with a volume of this size in bytes.
    pub fn new(uid: u64, size: u64) -> Self {
        Self {
            uid,
            requested: size,
            capacity: size,
            pending_since: None,
            is_failed: false,
            terminating: false,
            replacement: None,
        }
    }
}

/// A server's PVC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pvc {
    /// `metadata.uid`, as a number.
    pub uid: u64,
    /// Requested size in bytes.
    pub requested: u64,
    /// Size of the volume and its file system in bytes.
    pub capacity: u64,
    /// Second since which the volume has grown and the file system has not.
    pub pending_since: Option<u64>,
    /// The last attempt of the volume driver failed.
    pub is_failed: bool,
    /// The PVC has a deletion timestamp. Its finalizer stays while the server's Pod exists.
    pub terminating: bool,
    /// Request to replace the server, an annotation.
    pub replacement: Option<Replacement>,
}

/// The ConfigMap with the servers' configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfigMap {
    /// `metadata.resourceVersion`.
    pub version: u64,
    /// Routes under `nats.conf`; 0 without a cluster block.
    pub main: Option<u32>,
    /// Routes under the key that a change to a cluster adds.
    pub clustered: Option<u32>,
    /// `max_memory_store` in bytes.
    pub memory: u64,
    /// `max_file_store` in bytes.
    pub file: u64,
}

/// The NATS custom resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// `metadata.resourceVersion`.
    pub version: u64,
    /// `spec.cluster.size`.
    pub size: u32,
    /// Version of the configured image.
    pub nats: Version,
    /// Behaviour of Pods with the configured image.
    pub image: Image,
    /// Counts edits that change the Pod template.
    pub edit: u32,
    /// `spec.jetStream.memStorage.size` in bytes; 0 is off.
    pub memory: u64,
    /// `spec.jetStream.fileStorage.size` in bytes.
    pub volume: u64,
    /// The annotation `force-rollout` is set.
    pub force: bool,
    /// `status.members`.
    pub members: Option<u32>,
    /// Removed peers in `status`, with the times of their removal.
    pub removed: BTreeMap<PeerId, Time>,
    /// `status.serversStarted`.
    pub servers_started: bool,
    /// `status.jetStream` is set: a manager has reached the servers.
    pub was_reached: bool,
}

/// State of a node. Each ordinal has a node of its own, to which its volume is bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Node {
    /// The node works.
    #[default]
    Up,
    /// The node does not answer.
    Lost {
        /// Second of the loss.
        since: u64,
        /// Second at which the node works again.
        until: u64,
    },
    /// The node is gone for good, with its volume.
    Gone {
        /// Second of the loss.
        since: u64,
    },
}

/// Rule sets of the StatefulSet controller, by version of Kubernetes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rules {
    /// Up to 1.36: outdated Pods are deleted one by one, from the highest ordinal down.
    #[default]
    V1_34,
    /// From 1.37: `maxUnavailable` counts, and unavailable Pods are deleted at once.
    V1_37,
}

/// Errors of the apiserver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiError {
    /// HTTP status 403.
    Forbidden,
    /// HTTP status 404.
    NotFound,
    /// HTTP status 409.
    Conflict,
    /// HTTP status 410.
    Gone,
    /// HTTP status 429.
    Throttled,
    /// HTTP status 5xx.
    Server,
    /// The write was carried out, and its answer is lost.
    LostAnswer,
}
