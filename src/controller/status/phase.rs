//! How far a cluster is, as clients see it.

use nats_manager_api::{ConditionType, ModuleState, Reason};
use nats_manager_planner::{
    health::{IssueKind, Quorum, quorum},
    plan::Observation,
};

use super::{
    StatusFacts,
    available::NOT_YET,
    update::{ConditionStatus, Update},
};

/// How far a cluster is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DeploymentPhase {
    /// Everything is as desired.
    Ready,
    /// Servers restart or are added, and JetStream continues: no outage.
    Rolling,
    /// It cannot be used: not yet, or not now.
    Deploying,
}

impl DeploymentPhase {
    /// `was_ready`: clients could use it once. Until then its servers also have to form a meta group. Later one poll
    /// that fails changes nothing.
    pub(super) fn of(facts: &StatusFacts<'_>, was_ready: bool) -> Self {
        if facts.applied.is_complete && (was_ready || is_joined(facts)) && !facts.is_forming() {
            Self::Ready
        } else if was_ready && has_quorum(facts) {
            Self::Rolling
        } else {
            Self::Deploying
        }
    }
}

/// Returns whether the servers have found each other, or nothing is known of it.
fn is_joined(facts: &StatusFacts<'_>) -> bool {
    let issues = facts.assessment().map(|assessment| assessment.issues.as_slice()).unwrap_or_default();
    !issues.iter().any(|issue| matches!(issue.kind, IssueKind::NoMetaLeader | IssueKind::NotInMetaGroup { .. }))
}

/// Returns whether JetStream continues: its answers prove it, or enough Pods are ready.
fn has_quorum(facts: &StatusFacts<'_>) -> bool {
    if facts.is_forming() {
        return false;
    }
    let is_proven = match facts.observation {
        Observation::Seen(assessment) => {
            let is_ready = |server: &str| facts.is_serving(server);
            quorum(&assessment.snapshot, &facts.members(), is_ready) == Quorum::Present
        }
        _ => false,
    };
    is_proven || facts.applied.ready > facts.counted_servers / 2
}

impl Update<'_> {
    /// Sets the state, and the conditions that follow from the phase.
    pub(super) fn phase(&mut self, facts: &StatusFacts<'_>) {
        let phase = DeploymentPhase::of(facts, self.was_ready());
        self.stateful_set(facts, phase);
        match phase {
            DeploymentPhase::Ready => {
                self.state(ModuleState::Ready);
                self.status.url = facts.id.url();
                self.zones(facts);
                if self.available(facts) {
                    self.announce(false, Reason::Deployed, "StatefulSet is ready and NATS is deployed.");
                }
            }
            DeploymentPhase::Rolling => {
                self.state(ModuleState::Ready);
                self.keep_zones();
                self.available(facts);
            }
            DeploymentPhase::Deploying => {
                self.state(ModuleState::Processing);
                self.no_zones();
                if self.set(ConditionType::Available, ConditionStatus::False, Reason::Deploying, NOT_YET) {
                    self.announce(false, Reason::Deploying, NOT_YET);
                }
            }
        }
    }
}
