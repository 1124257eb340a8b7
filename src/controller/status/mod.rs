//! The last stage: from the facts of a reconcile to the status and the events. A function of values. The caller writes
//! only what changed.
//!
//! A status is written seldom: Eventing reconciles on every change. Texts stay the same while a state lasts, and what
//! passes by itself within half a minute is left out.
//!
//! | file | content |
//! |---|---|
//! | `facts` | the input |
//! | `update` | the status that is being written, and its difference to the old one |
//! | `phase` | ready, rolling or deploying, as clients see it |
//! | `available`, `stateful_set`, `zones`, `reconciling`, `stalled`, `storage`, `jetstream`, `ready` | a condition each |
//! | `diagnosis`, `severity`, `message` | what is wrong with JetStream, the worst first, with the way out |
//! | `summary` | what admission needs to know |
//! | `deletion`, `failure` | the other outcomes of a reconcile |
//! | `text` | texts that stay the same |

mod available;
mod deletion;
mod diagnosis;
mod facts;
mod failure;
mod jetstream;
mod message;
mod phase;
mod ready;
mod reconciling;
mod serving;
mod severity;
mod stalled;
mod stateful_set;
mod storage;
mod summary;
mod text;
mod update;
mod writer;
mod zones;

#[cfg(test)]
mod tests;

use nats_manager_api::{NatsStatus, Reason};
use nats_manager_planner::Time;

pub(crate) use facts::{AppliedCounts, Reconciled, StatusFacts, ZonesUsed};
pub(crate) use update::Announcement;
pub(super) use writer::StatusWriter;

use update::Update;

/// Returns the status after a reconcile of this generation, and the events to write.
pub(crate) fn next(
    old: &NatsStatus,
    generation: i64,
    reconciled: &Reconciled<'_>,
    now: Time,
) -> (NatsStatus, Vec<Announcement>) {
    let mut update = Update::new(old, generation, now);
    match reconciled {
        Reconciled::Deployed(facts) => update.deployed(facts),
        Reconciled::Forbidden { allowed } => update.forbidden(allowed),
        Reconciled::Failed { stateful_set, cause } => update.failed(*stateful_set, cause),
        Reconciled::Deleting => update.deleting(),
        Reconciled::DeletionBlocked { reason } => update.deletion_blocked(reason),
        Reconciled::DeletionFailed { cause } => update.deletion_failed(cause),
    }
    update.finish()
}

impl Update<'_> {
    fn deployed(&mut self, facts: &StatusFacts<'_>) {
        self.greet();
        self.drop_deleted();
        self.counts(facts);
        self.phase(facts);
        self.reconciling(facts);
        self.stalled(facts);
        self.storage(facts);
        self.jetstream(facts);
        self.summary(facts);
        self.policy(facts);
        self.observe_all();
        self.ready();
    }

    fn counts(&mut self, facts: &StatusFacts<'_>) {
        self.status.servers_started = facts.actual.servers_started;
        self.status.ready_servers = facts.applied.ready;
        if facts.plan.may_build {
            self.status.members = Some(facts.plan.members);
        }
    }

    /// Once a generation: the spec was stored before the rule existed.
    fn policy(&mut self, facts: &StatusFacts<'_>) {
        if self.old.observed_generation != Some(self.generation) && !facts.policy.is_empty() {
            let all: Vec<String> = facts.policy.iter().map(ToString::to_string).collect();
            self.announce(true, Reason::PolicyViolated, &all.join("; "));
        }
    }
}
