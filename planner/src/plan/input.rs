//! Input of a plan.

use std::collections::{BTreeMap, BTreeSet};

use super::{Action, Plan, ServerRef};
use crate::{
    actual::{ActualState, ConfigKey, ServerMode},
    health::Assessment,
    snapshot::{PeerId, StreamId},
    time::Time,
    version::Version,
};

/// Desired state: the part of the spec that plans depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Desired {
    /// The number of servers, 1 to 99.
    pub replicas: u32,
    /// The version of the NATS image, if its tag has one.
    pub version: Option<Version>,
    /// The memory store of each server, in bytes; 0 is off.
    pub memory_store: u64,
    /// The volume of each server, in bytes; `None` without volumes.
    pub volume_size: Option<u64>,
    /// Rolling updates continue while JetStream is not healthy (annotation `force-rollout`).
    pub force_rollout: bool,
    /// An immutable field of the existing StatefulSet differs, so that only a new StatefulSet can have the desired value.
    pub recreate_stateful_set: bool,
}

/// A configuration variant: the key that Pods read, and the mode of the configuration in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Variant {
    /// The key that the Pod template names.
    pub key: ConfigKey,
    /// The mode of the configuration under the key.
    pub kind: ServerMode,
}

impl Variant {
    /// All variants. [`ConfigKey::Clustered`] is never standalone.
    pub const ALL: [Self; 3] = [Self::main(ServerMode::Standalone), Self::main(ServerMode::Clustered), Self::FORMED];

    /// The variant of a cluster that was formed from a standalone server.
    pub const FORMED: Self = Self { key: ConfigKey::Clustered, kind: ServerMode::Clustered };

    /// Returns the variant of fresh servers of this mode, and of servers of the predecessor.
    pub const fn main(kind: ServerMode) -> Self {
        Self { key: ConfigKey::Main, kind }
    }
}

/// The state of the servers, as far as polls have shown it.
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
        /// Cause, as the last poll reported it.
        cause: String,
    },
    /// Servers answered; some or all may be unreachable now.
    Seen(&'a Assessment),
}

/// All facts that a plan is computed from.
#[derive(Clone, Copy)]
pub struct PlanInput<'a> {
    /// Time of the decision.
    pub now: Time,
    /// Desired state, from the spec.
    pub desired: &'a Desired,
    /// Returns a hash of the Pod template for a configuration variant and a memory store in bytes.
    pub template: &'a (dyn Fn(Variant, u64) -> String + Sync),
    /// Actual state, from the watch caches.
    pub actual: &'a ActualState,
    /// State of the servers, from the last polls.
    pub observation: &'a Observation<'a>,
    /// The names of all streams of the default account, requested from the JetStream API before the poll that
    /// `observation` is from. `Err` when the API did not answer, `None` where it was not requested: see
    /// [`super::Plan::needs_streams`].
    pub streams: Option<&'a Result<BTreeSet<String>, String>>,
    /// The servers have no other accounts than the default account and the system account.
    pub has_default_account_only: bool,
    /// Servers that have not loaded the present configuration for so long that they have to be reloaded.
    pub late_reloads: &'a [ServerRef],
    /// Actions of earlier plans.
    pub history: &'a History,
}

/// Actions of earlier plans that no observation shows. Kept in memory, except `removed`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// Time at which each peer was removed from the meta group. Its name cannot rejoin for five minutes. Persisted.
    pub removed: BTreeMap<PeerId, Time>,
    /// Time of the last restart of each server for a write error.
    pub restarted: BTreeMap<String, Time>,
    /// Time of the last reload request to each server.
    pub reloaded: BTreeMap<String, Time>,
    /// Time of the last request for another leader of each stream, and the number of requests in a row.
    pub stepped_down: BTreeMap<StreamId, (Time, u32)>,
    /// Servers that were replaced, and may not have all replicas yet.
    pub replaced: BTreeSet<String>,
    /// Time of the last request to move a replica of each stream.
    pub moved: BTreeMap<StreamId, Time>,
    /// Time of the last request to expand each PVC, or at which its growth was first observed, by uid.
    pub expanded: BTreeMap<String, Time>,
}

impl History {
    /// Records the PVCs whose volumes grow without a request that is recorded, such as one of another process.
    pub fn observe_growth(&mut self, actual: &ActualState, now: Time) {
        for pvc in actual.pvcs.iter().filter(|pvc| pvc.is_growing()) {
            self.expanded.entry(pvc.uid.clone()).or_insert(now);
        }
    }

    /// Records an action that was carried out.
    pub fn record(&mut self, now: Time, action: &Action) {
        match action {
            Action::Evacuate { step_down, moves, .. } => {
                for stream in step_down {
                    let (_, times) = self.stepped_down.get(stream).copied().unwrap_or((now, 0));
                    self.stepped_down.insert(stream.clone(), (now, times.saturating_add(1)));
                }
                self.moved.extend(moves.iter().map(|stream| (stream.clone(), now)));
            }
            Action::ExpandPvcs { pvcs, .. } => {
                self.expanded.extend(pvcs.iter().map(|pvc| (pvc.uid.clone(), now)));
            }
            Action::RestartServer { server, .. } => _ = self.restarted.insert(server.clone(), now),
            Action::Reload { servers } => {
                self.reloaded.extend(servers.iter().map(|server| (server.name.clone(), now)));
            }
            Action::RemovePeers { peers } => {
                self.removed.extend(peers.iter().map(|peer| (peer.id.clone(), now)));
            }
            Action::ReplaceServer { server, .. } => _ = self.replaced.insert(server.clone()),
            Action::StopServers { .. } => {
                self.stepped_down.clear();
                self.moved.clear();
            }
            Action::OpenPartition { .. }
            | Action::JoinCluster { .. }
            | Action::ReplacePods { .. }
            | Action::RecreateStatefulSet { .. }
            | Action::DeletePvcs { .. } => {}
        }
    }
}

impl History {
    /// Ends replacements once a plan shows that nothing is in progress.
    pub fn end_replacements(&mut self, plan: &Plan) {
        if plan.is_consistent && plan.operation.is_none() {
            self.replaced.clear();
        }
    }
}

impl<'a> PlanInput<'a> {
    /// Returns the assessment of the last poll; `None` if no server has ever answered.
    pub fn assessment(&self) -> Option<&'a Assessment> {
        match self.observation {
            Observation::Seen(assessment) => Some(assessment),
            _ => None,
        }
    }

    /// Returns whether no answer of the servers' monitoring ports can be expected.
    pub fn is_unobservable(&self) -> bool {
        matches!(self.observation, Observation::Off | Observation::Unobservable { .. })
    }
}
