//! The stage that tells: from what came of a reconcile to the status and the events. A function of
//! values; who calls it writes only when something changed.
//!
//! | file | what is there |
//! |---|---|
//! | `outcome` | what came of a reconcile |
//! | `update` | the status that is being written, and what is news in it |
//! | `deployment`, `deletion`, `jetstream` | what each of them means for the status |
//! | `storage`, `trouble` | JetStream in words: how full, and what is wrong |

mod deletion;
mod deployment;
mod jetstream;
mod outcome;
mod storage;
mod trouble;
mod update;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use nats_manager_api::{ConditionType, NatsStatus, Reason, State, rules};

pub use jetstream::{Health, JetStreamView};
pub use outcome::{Deployment, Outcome, Rollout, ZonesUsed};
pub use storage::Fill;
pub use trouble::{Trouble, trouble};
pub use update::Announcement;

use update::Update;

/// The status after `outcome`, and what to announce.
pub fn next(old: &NatsStatus, generation: i64, outcome: &Outcome, now: &Time) -> (NatsStatus, Vec<Announcement>) {
    let mut update = Update::new(old, generation, now);
    match outcome {
        Outcome::Deployed(deployment) => update.deployed(deployment),
        Outcome::Forbidden { allowed } => update.forbidden(&rules::forbidden_message(allowed)),
        Outcome::Failed { stateful_set, cause } => update.failed(*stateful_set, cause),
        Outcome::Deleting => update.deleting(),
        Outcome::DeletionBlocked { reason } => update.deletion_blocked(reason),
        Outcome::DeletionFailed { cause } => update.deletion_failed(cause),
    }
    update.finish()
}

impl Update<'_> {
    fn forbidden(&mut self, message: &str) {
        self.state(State::Error);
        self.set(ConditionType::StatefulSet, false, Reason::Forbidden, "");
        if self.set(ConditionType::Available, false, Reason::Forbidden, message) {
            self.announce(true, Reason::Forbidden, message);
        }
    }

    fn failed(&mut self, stateful_set: bool, cause: &str) {
        self.greet();
        self.state(State::Error);
        if stateful_set {
            self.set(ConditionType::StatefulSet, false, Reason::FailedToSyncResources, cause);
        }
        if self.set(ConditionType::Available, false, Reason::FailedProcessing, cause) {
            self.announce(true, Reason::FailedProcessing, cause);
        }
    }
}

#[cfg(test)]
mod tests;
