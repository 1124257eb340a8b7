//! The condition `Stalled`: a change is blocked. Its message contains the cause and the way out.

use nats_manager_api::{ConditionType, Reason};
use nats_manager_planner::plan::BlockedReason;

use super::{
    StatusFacts,
    update::{ConditionStatus, Update},
};

impl Update<'_> {
    pub(super) fn stalled(&mut self, facts: &StatusFacts<'_>) {
        let kind = ConditionType::Stalled;
        let plan = facts.plan;
        if !plan.is_consistent && plan.blocked.is_empty() && self.old.condition(kind).is_some() {
            // The watch caches disagree for a moment.
            if self.old.holds(kind) {
                self.warn();
            }
            return;
        }
        let Some(first) = plan.blocked.first() else {
            self.not_stalled();
            return;
        };
        let all: Vec<&str> = plan.blocked.iter().map(|blocked| blocked.message.as_str()).collect();
        self.warn();
        let (reason, message) = (reason(first.reason), all.join(". "));
        if self.set(kind, ConditionStatus::True, reason, &message) {
            self.announce(true, reason, &message);
        }
    }

    pub(super) fn not_stalled(&mut self) {
        self.set(ConditionType::Stalled, ConditionStatus::False, Reason::NotBlocked, "No change is blocked.");
    }
}

fn reason(reason: BlockedReason) -> Reason {
    match reason {
        BlockedReason::ScalingBlocked => Reason::ScalingBlocked,
        BlockedReason::VersionBlocked => Reason::VersionBlocked,
        BlockedReason::MemoryStoreBlocked => Reason::MemoryStoreBlocked,
        BlockedReason::PvcTerminating => Reason::PvcTerminating,
        BlockedReason::UnknownServer => Reason::UnknownServer,
        BlockedReason::StoreUnknown => Reason::StoreUnknown,
    }
}
