//! Service for clients: the quorum, without changes that end within half a minute.

use nats_manager_planner::{
    health::{Quorum, has_lasted, quorum, quorum_lost_since},
    plan::Observation,
};

use super::{StatusFacts, severity::LASTING};

/// Knowledge about the quorum, without changes that end within half a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Serving {
    /// A quorum, or no evidence against it.
    Yes,
    /// A quorum that has been missing for at least [`LASTING`].
    No,
    /// Servers that have been unreachable for at least [`LASTING`], and may serve clients.
    Unknown,
    /// A quorum that may be missing for a shorter time. The previous knowledge still counts.
    Undecided,
}

impl Serving {
    pub(super) fn of(facts: &StatusFacts<'_>, now: nats_manager_planner::Time) -> Self {
        let assessment = match facts.observation {
            Observation::Seen(assessment) => assessment,
            // A manager that has started a moment ago has to poll first.
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
