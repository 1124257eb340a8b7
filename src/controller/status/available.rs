//! The condition `Available`: clients can publish and read. Without a quorum it is False even if all Pods are ready,
//! and the state is Warning, since nothing is being deployed.

use nats_manager_api::{ConditionType, Reason};

use super::{
    StatusFacts,
    message::{quorum_lost, unreachable},
    serving::Serving,
    update::{ConditionStatus, Update},
};

/// Text of the contract for a cluster that is not available yet.
pub(super) const NOT_YET: &str = "NATS is being deployed, waiting for StatefulSet to get ready.";

impl Update<'_> {
    /// Sets the condition. Returns whether it became True, or changed while True.
    pub(super) fn available(&mut self, facts: &StatusFacts<'_>) -> bool {
        let kind = ConditionType::Available;
        let was_unavailable =
            self.had_reason(kind, Reason::QuorumLost) || self.had_reason(kind, Reason::ServersUnreachable);
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
            Serving::Undecided if was_unavailable => {
                self.warn();
                false
            }
            Serving::Yes | Serving::Undecided => {
                self.set(kind, ConditionStatus::True, Reason::Deployed, "NATS is deployed")
            }
        }
    }
}
