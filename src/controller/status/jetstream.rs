//! The condition `JetStream`: JetStream is healthy, or the diagnoses.

use nats_manager_api::{ConditionType, Reason};
use nats_manager_planner::health::Assessment;

use super::{
    StatusFacts,
    diagnosis::{Diagnoser, Diagnosis},
    message::unreachable,
    serving::Serving,
    severity::ReportDelay,
    update::{ConditionStatus, Unobserved, Update},
};

const KIND: ConditionType = ConditionType::JetStream;
const HEALTHY: &str = "JetStream is healthy: every server, the meta leader, and every replica of every stream.";

impl Update<'_> {
    pub(super) fn jetstream(&mut self, facts: &StatusFacts<'_>) {
        let diagnoses = Diagnoser::new(self, facts, self.report_delay(facts)).run();
        if let Some((reason, message)) = joined(&diagnoses) {
            self.unhealthy(reason, &message);
        } else if Serving::of(facts, self.now) == Serving::Unknown {
            self.warn();
            let (reason, message) = (Reason::ServersUnreachable, unreachable(facts));
            if self.set(KIND, ConditionStatus::Unknown, reason, &message) {
                self.announce(true, reason, &message);
            }
        } else if facts.assessment().is_some_and(Assessment::is_healthy) {
            self.healthy();
        } else if let Some(unobserved) = Unobserved::of(facts.observation) {
            self.set_unknown(KIND, &unobserved);
        } else {
            self.keep_unhealthy(facts);
        }
    }

    /// Returns the delay before issues are reported. Unavailable servers are part of a change in progress, and of the
    /// first deployment, for a while.
    fn report_delay(&self, facts: &StatusFacts<'_>) -> ReportDelay {
        let is_busy = facts.operation().is_some() || !self.was_ready();
        if is_busy { ReportDelay::InProgress } else { ReportDelay::AtRest }
    }

    fn unhealthy(&mut self, reason: Reason, message: &str) {
        self.warn();
        if self.set(KIND, ConditionStatus::False, reason, message) {
            self.announce(true, reason, message);
        }
    }

    fn healthy(&mut self) {
        let was_healthy = self.old.condition(KIND).is_none_or(|known| {
            known.status == "True" || (known.status == "Unknown" && known.reason == Reason::Unknown.to_string())
        });
        self.set(KIND, ConditionStatus::True, Reason::Healthy, HEALTHY);
        if !was_healthy {
            self.announce(false, Reason::Healthy, HEALTHY);
        }
    }

    /// Keeps a condition that is False while JetStream is not healthy yet, and no issue has lasted. The reason stays as
    /// long as it is one of the present issues.
    fn keep_unhealthy(&mut self, facts: &StatusFacts<'_>) {
        let Some(old) = self.old.condition(KIND) else { return };
        let was_unreachable = self.had_reason(KIND, Reason::ServersUnreachable);
        if old.status != "False" && !was_unreachable {
            return;
        }
        self.warn();
        let present = Diagnoser::new(self, facts, ReportDelay::None).run();
        if present.iter().any(|diagnosis| diagnosis.reason.to_string() == old.reason) {
            return;
        }
        if let Some((reason, message)) = joined(&present) {
            self.set(KIND, ConditionStatus::False, reason, &message);
        }
    }
}

/// Returns the reason of the worst diagnosis, and the joined messages of all.
fn joined(diagnoses: &[Diagnosis]) -> Option<(Reason, String)> {
    let all: Vec<&str> = diagnoses.iter().map(|diagnosis| diagnosis.message.as_str()).collect();
    diagnoses.first().map(|worst| (worst.reason, all.join(" ")))
}
