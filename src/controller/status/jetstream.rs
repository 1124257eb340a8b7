//! The condition `JetStream`: healthy, or what is wrong.

use nats_manager_api::{ConditionType, Reason};
use nats_manager_planner::health::Assessment;

use super::{
    Facts,
    message::unreachable,
    serving::Serving,
    severity::Patience,
    trouble::{Search, Trouble},
    update::{Truth, Unobserved, Update},
};

const KIND: ConditionType = ConditionType::JetStream;
const HEALTHY: &str = "JetStream is healthy: every server, the meta leader, and every replica of every stream.";

impl Update<'_> {
    pub(super) fn jetstream(&mut self, facts: &Facts<'_>) {
        let troubles = Search::new(self, facts, self.patience(facts)).run();
        if let Some((reason, message)) = joined(&troubles) {
            self.troubled(reason, &message);
        } else if Serving::of(facts, self.now) == Serving::Unknown {
            self.warn();
            let (reason, message) = (Reason::ServersUnreachable, unreachable(facts));
            if self.set(KIND, Truth::Unknown, reason, &message) {
                self.announce(true, reason, &message);
            }
        } else if facts.assessment().is_some_and(Assessment::is_healthy) {
            self.healthy();
        } else if let Some(unobserved) = Unobserved::of(facts.observation) {
            self.unobserved(&unobserved);
        } else {
            self.still_troubled(facts);
        }
    }

    /// A server that is away belongs to a change in progress, and to the first deployment, for a while.
    fn patience(&self, facts: &Facts<'_>) -> Patience {
        let is_busy = facts.operation().is_some() || !self.was_ready();
        if is_busy { Patience::InProgress } else { Patience::AtRest }
    }

    fn troubled(&mut self, reason: Reason, message: &str) {
        self.warn();
        if self.set(KIND, Truth::False, reason, message) {
            self.announce(true, reason, message);
        }
    }

    fn healthy(&mut self) {
        let was_healthy = self.old.condition(KIND).is_none_or(|known| {
            known.status == "True" || (known.status == "Unknown" && known.reason == Reason::Unknown.to_string())
        });
        self.set(KIND, Truth::True, Reason::Healthy, HEALTHY);
        if !was_healthy {
            self.announce(false, Reason::Healthy, HEALTHY);
        }
    }

    /// Only Kubernetes is known. What it showed to be wrong is over.
    fn unobserved(&mut self, unobserved: &Unobserved) {
        let was_troubled = self.old.condition(KIND).is_some_and(|known| known.status == "False");
        if was_troubled && !unobserved.passes {
            self.set(KIND, Truth::Unknown, Reason::Unknown, &unobserved.message());
        } else {
            self.set_unknown(KIND, unobserved);
        }
    }

    /// Nothing has lasted, and nothing is healthy yet. What was wrong before stays as long as it is one of the present
    /// issues.
    fn still_troubled(&mut self, facts: &Facts<'_>) {
        let Some(old) = self.old.condition(KIND) else { return };
        let was_unreachable = self.was(KIND, Reason::ServersUnreachable);
        if old.status != "False" && !was_unreachable {
            return;
        }
        self.warn();
        let present = Search::new(self, facts, Patience::None).run();
        if present.iter().any(|trouble| trouble.reason.to_string() == old.reason) {
            return;
        }
        if let Some((reason, message)) = joined(&present) {
            self.set(KIND, Truth::False, reason, &message);
        }
    }
}

/// Returns the reason of the worst trouble, and the messages of all.
fn joined(troubles: &[Trouble]) -> Option<(Reason, String)> {
    let all: Vec<&str> = troubles.iter().map(|trouble| trouble.message.as_str()).collect();
    troubles.first().map(|worst| (worst.reason, all.join(" ")))
}
