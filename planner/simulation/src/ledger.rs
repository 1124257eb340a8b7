//! What was done, and which invariants were violated.

use std::collections::BTreeMap;

use nats_manager_planner::plan::{Action, BlockedReason, OperationKind, OperationStep};

use crate::{kubernetes::objects::Actor, servers::SERVERS};

/// An invariant of the design that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Its number, 1 to 6.
    pub invariant: u8,
    /// When.
    pub at: u64,
    /// What happened.
    pub text: String,
}

/// Notes of a run.
#[derive(Clone, Debug)]
pub struct Ledger {
    /// Who took each server away that is not back yet.
    pub away: [Option<Actor>; SERVERS],
    /// It is to stay away.
    pub condemned: [bool; SERVERS],
    /// Who deleted each PVC.
    pub pvc_deleted: [Actor; SERVERS],
    /// Violations so far.
    pub violations: Vec<Violation>,
    /// Writes to the apiserver and requests to NATS.
    pub writes: u64,
    /// When the last one was.
    pub written_at: u64,
    /// When each stream was asked for another leader.
    pub step_downs: BTreeMap<String, Vec<u64>>,
    /// How often each thing occurred.
    pub coverage: Coverage,
    /// What happened, if it is recorded.
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
    /// Notes a violation.
    pub fn violate(&mut self, invariant: u8, at: u64, text: impl Into<String>) {
        if self.violations.len() < 20 {
            self.violations.push(Violation { invariant, at, text: text.into() });
        }
    }

    /// Notes what happened, if somebody reads it.
    pub fn tell(&mut self, at: u64, text: impl FnOnce() -> String) {
        if let Some(story) = &mut self.story {
            story.push(format!("{at:>6} s  {}", text()));
        }
    }
}

/// How often each thing occurred.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Actions that were carried out.
    pub actions: BTreeMap<&'static str, u64>,
    /// Plans with this reason for a change that is not carried out.
    pub blocked: BTreeMap<BlockedReason, u64>,
    /// Plans with this step.
    pub steps: BTreeMap<(OperationKind, OperationStep), u64>,
    /// Actions that a younger snapshot did not confirm.
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
        Action::Reload { .. } => "Reload",
    }
}

/// All variants, so that those that never occur show.
pub const VARIANTS: [&str; 9] = [
    "Evacuate",
    "OpenPartition",
    "StopServers",
    "JoinCluster",
    "RestartServer",
    "ReplacePods",
    "RemovePeers",
    "DeletePvcs",
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
