//! Deployment phase of a cluster from the view of clients.

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

/// Deployment phase of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DeploymentPhase {
    /// All servers as desired.
    Ready,
    /// Servers that restart or are added, while JetStream has a quorum: no outage.
    Rolling,
    /// A cluster that clients cannot use, not yet or not at the moment.
    Deploying,
}

impl DeploymentPhase {
    /// Returns the phase. `was_ready` is true if clients could use the cluster before. Until then its servers also have
    /// to form a meta group. Later a single failed poll changes nothing.
    pub(super) fn of(facts: &StatusFacts<'_>, was_ready: bool) -> Self {
        if facts.applied.is_complete && (was_ready || has_meta_leader(facts)) && !facts.is_forming() {
            Self::Ready
        } else if was_ready && has_quorum(facts) {
            Self::Rolling
        } else {
            Self::Deploying
        }
    }
}

/// Returns whether the servers have formed a meta group. True without a poll.
fn has_meta_leader(facts: &StatusFacts<'_>) -> bool {
    let issues = facts.assessment().map(|assessment| assessment.issues.as_slice()).unwrap_or_default();
    !issues.iter().any(|issue| matches!(issue.kind, IssueKind::NoMetaLeader | IssueKind::NotInMetaGroup { .. }))
}

/// Returns whether JetStream has a quorum: a poll confirms it, or enough Pods are ready.
fn has_quorum(facts: &StatusFacts<'_>) -> bool {
    if facts.is_forming() {
        return false;
    }
    let is_confirmed = match facts.observation {
        Observation::Seen(assessment) => {
            let is_ready = |server: &str| facts.is_serving(server);
            quorum(&assessment.snapshot, &facts.members(), is_ready) == Quorum::Present
        }
        _ => false,
    };
    is_confirmed || facts.applied.ready > facts.counted_servers / 2
}

impl Update<'_> {
    /// Sets the state, and the conditions that follow from the phase. Returns the phase.
    pub(super) fn phase(&mut self, facts: &StatusFacts<'_>) -> DeploymentPhase {
        let phase = DeploymentPhase::of(facts, self.was_ready());
        self.stateful_set(facts, phase);
        match phase {
            DeploymentPhase::Ready => {
                self.state(ModuleState::Ready);
                self.status.url = facts.id.url(facts.domain);
                self.zones(facts);
                if self.available(facts) {
                    self.announce(false, Reason::Deployed, "StatefulSet is ready and NATS is deployed.");
                }
            }
            DeploymentPhase::Rolling => {
                self.state(ModuleState::Ready);
                self.keep_zones();
                if self.available(facts) {
                    self.announce(false, Reason::Deployed, "NATS serves clients again.");
                }
            }
            DeploymentPhase::Deploying => {
                self.state(ModuleState::Processing);
                self.no_zones();
                if facts.unapplied.is_none()
                    && self.set(ConditionType::Available, ConditionStatus::False, Reason::Deploying, NOT_YET)
                {
                    self.announce(false, Reason::Deploying, NOT_YET);
                }
            }
        }
        phase
    }
}
