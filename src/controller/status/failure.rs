//! A resource that is not the one that may exist, and one that could not be deployed.

use nats_manager_api::{ConditionType, NamespacedName, Reason, State, rules};

use super::update::{Truth, Update};

impl Update<'_> {
    pub(super) fn forbidden(&mut self, allowed: &NamespacedName) {
        let message = rules::forbidden_message(allowed);
        self.state(State::Error);
        self.set(ConditionType::StatefulSet, Truth::False, Reason::Forbidden, &message);
        self.stopped(Reason::Forbidden, &message);
        if self.set(ConditionType::Available, Truth::False, Reason::Forbidden, &message) {
            self.announce(true, Reason::Forbidden, &message);
        }
    }

    /// `stateful_set`: it was the obstacle. What was deployed before stays.
    pub(super) fn failed(&mut self, stateful_set: bool, cause: &str) {
        self.greet();
        self.state(State::Error);
        if stateful_set {
            self.set(ConditionType::StatefulSet, Truth::False, Reason::FailedToSyncResources, cause);
        }
        self.stopped(Reason::FailedProcessing, cause);
        if self.set(ConditionType::Available, Truth::False, Reason::FailedProcessing, cause) {
            self.announce(true, Reason::FailedProcessing, cause);
        }
    }

    /// The spec cannot be carried out.
    fn stopped(&mut self, reason: Reason, message: &str) {
        self.not_reconciling();
        self.set(ConditionType::Stalled, Truth::True, reason, message);
        self.set(ConditionType::Ready, Truth::False, reason, message);
    }
}
