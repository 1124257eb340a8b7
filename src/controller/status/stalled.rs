//! The condition `Stalled`: a change is blocked. Its message contains the cause and the way out.

use nats_manager_api::{ConditionType, Reason};
use nats_manager_planner::plan::BlockedReason;

use super::{
    StatusFacts, text,
    update::{ConditionStatus, Update},
};

impl Update<'_> {
    pub(super) fn stalled(&mut self, facts: &StatusFacts<'_>) {
        let kind = ConditionType::Stalled;
        let plan = facts.plan;
        let cause = self.unapplied_cause(facts);
        let unapplied = cause.as_deref().map(|cause| (Reason::FailedProcessing, cause));
        if !plan.is_consistent && plan.blocked.is_empty() && unapplied.is_none() && self.is_kept_while_inconsistent() {
            // The watch caches disagree for a moment.
            if self.old.holds(kind) {
                self.warn();
            }
            return;
        }
        let blocked = plan.blocked.iter().map(|blocked| (reason(blocked.reason), blocked.message.as_str()));
        let all: Vec<(Reason, &str)> = unapplied.into_iter().chain(blocked).collect();
        let Some((reason, _)) = all.first().copied() else {
            self.not_stalled();
            return;
        };
        let messages: Vec<&str> = all.iter().map(|(_, message)| *message).collect();
        self.warn();
        let message = messages.join(". ");
        // Volume drivers add ids of requests to their errors.
        let kept = self
            .old_message(kind, reason)
            .filter(|old| reason == Reason::VolumeExpansionBlocked && text::differs_in_ids_only(old, &message));
        let message = kept.map_or(message, str::to_owned);
        if self.set(kind, ConditionStatus::True, reason, &message) {
            self.announce(true, reason, &message);
        }
    }

    /// Returns whether the previous condition may stay. One about children that could not be applied ends when they are
    /// applied.
    fn is_kept_while_inconsistent(&self) -> bool {
        let kind = ConditionType::Stalled;
        self.old.condition(kind).is_some() && !self.had_reason(kind, Reason::FailedProcessing)
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
        BlockedReason::VolumeExpansionBlocked => Reason::VolumeExpansionBlocked,
        BlockedReason::PvcTerminating => Reason::PvcTerminating,
        BlockedReason::ReplacementBlocked => Reason::ReplacementBlocked,
        BlockedReason::RepairBlocked => Reason::RepairBlocked,
        BlockedReason::UnknownServer => Reason::UnknownServer,
        BlockedReason::StoreUnknown => Reason::StoreUnknown,
    }
}
