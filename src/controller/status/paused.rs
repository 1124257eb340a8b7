//! The conditions of a paused resource. What is observed is reported as usual. `Stalled` names the pause, since nothing
//! is carried out until a user ends it.

use nats_manager_api::{ConditionType, ModuleState, NamespacedName, Reason, naming};

use super::{
    StatusFacts,
    phase::DeploymentPhase,
    update::{ConditionStatus, Update},
};

const KIND: ConditionType = ConditionType::Stalled;

/// Builds the message about a pause. `consequence` completes the sentence that names the annotation.
pub(crate) fn paused_message(id: &NamespacedName, consequence: &str) -> String {
    format!(
        "Reconciliation is paused by the annotation {0}: {consequence}. To continue: kubectl annotate nats {1} -n {2} \
         {0}-",
        naming::PAUSE,
        id.name,
        id.namespace
    )
}

impl Update<'_> {
    /// Reports a cluster that is observed only. The recorded membership stays.
    pub(super) fn paused(&mut self, facts: &StatusFacts<'_>) {
        self.announce_new();
        self.drop_deleted();
        self.counts(facts);
        self.status.members = self.old.members;
        let message = paused_message(facts.id, "NATS Manager changes no object and no server");
        let phase = self.phase(facts);
        if facts.actual.stateful_set.is_none() {
            self.set(ConditionType::Available, ConditionStatus::False, Reason::Paused, &message);
        }
        if phase == DeploymentPhase::Deploying && !self.was_ready() {
            self.state(ModuleState::Warning);
        }
        self.warn();
        self.status.operation = None;
        let at_rest = "Reconciliation is paused: no change is carried out.";
        self.set(ConditionType::Reconciling, ConditionStatus::False, Reason::Paused, at_rest);
        if self.set(KIND, ConditionStatus::True, Reason::Paused, &message) {
            self.announce(true, Reason::Paused, &message);
        }
        self.storage(facts);
        self.jetstream(facts);
        self.summary(facts);
        self.observe_all();
        self.ready();
    }

    /// Announces the end of a pause.
    pub(super) fn announce_resumed(&mut self) {
        if self.had_reason(KIND, Reason::Paused) {
            self.announce(false, Reason::Resumed, "Reconciliation continues.");
        }
    }
}
