//! Whether clients are served: the quorum, with what passes by itself left out.

use nats_manager_planner::{
    health::{Quorum, has_lasted, quorum, quorum_lost_since},
    plan::Observation,
};

use super::{StatusFacts, severity::LASTING};

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
    pub(super) fn of(facts: &StatusFacts<'_>, now: nats_manager_planner::Time) -> Self {
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
