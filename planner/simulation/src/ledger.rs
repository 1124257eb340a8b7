//! Records of a run: actions, writes, and violated invariants.

use std::collections::BTreeMap;

use nats_manager_planner::plan::{Action, BlockedReason, OperationKind, OperationStep};

use crate::{kubernetes::objects::Actor, servers::SERVERS};

/// A violated invariant of the design.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Number of the invariant, 1 to 7.
    pub invariant: u8,
    /// Second of the violation.
    pub at: u64,
    /// Description of the violation.
    pub text: String,
}

/// Records of a run.
#[derive(Clone, Debug)]
pub struct Ledger {
    /// Actor that took each server away, until the server is back.
    pub away: [Option<Actor>; SERVERS],
    /// Servers that stay away for good.
    pub condemned: [bool; SERVERS],
    /// Actor that deleted each PVC.
    pub pvc_deleted: [Actor; SERVERS],
    /// Violations so far, at most 20.
    pub violations: Vec<Violation>,
    /// Number of writes to the apiserver and requests to NATS.
    pub writes: u64,
    /// Second of the last write or request.
    pub written_at: u64,
    /// Seconds of the requests for another leader, by stream.
    pub step_downs: BTreeMap<String, Vec<u64>>,
    /// Counts of actions, steps and blocked changes.
    pub coverage: Coverage,
    /// Lines of the story; `None` if it is not recorded.
    pub story: Option<Vec<String>>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            away: [None; SERVERS],
            condemned: [false; SERVERS],
            pvc_deleted: [Actor::Other; SERVERS],
            violations: Vec::new(),
            writes: 0,
            written_at: 0,
            step_downs: BTreeMap::new(),
            coverage: Coverage::default(),
            story: None,
        }
    }
}

impl Ledger {
    /// Records a violation, up to 20.
    pub fn violate(&mut self, invariant: u8, at: u64, text: impl Into<String>) {
        if self.violations.len() < 20 {
            self.violations.push(Violation { invariant, at, text: text.into() });
        }
    }

    /// Adds a line to the story, if it is recorded.
    pub fn log(&mut self, at: u64, text: impl FnOnce() -> String) {
        if let Some(story) = &mut self.story {
            story.push(format!("{at:>6} s  {}", text()));
        }
    }
}

/// Counts of actions, steps and blocked changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Number of actions that were carried out, by variant.
    pub actions: BTreeMap<&'static str, u64>,
    /// Number of plans with a blocked change, by reason.
    pub blocked: BTreeMap<BlockedReason, u64>,
    /// Number of plans, by kind and step of the operation.
    pub steps: BTreeMap<(OperationKind, OperationStep), u64>,
    /// Number of actions that a newer snapshot did not confirm, by variant.
    pub unconfirmed: BTreeMap<&'static str, u64>,
}

/// Returns the name of an action's variant.
pub fn variant(action: &Action) -> &'static str {
    match action {
        Action::Evacuate { .. } => "Evacuate",
        Action::OpenPartition { .. } => "OpenPartition",
        Action::StopServers { .. } => "StopServers",
        Action::JoinCluster { .. } => "JoinCluster",
        Action::RestartServer { .. } => "RestartServer",
        Action::ReplacePods { .. } => "ReplacePods",
        Action::RemovePeers { .. } => "RemovePeers",
        Action::DeletePvcs { .. } => "DeletePvcs",
        Action::ExpandPvcs { .. } => "ExpandPvcs",
        Action::ReplaceServer { .. } => "ReplaceServer",
        Action::RecreateStatefulSet { .. } => "RecreateStatefulSet",
        Action::Reload { .. } => "Reload",
    }
}

/// Names of all variants of actions, to find those that never occur.
pub const VARIANTS: [&str; 12] = [
    "Evacuate",
    "OpenPartition",
    "StopServers",
    "JoinCluster",
    "RestartServer",
    "ReplacePods",
    "RemovePeers",
    "DeletePvcs",
    "ExpandPvcs",
    "RecreateStatefulSet",
    "ReplaceServer",
    "Reload",
];

impl Coverage {
    /// Adds the counts of another run.
    pub fn add(&mut self, other: &Self) {
        fn sum<K: Ord + Copy>(into: &mut BTreeMap<K, u64>, from: &BTreeMap<K, u64>) {
            for (key, count) in from {
                *into.entry(*key).or_default() += count;
            }
        }
        sum(&mut self.actions, &other.actions);
        sum(&mut self.blocked, &other.blocked);
        sum(&mut self.steps, &other.steps);
        sum(&mut self.unconfirmed, &other.unconfirmed);
    }
}
