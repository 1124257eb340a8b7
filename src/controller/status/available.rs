//! The condition `Available`: clients can publish and read. Without a quorum they cannot, whatever the Pods report. That
//! is a Warning, since nothing is being deployed.

use nats_manager_api::{ConditionType, Reason};
use nats_manager_planner::{
    health::{Quorum, has_lasted, quorum, quorum_lost_since},
    plan::Observation,
};

use super::{
    Facts,
    message::{quorum_lost, unreachable},
    severity::LASTING,
    update::{Truth, Update},
};

/// The contract's text of a cluster that cannot be used yet.
pub(super) const NOT_YET: &str = "NATS is being deployed, waiting for StatefulSet to get ready.";

/// What is known of the quorum, with what passes by itself left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Serving {
    /// There is a quorum, or nothing speaks against it.
    Yes,
    /// There has been none for long enough.
    No,
    /// The servers have been unreachable for long enough, and may serve.
    Unknown,
    /// It may be gone since a moment ago: what was known before still counts.
    Undecided,
}

impl Serving {
    pub(super) fn of(facts: &Facts<'_>, now: nats_manager_planner::Time) -> Self {
        let assessment = match facts.observation {
            Observation::Seen(assessment) => assessment,
            // A manager that has just started has to poll first.
            Observation::Pending => return Self::Undecided,
            Observation::Off | Observation::Starting | Observation::Unobservable { .. } => return Self::Yes,
        };
        let members = facts.members();
        let has_lasted = || has_lasted(quorum_lost_since(assessment, &members), now, LASTING);
        match quorum(&assessment.snapshot, &members, |server| facts.is_serving(server)) {
            Quorum::Present => Self::Yes,
            Quorum::Lost if has_lasted() => Self::No,
            Quorum::Unknown if has_lasted() => Self::Unknown,
            Quorum::Lost | Quorum::Unknown => Self::Undecided,
        }
    }
}

impl Update<'_> {
    /// Sets the condition. Returns whether clients can use NATS again.
    pub(super) fn available(&mut self, facts: &Facts<'_>) -> bool {
        let kind = ConditionType::Available;
        let was_away = self.was(kind, Reason::QuorumLost) || self.was(kind, Reason::ServersUnreachable);
        match Serving::of(facts, self.now) {
            Serving::No => {
                self.warn();
                self.set(kind, Truth::False, Reason::QuorumLost, &quorum_lost(facts, self.now));
                false
            }
            Serving::Unknown => {
                self.warn();
                self.set(kind, Truth::Unknown, Reason::ServersUnreachable, &unreachable(facts));
                false
            }
            Serving::Undecided if was_away => {
                self.warn();
                false
            }
            Serving::Yes | Serving::Undecided => self.set(kind, Truth::True, Reason::Deployed, "NATS is deployed"),
        }
    }
}
