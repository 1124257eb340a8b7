//! The plan: what the resources are to be now, and at most one action.

mod action;

use std::collections::{BTreeMap, BTreeSet};

pub use action::{Action, PeerRef, PodRef, PvcRef, ServerRef};

use crate::{
    actual::{ActualState, ConfigKey, Kind},
    health::Assessment,
    snapshot::PeerId,
    time::Time,
    version::Version,
};

/// What the spec asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desired {
    /// The number of servers, 1 to 99.
    pub replicas: u32,
    /// The version of the NATS image, if its tag tells.
    pub version: Option<Version>,
    /// The memory store of each server, in bytes; 0 is off.
    pub memory_store: u64,
    /// Rolling updates go on without JetStream being healthy (annotation `force-rollout`).
    pub force_rollout: bool,
    /// The hash of the Pod template for each configuration variant.
    pub templates: BTreeMap<Variant, String>,
}

/// A configuration variant: which key Pods read, and whether it has a cluster block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Variant {
    /// The key that the Pod template names.
    pub key: ConfigKey,
    /// The kind of configuration in it.
    pub kind: Kind,
}

impl Variant {
    /// Every variant that there is. [`ConfigKey::Clustered`] is never standalone.
    pub const ALL: [Self; 3] = [
        Self { key: ConfigKey::Main, kind: Kind::Standalone },
        Self { key: ConfigKey::Main, kind: Kind::Clustered },
        Self { key: ConfigKey::Clustered, kind: Kind::Clustered },
    ];
}

/// What is known about the servers.
#[derive(Clone, Debug)]
pub enum Observation<'a> {
    /// Polling is off: the manager runs outside of the cluster's network (`--nats-url`).
    Off,
    /// No server is ready, and none has ever answered.
    Starting,
    /// Servers are ready, and none has answered so far: the network may need a moment.
    Pending,
    /// Servers have been ready for long, and none has ever answered (a network policy).
    Unobservable {
        /// Why not.
        cause: String,
    },
    /// Servers answered; some or all may be unreachable now.
    Seen(&'a Assessment),
}

/// Everything that a plan is made of.
#[derive(Clone, Debug)]
pub struct Input<'a> {
    /// The present time.
    pub now: Time,
    /// The spec.
    pub desired: &'a Desired,
    /// Kubernetes' state.
    pub actual: &'a ActualState,
    /// The servers' state.
    pub observation: Observation<'a>,
    /// The names of all streams of the default account, asked of the API after the plan that is to be confirmed was
    /// made; `Err` when the API did not answer. `None` where nothing is to be confirmed.
    pub streams: Option<&'a Result<BTreeSet<String>, String>>,
    /// What earlier plans did.
    pub history: &'a History,
}

/// What earlier plans did, where no observation shows it. Kept in memory but for `removed`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// When each peer was removed from the meta group. Its name cannot rejoin for five minutes. Persisted.
    pub removed: BTreeMap<PeerId, Time>,
    /// When each server was last restarted for a write error.
    pub restarted: BTreeMap<String, Time>,
    /// When each server was last told to reload.
    pub reloaded: BTreeMap<String, Time>,
    /// When each stream was last asked for another leader, and how often in a row.
    pub stepped_down: BTreeMap<crate::snapshot::StreamId, (Time, u32)>,
    /// When each stream was last asked to move.
    pub moved: BTreeMap<crate::snapshot::StreamId, Time>,
}

/// What the resources are to be now, and at most one action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// `spec.replicas` of the StatefulSet.
    pub replicas: u32,
    /// The variant that the Pod template names.
    pub variant: Variant,
    /// The number of servers that the configuration has routes to, and that is recorded as the membership.
    pub members: u32,
    /// The kind of configuration under [`ConfigKey::Main`]: that of the Pods that read it.
    pub main_kind: Kind,
    /// The partition of the rolling update.
    pub partition: u32,
    /// The `resourceVersion` that replicas and partition were computed from, where they change.
    pub precondition: Option<String>,
    /// The action to carry out; for a disruptive one that is not confirmed, to confirm.
    pub action: Option<Action>,
    /// The action is confirmed on a younger snapshot, and may be carried out. Always true for one that is not
    /// disruptive.
    pub is_confirmed: bool,
    /// The change that is in progress.
    pub operation: Option<Operation>,
    /// Changes that are not carried out.
    pub blocked: Vec<Blocked>,
    /// When to plan again, where only time has to pass.
    pub until: Option<Time>,
}

/// A change in progress. Its texts stay constant while a step lasts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// The change.
    pub kind: OperationKind,
    /// The server that the present step is about.
    pub server: Option<String>,
    /// The present step.
    pub step: Step,
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
pub enum Step {
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
    /// The PVCs of a deleted resource are terminating.
    PvcTerminating,
    /// A server of another cluster has joined the meta group.
    UnknownServer,
    /// The kind of store that exists is unknown.
    StoreUnknown,
}
