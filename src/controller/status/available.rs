//! The condition `Available`: clients can publish and read. Without a quorum they cannot, whatever the Pods report. That
//! is a Warning, since nothing is being deployed.

use nats_manager_api::{ConditionType, Reason};

use super::{
    StatusFacts,
    message::{quorum_lost, unreachable},
    serving::Serving,
    update::{ConditionStatus, Update},
};

/// The contract's text of a cluster that cannot be used yet.
pub(super) const NOT_YET: &str = "NATS is being deployed, waiting for StatefulSet to get ready.";

impl Update<'_> {
    /// Sets the condition. Returns whether clients can use NATS again.
    pub(super) fn available(&mut self, facts: &StatusFacts<'_>) -> bool {
        let kind = ConditionType::Available;
        let was_away = self.was(kind, Reason::QuorumLost) || self.was(kind, Reason::ServersUnreachable);
        match Serving::of(facts, self.now) {
            Serving::No => {
                self.warn();
                self.set(kind, ConditionStatus::False, Reason::QuorumLost, &quorum_lost(facts, self.now));
                false
            }
            Serving::Unknown => {
                self.warn();
                self.set(kind, ConditionStatus::Unknown, Reason::ServersUnreachable, &unreachable(facts));
                false
            }
            Serving::Undecided if was_away => {
                self.warn();
                false
            }
            Serving::Yes | Serving::Undecided => {
                self.set(kind, ConditionStatus::True, Reason::Deployed, "NATS is deployed")
            }
        }
    }
}
