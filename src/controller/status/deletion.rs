//! What the status says of a deletion. It is tried again and again, and told once: each try may meet
//! the same obstacle in other words.

use nats_manager_api::{ConditionType, Reason, State};

use super::update::Update;
use crate::controller::words::gist;

impl Update<'_> {
    /// Its data may go. A later pass relies on it when this one is cut short.
    pub(super) fn deleting(&mut self) {
        if self.is_decided() {
            return;
        }
        self.begin_deletion();
        self.state(State::Deleting);
        let message = "The StatefulSet and its volumes are being deleted.";
        self.set(ConditionType::Deleted, true, Reason::Deleting, message);
    }

    /// Its data must stay.
    pub(super) fn deletion_blocked(&mut self, reason: &str) {
        self.obstacle(reason, false);
    }

    /// What was decided stays so: the data may be gone in part.
    pub(super) fn deletion_failed(&mut self, cause: &str) {
        self.obstacle(cause, self.is_decided());
    }

    fn obstacle(&mut self, obstacle: &str, is_decided: bool) {
        self.begin_deletion();
        self.state(State::Warning);
        let told = self.old.condition(ConditionType::Deleted);
        let told = told.filter(|told| told.reason == Reason::DeletionError.to_string());
        let same = told.map(|told| told.message.as_str()).filter(|told| gist(told) == gist(obstacle));
        let message = same.unwrap_or(obstacle);
        if self.set(ConditionType::Deleted, is_decided, Reason::DeletionError, message) {
            self.announce(true, Reason::DeletionError, message);
        }
    }

    fn is_decided(&self) -> bool {
        self.old.holds(ConditionType::Deleted)
    }

    fn begin_deletion(&mut self) {
        if self.old.state != State::Deleting.to_string() && self.old.condition(ConditionType::Deleted).is_none() {
            self.announce(false, Reason::Deleting, "Deleting the NATS cluster.");
        }
    }
}
