//! A resource that is not the one that may exist, and one that could not be deployed.

use nats_manager_api::{ConditionType, ModuleState, NamespacedName, Reason, rules};

use super::update::{ConditionStatus, Update};

impl Update<'_> {
    pub(super) fn forbidden(&mut self, allowed: &NamespacedName) {
        let message = rules::forbidden_message(allowed);
        self.state(ModuleState::Error);
        self.set(ConditionType::StatefulSet, ConditionStatus::False, Reason::Forbidden, &message);
        self.stopped(Reason::Forbidden, &message);
        if self.set(ConditionType::Available, ConditionStatus::False, Reason::Forbidden, &message) {
            self.announce(true, Reason::Forbidden, &message);
        }
    }

    /// `stateful_set`: it was the obstacle. What was deployed before stays.
    pub(super) fn failed(&mut self, stateful_set: bool, cause: &str) {
        self.greet();
        self.state(ModuleState::Error);
        if stateful_set {
            self.set(ConditionType::StatefulSet, ConditionStatus::False, Reason::FailedToSyncResources, cause);
        }
        self.stopped(Reason::FailedProcessing, cause);
        if self.set(ConditionType::Available, ConditionStatus::False, Reason::FailedProcessing, cause) {
            self.announce(true, Reason::FailedProcessing, cause);
        }
    }

    /// The spec cannot be carried out.
    fn stopped(&mut self, reason: Reason, message: &str) {
        self.not_reconciling();
        self.set(ConditionType::Stalled, ConditionStatus::True, reason, message);
        self.set(ConditionType::Ready, ConditionStatus::False, reason, message);
    }
}
