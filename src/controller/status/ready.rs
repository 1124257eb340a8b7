//! The condition `Ready`: clients are served, and the newest spec is carried out. It follows from the other conditions.
//! Its message refers to them, so that it changes seldom.

use nats_manager_api::{ConditionType, Reason};

use super::update::{ConditionStatus, Update};

const TRUE: &str = "NATS serves clients, and the newest spec is carried out.";

impl Update<'_> {
    /// Sets the condition from the other conditions, which have to be set before.
    pub(super) fn ready(&mut self) {
        use ConditionType::{Available, JetStream, Ready, Reconciling, Stalled, StatefulSet};
        let found = [Available, Stalled, Reconciling, JetStream, StatefulSet].into_iter().find_map(|kind| {
            let condition = self.status.condition(kind)?;
            let is_obstacle = match (kind, condition.status.as_str()) {
                (Stalled | Reconciling, status) => status == "True",
                // Without polls the condition is Unknown, which is no obstacle.
                (JetStream, status) => status == "False",
                (_, status) => status != "True",
            };
            is_obstacle.then(|| (kind, condition.clone()))
        });
        match found {
            Some((Available, available)) => {
                let truth =
                    if available.status == "Unknown" { ConditionStatus::Unknown } else { ConditionStatus::False };
                self.write(Ready, truth, &available.reason, &available.message);
            }
            Some((kind, condition)) => {
                let message = match kind {
                    Stalled if condition.reason == Reason::Paused.to_string() => {
                        "Reconciliation is paused: see the condition Stalled."
                    }
                    Stalled => "A change is blocked: see the condition Stalled.",
                    Reconciling => "A change is in progress: see the condition Reconciling.",
                    JetStream => "JetStream is not healthy: see the condition JetStream.",
                    _ => "Servers are not ready: see the condition StatefulSet.",
                };
                self.write(Ready, ConditionStatus::False, &condition.reason, message);
            }
            None => _ = self.write(Ready, ConditionStatus::True, "Ready", TRUE),
        }
    }
}
