//! The report of a predecessor that still runs.
//!
//! The predecessor writes the same status. Only conditions that it does not have are changed, and the state of a ready
//! cluster.

use nats_manager_api::{ConditionType, ModuleState, Reason};

use super::update::{ConditionStatus, Update};

impl Update<'_> {
    /// Reports that nothing is written while this Pod runs. The generation that the status describes stays.
    pub(super) fn predecessor_running(&mut self, namespace: &str, pod: &str) {
        self.announce_new();
        self.status.observed_generation = self.old.observed_generation;
        if self.old.state.is_empty() {
            self.state(ModuleState::Processing);
        } else if self.old.state == ModuleState::Ready.to_string() {
            self.state(ModuleState::Warning);
        }
        let message = format!(
            "Pod {namespace}/{pod} runs under the ServiceAccount of NATS Manager and is no replica of it: it may be \
             the Go manager, which writes the same objects. NATS Manager changes nothing until the Pod has ended. \
             Delete the workload that owns it, or the Pod: kubectl delete pod -n {namespace} {pod}"
        );
        let reason = Reason::PredecessorRunning;
        if self.set(ConditionType::Stalled, ConditionStatus::True, reason, &message) {
            self.announce(true, reason, &message);
        }
        self.ready();
    }
}
