//! What a plan is made of.

use std::collections::{BTreeMap, BTreeSet};

use super::{Action, ServerRef};
use crate::{
    actual::{ActualState, ConfigKey, ServerMode},
    health::Assessment,
    snapshot::{PeerId, StreamId},
    time::Time,
    version::Version,
};

/// What the spec asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Desired {
    /// The number of servers, 1 to 99.
    pub replicas: u32,
    /// The version of the NATS image, if its tag has one.
    pub version: Option<Version>,
    /// The memory store of each server, in bytes; 0 is off.
    pub memory_store: u64,
    /// Rolling updates go on without JetStream being healthy (annotation `force-rollout`).
    pub force_rollout: bool,
}

/// A configuration variant: the key that Pods read, and whether it has a cluster block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Variant {
    /// The key that the Pod template names.
    pub key: ConfigKey,
    /// The kind of configuration in it.
    pub kind: ServerMode,
}

impl Variant {
    /// Every variant that there is. [`ConfigKey::Clustered`] is never standalone.
    pub const ALL: [Self; 3] = [Self::main(ServerMode::Standalone), Self::main(ServerMode::Clustered), Self::FORMED];

    /// The variant of a cluster that was formed from a standalone server.
    pub const FORMED: Self = Self { key: ConfigKey::Clustered, kind: ServerMode::Clustered };

    /// Returns the variant that fresh servers of this kind have, and the predecessor's.
    pub const fn main(kind: ServerMode) -> Self {
        Self { key: ConfigKey::Main, kind }
    }
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
#[derive(Clone, Copy)]
pub struct PlanInput<'a> {
    /// The present time.
    pub now: Time,
    /// The spec.
    pub desired: &'a Desired,
    /// Returns a hash of the Pod template for a configuration variant and a memory store in bytes.
    pub template: &'a (dyn Fn(Variant, u64) -> String + Sync),
    /// Kubernetes' state.
    pub actual: &'a ActualState,
    /// The servers' state.
    pub observation: &'a Observation<'a>,
    /// The names of all streams of the default account, asked of the API before the poll that `observation` is from;
    /// `Err` when the API did not answer. `None` where it was not asked: see [`super::Plan::needs_streams`].
    pub streams: Option<&'a Result<BTreeSet<String>, String>>,
    /// The servers have the default account and the system account, and no other.
    pub has_default_account_only: bool,
    /// Servers that have not taken the present configuration for so long that they have to be told.
    pub late_reloads: &'a [ServerRef],
    /// What earlier plans did.
    pub history: &'a History,
}

/// What earlier plans did, where no observation shows it. In memory, but for `removed`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// When each peer was removed from the meta group. Its name cannot rejoin for five minutes. Persisted.
    pub removed: BTreeMap<PeerId, Time>,
    /// When each server was last restarted for a write error.
    pub restarted: BTreeMap<String, Time>,
    /// When each server was last told to reload.
    pub reloaded: BTreeMap<String, Time>,
    /// When each stream was last asked for another leader, and how often in a row.
    pub stepped_down: BTreeMap<StreamId, (Time, u32)>,
    /// When each stream was last asked to move.
    pub moved: BTreeMap<StreamId, Time>,
}

impl History {
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
            Action::RestartServer { server, .. } => _ = self.restarted.insert(server.clone(), now),
            Action::Reload { servers } => {
                self.reloaded.extend(servers.iter().map(|server| (server.name.clone(), now)));
            }
            Action::RemovePeers { peers } => {
                self.removed.extend(peers.iter().map(|peer| (peer.id.clone(), now)));
            }
            Action::StopServers { .. } => {
                self.stepped_down.clear();
                self.moved.clear();
            }
            Action::OpenPartition { .. }
            | Action::JoinCluster { .. }
            | Action::ReplacePods { .. }
            | Action::DeletePvcs { .. } => {}
        }
    }
}

impl<'a> PlanInput<'a> {
    /// Returns the assessment, if servers ever answered.
    pub fn assessment(&self) -> Option<&'a Assessment> {
        match self.observation {
            Observation::Seen(assessment) => Some(assessment),
            _ => None,
        }
    }

    /// Returns whether the servers' monitoring ports cannot be relied on to answer at all.
    pub fn is_unobservable(&self) -> bool {
        matches!(self.observation, Observation::Off | Observation::Unobservable { .. })
    }
}
