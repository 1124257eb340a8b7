//! Output of a plan.

use std::collections::BTreeMap;

use super::{Action, Variant};
use crate::{actual::ServerMode, snapshot::PeerId, time::Time};

/// Target state of the resources, and at most one action.
#[expect(clippy::struct_excessive_bools, reason = "each controls another step of the controller")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The StatefulSet and the ConfigMap may be written. False where the mode of the existing stores is unknown, and
    /// while PVCs of a deleted resource are terminating.
    pub may_build: bool,
    /// `spec.replicas` of the StatefulSet.
    pub replicas: u32,
    /// The variant that the Pod template names.
    pub variant: Variant,
    /// The number of servers that the cluster block has routes to.
    pub routes: u32,
    /// The mode of the configuration under [`crate::actual::ConfigKey::Main`]: that of the Pods that read it.
    pub main_kind: ServerMode,
    /// The membership to record: the number of servers that the configuration was built for. 1 and 2 are standalone.
    pub members: u32,
    /// The memory store of each server, in bytes.
    pub memory_store: u64,
    /// The file store of each server, in bytes.
    pub file_store: u64,
    /// The partition of the rolling update.
    pub partition: u32,
    /// The `resourceVersion` of the StatefulSet that the plan was computed from; `None` without a StatefulSet.
    pub precondition: Option<String>,
    /// Peers that were removed, or are about to be, with the times of their removal. Recorded before the action.
    pub removed: BTreeMap<PeerId, Time>,
    /// The action to carry out, or to confirm first if it is disruptive and not confirmed.
    pub action: Option<Action>,
    /// The action is confirmed on a newer snapshot, and replicas, partition and members are as the action needs them.
    /// Always true for an action that is not disruptive.
    pub is_confirmed: bool,
    /// The decision depends on the names of all streams: [`super::PlanInput::streams`] has to be requested.
    pub needs_streams: bool,
    /// The plan was computed from watch caches that agree. Where they do not, operation and blocked changes are those
    /// of the plan before.
    pub is_consistent: bool,
    /// The change in progress; `None` at rest.
    pub operation: Option<Operation>,
    /// Changes that are not carried out, with their reasons.
    pub blocked: Vec<Blocked>,
    /// Time of the next plan, where only time has to pass.
    pub until: Option<Time>,
}

impl Plan {
    /// Returns the action that may be carried out now; `None` if there is none or it is not confirmed.
    pub fn confirmed_action(&self) -> Option<&Action> {
        self.action.as_ref().filter(|_| self.is_confirmed)
    }

    /// Returns the disruptive action that has to be confirmed first; `None` if there is none.
    pub fn unconfirmed_action(&self) -> Option<&Action> {
        self.action.as_ref().filter(|_| !self.is_confirmed)
    }
}

/// A change in progress. Its texts stay constant while a step lasts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Kind of the change.
    pub kind: OperationKind,
    /// Name of the server that the present step is about.
    pub server: Option<String>,
    /// Step that is carried out or waited for.
    pub step: OperationStep,
    /// The condition that the step waits for, as a noun phrase or a sentence.
    pub waiting_for: Option<String>,
}

/// The kinds of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OperationKind {
    /// The first deployment.
    Deployment,
    /// Servers are restarted one by one with a new template.
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
    /// A fault is repaired: by a reload, a restart, or the removal of stale peers.
    Repair,
}

/// The steps of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OperationStep {
    /// Waits until a precondition holds.
    Wait,
    /// Creates Pods.
    Create,
    /// Restarts a server.
    Restart,
    /// Moves replicas off a server.
    Evacuate,
    /// Stops a server.
    Stop,
    /// Removes peers from the meta group.
    RemovePeer,
    /// Deletes PVCs.
    DeletePvc,
    /// Raises the size that PVCs request, and waits until their volumes have it.
    ExpandPvc,
    /// Deletes the StatefulSet without its Pods, and creates it again.
    RecreateStatefulSet,
    /// Reloads the configuration.
    Reload,
}

/// A change that is not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked {
    /// Category of the cause.
    pub reason: BlockedReason,
    /// Cause and remedy, as one text for users.
    pub message: String,
}

/// Categories of causes for which a change is not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BlockedReason {
    /// The size cannot change, or not safely.
    ScalingBlocked,
    /// The version cannot change directly.
    VersionBlocked,
    /// The memory store cannot be lowered below its usage.
    MemoryStoreBlocked,
    /// A volume cannot be expanded.
    VolumeExpansionBlocked,
    /// PVCs of a deleted resource are terminating.
    PvcTerminating,
    /// A server cannot be replaced without the loss of streams.
    ReplacementBlocked,
    /// A server has to restart, and a stream or the meta group has no quorum without it.
    RepairBlocked,
    /// A server of another cluster has joined the meta group.
    UnknownServer,
    /// The mode of the existing stores is unknown.
    StoreUnknown,
}

impl Operation {
    /// Builds an operation without a server and without anything to wait for.
    pub fn new(kind: OperationKind, step: OperationStep) -> Self {
        Self { kind, server: None, step, waiting_for: None }
    }

    /// Sets the server that the present step is about.
    #[must_use]
    pub fn at(self, server: impl Into<String>) -> Self {
        Self { server: Some(server.into()), ..self }
    }

    /// Sets the condition that the step waits for.
    #[must_use]
    pub fn waiting_for(self, cause: impl Into<String>) -> Self {
        Self { waiting_for: Some(cause.into()), ..self }
    }
}

impl Blocked {
    /// Builds a blocked change from the category and the text of its cause.
    pub fn new(reason: BlockedReason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}
