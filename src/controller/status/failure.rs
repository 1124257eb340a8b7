//! The conditions of a resource that is not the allowed one, and of one that could not be deployed.

use nats_manager_api::{ConditionType, ModuleState, NamespacedName, Reason, rules};

use super::update::{ConditionStatus, Update};

impl Update<'_> {
    /// Reports a resource that is not the allowed one.
    pub(super) fn forbidden(&mut self, allowed: &NamespacedName) {
        let message = rules::forbidden_message(allowed);
        self.state(ModuleState::Error);
        self.set(ConditionType::StatefulSet, ConditionStatus::False, Reason::Forbidden, &message);
        self.stopped(Reason::Forbidden, &message);
        if self.set(ConditionType::Available, ConditionStatus::False, Reason::Forbidden, &message) {
            self.announce(true, Reason::Forbidden, &message);
        }
    }

    /// Reports a resource that could not be deployed. The condition `StatefulSet` stays unless `is_stateful_set`.
    pub(super) fn failed(&mut self, is_stateful_set: bool, cause: &str) {
        self.announce_new();
        self.state(ModuleState::Error);
        if is_stateful_set {
            self.set(ConditionType::StatefulSet, ConditionStatus::False, Reason::FailedToSyncResources, cause);
        }
        self.stopped(Reason::FailedProcessing, cause);
        if self.set(ConditionType::Available, ConditionStatus::False, Reason::FailedProcessing, cause) {
            self.announce(true, Reason::FailedProcessing, cause);
        }
    }

    /// Sets the conditions `Reconciling`, `Stalled` and `Ready` of a spec that cannot be carried out.
    fn stopped(&mut self, reason: Reason, message: &str) {
        self.not_reconciling();
        self.set(ConditionType::Stalled, ConditionStatus::True, reason, message);
        self.set(ConditionType::Ready, ConditionStatus::False, reason, message);
    }
}
