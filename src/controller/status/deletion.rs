//! The condition `Deleted`. A deletion is retried, and each attempt may fail with the same cause in another wording.
//! Each cause is reported once.

use nats_manager_api::{ConditionType, ModuleState, Reason};

use super::{
    text,
    update::{ConditionStatus, Update},
};

const KIND: ConditionType = ConditionType::Deleted;

impl Update<'_> {
    /// Records the decision to delete the data. A later reconcile relies on it when this one is interrupted.
    pub(super) fn deleting(&mut self) {
        if self.is_decided() {
            return;
        }
        self.begin_deletion();
        self.state(ModuleState::Deleting);
        let message = "The StatefulSet and its volumes are being deleted.";
        self.set(KIND, ConditionStatus::True, Reason::Deleting, message);
        self.status.operation = None;
        self.set(ConditionType::Reconciling, ConditionStatus::True, Reason::Deleting, message);
        self.not_stalled();
        self.set(ConditionType::Ready, ConditionStatus::False, Reason::Deleting, message);
    }

    /// Reports finalizers of others, which keep the resource when nothing else is left of it.
    pub(super) fn kept(&mut self, finalizers: &str) {
        self.begin_deletion();
        self.state(ModuleState::Deleting);
        let message = format!(
            "NATS Manager has deleted the cluster. The resource is kept by the finalizer {finalizers}: what has set the \
             finalizer has to remove it."
        );
        if self.set(KIND, ConditionStatus::True, Reason::Deleting, &message) {
            self.announce(true, Reason::Deleting, &message);
        }
        self.status.operation = None;
        self.set(ConditionType::Reconciling, ConditionStatus::True, Reason::Deleting, &message);
        self.not_stalled();
        self.set(ConditionType::Ready, ConditionStatus::False, Reason::Deleting, &message);
    }

    /// Reports the cause for which the data is kept.
    pub(super) fn deletion_blocked(&mut self, reason: &str) {
        self.report_obstacle(reason, false);
    }

    /// Reports a failed deletion. A decision stays, since a part of the data may be deleted.
    pub(super) fn deletion_failed(&mut self, cause: &str) {
        self.report_obstacle(cause, self.is_decided());
    }

    fn report_obstacle(&mut self, obstacle: &str, is_decided: bool) {
        self.begin_deletion();
        self.state(ModuleState::Warning);
        let old = self.old_message(KIND, Reason::DeletionError);
        let same = old.filter(|old| text::without_cause(old) == text::without_cause(obstacle));
        let message = same.unwrap_or(obstacle);
        if self.set(KIND, ConditionStatus::of(is_decided), Reason::DeletionError, message) {
            self.announce(true, Reason::DeletionError, message);
        }
        self.not_reconciling();
        self.set(ConditionType::Stalled, ConditionStatus::True, Reason::DeletionError, message);
        self.set(
            ConditionType::Ready,
            ConditionStatus::False,
            Reason::Deleting,
            "The deletion waits: see the condition Deleted.",
        );
    }

    fn is_decided(&self) -> bool {
        self.old.holds(KIND)
    }

    fn begin_deletion(&mut self) {
        if self.old.state != ModuleState::Deleting.to_string() && self.old.condition(KIND).is_none() {
            self.announce(false, Reason::Deleting, "Deleting the NATS cluster.");
        }
    }
}
