//! The conditions of a resource that is not the allowed one, and of one that could not be deployed.

use nats_manager_api::{ConditionType, ModuleState, NamespacedName, Reason, rules};

use super::{
    StatusFacts,
    facts::Unapplied,
    phase::DeploymentPhase,
    text,
    update::{ConditionStatus, Update},
};

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

    /// Reports a resource that could not be deployed. The condition `StatefulSet` stays.
    pub(super) fn failed(&mut self, cause: &str) {
        self.announce_new();
        self.state(ModuleState::Error);
        self.stopped(Reason::FailedProcessing, cause);
        if self.set(ConditionType::Available, ConditionStatus::False, Reason::FailedProcessing, cause) {
            self.announce(true, Reason::FailedProcessing, cause);
        }
    }

    /// Reports children that could not be applied. A cluster that serves clients stays available.
    pub(super) fn unapplied(&mut self, facts: &StatusFacts<'_>, phase: DeploymentPhase) {
        let (Some(Unapplied { has_stateful_set, .. }), Some(cause)) = (facts.unapplied, self.unapplied_cause(facts))
        else {
            return;
        };
        if has_stateful_set {
            self.set(ConditionType::StatefulSet, ConditionStatus::False, Reason::FailedToSyncResources, &cause);
            self.not_reconciling();
        }
        if phase == DeploymentPhase::Deploying {
            self.state(ModuleState::Error);
            self.set(ConditionType::Available, ConditionStatus::False, Reason::FailedProcessing, &cause);
        }
    }

    /// Returns the errors of the children that could not be applied, with the figures of the previous message.
    pub(super) fn unapplied_cause(&self, facts: &StatusFacts<'_>) -> Option<String> {
        let old = self.old_message(ConditionType::Stalled, Reason::FailedProcessing);
        facts.unapplied.map(|unapplied| text::steady(old, "", unapplied.cause))
    }

    /// Sets the conditions `Reconciling`, `Stalled` and `Ready` of a spec that cannot be carried out.
    fn stopped(&mut self, reason: Reason, message: &str) {
        self.not_reconciling();
        self.set(ConditionType::Stalled, ConditionStatus::True, reason, message);
        self.set(ConditionType::Ready, ConditionStatus::False, reason, message);
    }
}
