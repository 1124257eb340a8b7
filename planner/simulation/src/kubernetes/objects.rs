//! The apiserver's objects, as far as the planner and NATS depend on them.

use std::collections::BTreeMap;

use nats_manager_planner::{Time, Version, actual::ConfigKey, snapshot::PeerId};

use crate::servers::ServerId;

/// The state that Pods with an image get into.
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
    /// The ConfigMap key that the server reads.
    pub key: ConfigKey,
    /// The server's version.
    pub nats: Version,
    /// What becomes of it.
    pub image: Image,
    /// Counts edits of other fields (resources, labels).
    pub edit: u32,
    /// The memory store that a restart was needed for; 0 if none was.
    pub memory: u64,
    /// Counts `kubectl rollout restart`. Another field manager's: our writes leave it as it is.
    pub restart: u32,
}

impl Template {
    /// Returns the hash of what we apply of it.
    pub fn hash(&self) -> String {
        let Self { key, nats, image, edit, memory, .. } = self;
        format!("{key:?}-{nats}-{image:?}-{edit}-{memory}")
    }

    /// Returns the name of its revision.
    pub fn revision(&self) -> String {
        format!("{}-{}", self.hash(), self.restart)
    }

    /// Returns whether both are equal in what we apply.
    pub fn is_applied_as(&self, other: &Self) -> bool {
        Self { restart: 0, ..*self } == Self { restart: 0, ..*other }
    }
}

/// The StatefulSet. Its `podManagementPolicy` is `Parallel`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatefulSet {
    /// `resourceVersion`.
    pub version: u64,
    /// `generation`.
    pub generation: u64,
    /// `spec.replicas`.
    pub replicas: u32,
    /// `spec.updateStrategy.rollingUpdate.partition`.
    pub partition: u32,
    /// `spec.updateStrategy.type` is `OnDelete`.
    pub on_delete: bool,
    /// `spec.template`.
    pub template: Template,
    /// The template of our last write, whose hash is an annotation.
    pub applied: Option<Template>,
    /// The memory store of our last write, an annotation: lowering it needs a restart.
    pub memory: u64,
    /// Status.
    pub status: SetStatus,
}

/// Status of the StatefulSet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetStatus {
    /// `observedGeneration`.
    pub observed: u64,
    /// `currentRevision`.
    pub current: Template,
    /// `updateRevision`.
    pub update: Template,
    /// `replicas`.
    pub present: u32,
    /// `updatedReplicas`.
    pub updated: u32,
    /// `readyReplicas`.
    pub ready: u32,
}

/// Who caused something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// The manager.
    Manager,
    /// The manager, with `force-rollout`.
    Forced,
    /// A user, or a fault.
    Other,
}

/// A change of the StatefulSet has the controller delete this Pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exposure {
    /// Who made the change.
    pub by: Actor,
    /// When.
    pub since: u64,
}

/// A Pod.
#[expect(clippy::struct_excessive_bools, reason = "each is a condition of its own")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Unique number.
    pub uid: u64,
    /// Its place.
    pub ordinal: ServerId,
    /// The template that it was created from.
    pub template: Template,
    /// When it was created.
    pub created: u64,
    /// Since when it is terminating.
    pub terminating: Option<u64>,
    /// The controller is to delete it.
    pub exposure: Option<Exposure>,
    /// The NATS container has started once.
    pub started: bool,
    /// The startup probe has passed.
    pub running: bool,
    /// The condition `Ready`.
    pub ready: bool,
    /// Its last change.
    pub ready_changed: u64,
    /// Why it cannot run.
    pub broken: Option<&'static str>,
    /// No node takes it.
    pub stranded: bool,
    /// When its container starts next.
    pub start_at: u64,
    /// How often its container exited by itself.
    pub crashes: u32,
    /// The configuration in its volume.
    pub mounted: Option<ConfigMap>,
    /// When the volume follows the ConfigMap.
    pub mount_at: Option<u64>,
}

/// A PVC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pvc {
    /// Unique number.
    pub uid: u64,
    /// Bytes.
    pub size: u64,
    /// It has a deletion timestamp. The finalizer holds it while a Pod has its name.
    pub terminating: bool,
}

/// The ConfigMap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfigMap {
    /// `resourceVersion`.
    pub version: u64,
    /// Routes under `nats.conf`; 0 without a cluster block.
    pub main: Option<u32>,
    /// Routes under the key that a change to a cluster adds.
    pub clustered: Option<u32>,
    /// `max_memory_store`.
    pub memory: u64,
}

/// The NATS custom resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// `resourceVersion`.
    pub version: u64,
    /// `spec.cluster.size`.
    pub size: u32,
    /// The version of the configured image.
    pub nats: Version,
    /// What becomes of Pods with the image.
    pub image: Image,
    /// Counts edits that change the Pod template.
    pub edit: u32,
    /// `spec.jetStream.memStorage.size`, 0 is off.
    pub memory: u64,
    /// The annotation `force-rollout`.
    pub force: bool,
    /// `status.members`.
    pub members: Option<u32>,
    /// `status` of removed peers.
    pub removed: BTreeMap<PeerId, Time>,
    /// `status.serversStarted`.
    pub servers_started: bool,
}

/// State of a node. Each ordinal has a node of its own, which its volume is bound to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Node {
    /// Works.
    #[default]
    Up,
    /// Does not answer.
    Lost {
        /// Since when.
        since: u64,
        /// When it comes back.
        until: u64,
    },
    /// Gone for good, with its volume.
    Gone {
        /// Since when.
        since: u64,
    },
}

/// Which Kubernetes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rules {
    /// Up to 1.36: outdated Pods one by one, from the highest ordinal down.
    #[default]
    V1_34,
    /// From 1.37: `maxUnavailable` counts; unavailable Pods go at once.
    V1_37,
}

/// An answer of the apiserver that is no success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiError {
    /// 403.
    Forbidden,
    /// 404.
    NotFound,
    /// 409.
    Conflict,
    /// 410.
    Gone,
    /// 429.
    Throttled,
    /// 5xx.
    Server,
    /// The write was carried out, and its answer is lost.
    LostAnswer,
}
