//! The status stage: takes the facts of a reconcile and the old status, and returns the status and the events. It is a
//! function of values. The writer sends only changes.
//!
//! A status is written seldom, since Eventing reconciles on every change. Messages stay the same while a state lasts,
//! and issues that end within half a minute are left out.
//!
//! | file | content |
//! |---|---|
//! | `facts` | the input |
//! | `update` | the new status, and its difference to the old one |
//! | `phase` | the phase for clients: ready, rolling or deploying |
//! | `available`, `stateful_set`, `zones`, `reconciling`, `stalled`, `storage`, `jetstream`, `ready` | a condition each |
//! | `diagnosis`, `severity`, `message` | the issues of JetStream, the worst first, with the way out |
//! | `summary` | the facts for the admission webhook |
//! | `deletion`, `failure`, `paused`, `predecessor` | the other outcomes of a reconcile |
//! | `text` | texts that stay the same while a state lasts |

mod available;
mod deletion;
mod diagnosis;
mod facts;
mod failure;
mod jetstream;
mod message;
mod paused;
mod phase;
mod predecessor;
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

pub(crate) use facts::{AppliedCounts, Reconciled, StatusFacts, Unapplied, ZonesUsed};
pub(crate) use paused::paused_message;
pub(crate) use update::Announcement;
pub(super) use writer::StatusWriter;

use update::Update;

/// Returns the status after a reconcile of this generation, and the events to publish.
pub(crate) fn next(
    old: &NatsStatus,
    generation: i64,
    reconciled: &Reconciled<'_>,
    now: Time,
) -> (NatsStatus, Vec<Announcement>) {
    let mut update = Update::new(old, generation, now);
    match reconciled {
        Reconciled::Deployed(facts) => update.deployed(facts),
        Reconciled::Paused(facts) => update.paused(facts),
        Reconciled::Forbidden { allowed } => update.forbidden(allowed),
        Reconciled::Failed { cause } => update.failed(cause),
        Reconciled::Deleting => update.deleting(),
        Reconciled::Kept { finalizers } => update.kept(finalizers),
        Reconciled::DeletionBlocked { reason } => update.deletion_blocked(reason),
        Reconciled::DeletionFailed { cause } => update.deletion_failed(cause),
        Reconciled::PredecessorRunning { namespace, pod } => update.predecessor_running(namespace, pod),
    }
    update.finish()
}

impl Update<'_> {
    fn deployed(&mut self, facts: &StatusFacts<'_>) {
        self.announce_new();
        self.announce_resumed();
        self.drop_deleted();
        self.counts(facts);
        let phase = self.phase(facts);
        self.reconciling(facts);
        self.unapplied(facts, phase);
        self.stalled(facts);
        self.storage(facts);
        self.jetstream(facts);
        self.summary(facts);
        self.policy(facts);
        self.notices(facts);
        self.observe_all();
        self.ready();
    }

    fn counts(&mut self, facts: &StatusFacts<'_>) {
        self.status.servers_started = facts.actual.servers_started;
        self.status.ready_servers = facts.applied.ready;
        if facts.applied.desired > 0 {
            self.status.ready = format!("{}/{}", facts.applied.ready, facts.size);
        }
        if facts.plan.may_build {
            self.status.members = Some(facts.plan.members);
        }
    }

    fn notices(&mut self, facts: &StatusFacts<'_>) {
        for Announcement { is_warning, reason, message } in facts.notices {
            self.announce(*is_warning, *reason, message);
        }
    }

    /// Announces policy violations of the stored spec, once per generation. The spec was stored before the rule
    /// existed.
    fn policy(&mut self, facts: &StatusFacts<'_>) {
        if self.old.observed_generation != Some(self.generation) && !facts.policy.is_empty() {
            let all: Vec<String> = facts.policy.iter().map(ToString::to_string).collect();
            self.announce(true, Reason::PolicyViolated, &all.join("; "));
        }
    }
}
