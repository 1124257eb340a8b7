//! What a plan says.

use std::collections::BTreeMap;

use super::{Action, Variant};
use crate::{actual::ServerMode, snapshot::PeerId, time::Time};

/// What the resources are to be now, and at most one action.
#[expect(clippy::struct_excessive_bools, reason = "each is a question of its own to the stages that follow")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The StatefulSet and the ConfigMap may be written. False where the kind of store that exists is unknown, and
    /// while PVCs of a deleted resource are terminating.
    pub may_build: bool,
    /// `spec.replicas` of the StatefulSet.
    pub replicas: u32,
    /// The variant that the Pod template names.
    pub variant: Variant,
    /// The number of servers that the cluster block has routes to.
    pub routes: u32,
    /// The kind of configuration under [`crate::actual::ConfigKey::Main`]: that of the Pods that read it.
    pub main_kind: ServerMode,
    /// The membership to record: the number of servers that the configuration was built for. 1 and 2 are standalone.
    pub members: u32,
    /// The memory store of each server, in bytes.
    pub memory_store: u64,
    /// The partition of the rolling update.
    pub partition: u32,
    /// The `resourceVersion` of the StatefulSet that this was computed from; none where there is no StatefulSet.
    pub precondition: Option<String>,
    /// Peers that were removed, or are about to be, and when: to be recorded before the action.
    pub removed: BTreeMap<PeerId, Time>,
    /// The action to carry out. For a disruptive one that is not confirmed: to confirm.
    pub action: Option<Action>,
    /// The action is confirmed on a younger snapshot, and replicas, partition and members are as it needs them. Always
    /// true for one that is not disruptive.
    pub is_confirmed: bool,
    /// The decision depends on the names of all streams: [`super::PlanInput::streams`] has to be asked for.
    pub needs_streams: bool,
    /// The watch caches agree. Where they do not, operation and blocked changes are those of the plan before.
    pub is_settled: bool,
    /// The change that is in progress.
    pub operation: Option<Operation>,
    /// Changes that are not carried out.
    pub blocked: Vec<Blocked>,
    /// When to plan again, where only time has to pass.
    pub until: Option<Time>,
}

impl Plan {
    /// Returns the action that may be carried out now.
    pub fn confirmed_action(&self) -> Option<&Action> {
        self.action.as_ref().filter(|_| self.is_confirmed)
    }

    /// Returns the disruptive action that has to be confirmed first.
    pub fn unconfirmed_action(&self) -> Option<&Action> {
        self.action.as_ref().filter(|_| !self.is_confirmed)
    }
}

/// A change in progress. Its texts stay constant while a step lasts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// The change.
    pub kind: OperationKind,
    /// The server that the present step is about.
    pub server: Option<String>,
    /// The present step.
    pub step: OperationStep,
    /// What the step waits for.
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
    /// Something is put right: a reload, a restart, peers of earlier servers.
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
    /// Reloads the configuration.
    Reload,
}

/// A change that is not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked {
    /// Why, in a word.
    pub reason: BlockedReason,
    /// The cause and the way out.
    pub message: String,
}

/// Why a change is not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BlockedReason {
    /// The size cannot change, or not safely.
    ScalingBlocked,
    /// The version cannot change directly.
    VersionBlocked,
    /// The memory store cannot be lowered below what it holds.
    MemoryStoreBlocked,
    /// PVCs of a deleted resource are terminating.
    PvcTerminating,
    /// A server of another cluster has joined the meta group.
    UnknownServer,
    /// The kind of store that exists is unknown.
    StoreUnknown,
}

impl Operation {
    /// Builds an operation without a server and without anything to wait for.
    pub fn new(kind: OperationKind, step: OperationStep) -> Self {
        Self { kind, server: None, step, waiting_for: None }
    }

    /// Returns it with its server.
    #[must_use]
    pub fn at(self, server: impl Into<String>) -> Self {
        Self { server: Some(server.into()), ..self }
    }

    /// Returns it with what it waits for.
    #[must_use]
    pub fn waiting_for(self, cause: impl Into<String>) -> Self {
        Self { waiting_for: Some(cause.into()), ..self }
    }
}

impl Blocked {
    /// Builds a blocked change.
    pub fn new(reason: BlockedReason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}
