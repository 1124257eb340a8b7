//! The stage that tells: from what came of a reconcile to the status and the events. A function of
//! values; who calls it writes only when something changed.

mod deletion;
mod jetstream;
mod storage;
mod trouble;

use k8s_openapi::{
    api::apps::v1::StatefulSet,
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
};
use nats_manager_api::{ConditionType, NamespacedName, NatsStatus, Reason, State, rules, rules::Violation};

pub use jetstream::{Health, JetStreamView};
pub use storage::Fill;
pub use trouble::{Trouble, trouble};

use super::observe::{Observed, count_zones};

/// What came of a reconcile.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The objects are applied.
    Deployed(Box<Deployment>),
    /// It is not the one resource that may exist.
    Forbidden {
        /// The one that may.
        allowed: NamespacedName,
    },
    /// It could not be deployed; what was deployed before stays.
    Failed {
        /// Whether the StatefulSet was the obstacle.
        stateful_set: bool,
        /// Why.
        cause: String,
    },
    /// Its data may go, and goes.
    Deleting,
    /// Its deletion waits.
    DeletionBlocked {
        /// For what.
        reason: String,
    },
    /// Its deletion meets an obstacle, and is tried again.
    DeletionFailed {
        /// Which.
        cause: String,
    },
}

/// A deployed cluster as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployment {
    /// The wanted number of servers.
    pub size: u32,
    /// Where clients connect.
    pub url: String,
    /// How far the servers are.
    pub rollout: Rollout,
    /// How many servers a majority is of, where JetStream cannot be asked for it.
    pub members: i32,
    /// Where they run.
    pub zones: ZonesUsed,
    /// Whether one of them ever started.
    pub servers_started: Option<bool>,
    /// Why a change of the spec is held, if one is.
    pub held: Option<String>,
    /// What a change that is under way has been waiting for, long enough to say so.
    pub waiting: Option<String>,
    /// Whether a change is carried out.
    pub underway: bool,
    /// Policies that the stored spec breaks.
    pub policy: Vec<Violation>,
    /// What is known of JetStream.
    pub jetstream: JetStreamView,
}

/// How far the servers are, by their StatefulSet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rollout {
    /// Servers wanted.
    pub replicas: i32,
    /// Servers ready.
    pub ready: i32,
    /// Servers of the wanted revision.
    pub updated: i32,
    /// Whether all of it is as wanted, and the counts are those of the newest spec.
    pub complete: bool,
}

/// The availability zones that the servers run in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZonesUsed {
    /// How many.
    pub count: usize,
    /// A node of theirs that has no zone label.
    pub unlabelled_node: Option<String>,
}

/// Something to announce as an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// Whether somebody should look.
    pub warning: bool,
    /// Why.
    pub reason: Reason,
    /// What.
    pub message: String,
}

/// The zones that make a cluster of three or more survive the loss of one.
const ENOUGH_ZONES: u32 = 3;

impl Rollout {
    /// Reads a StatefulSet. Its counts are of an older spec until it says otherwise.
    pub fn of(stateful_set: &StatefulSet) -> Self {
        let wanted = stateful_set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
        let status = stateful_set.status.clone().unwrap_or_default();
        let current = status.current_replicas.unwrap_or(0);
        let updated = status.updated_replicas.unwrap_or(0);
        let ready = status.ready_replicas.unwrap_or(0);
        let observed = status.observed_generation >= stateful_set.metadata.generation;
        let counts = [status.replicas, current, updated, ready];
        Self { replicas: wanted, ready, updated, complete: observed && counts.iter().all(|count| *count == wanted) }
    }
}

impl ZonesUsed {
    /// Looks up the nodes of the servers' pods.
    pub fn of(observed: &Observed) -> Self {
        let nodes: Vec<&String> = observed.pods.iter().filter_map(|pod| pod.node.as_ref()).collect();
        let zones = nodes.iter().filter_map(|node| observed.node_zones.get(*node));
        Self {
            count: count_zones(zones),
            unlabelled_node: nodes
                .into_iter()
                .find(|node| observed.node_zones.get(*node).is_some_and(Option::is_none))
                .cloned(),
        }
    }
}

impl Deployment {
    /// The deployment of an applied cluster, of which nothing else is known.
    pub fn of(rollout: Rollout, observed: &Observed, id: &NamespacedName, size: u32) -> Self {
        Self {
            size,
            url: id.url(),
            rollout,
            members: rollout.replicas,
            zones: ZonesUsed::of(observed),
            servers_started: None,
            held: None,
            waiting: None,
            underway: false,
            policy: Vec::new(),
            jetstream: JetStreamView::default(),
        }
    }

    /// Whether JetStream goes on: it says so, or enough servers are ready. One look that fails says
    /// nothing yet.
    fn has_quorum(&self) -> bool {
        self.jetstream.has_quorum || self.rollout.ready > self.members / 2
    }
}

/// The status after `outcome`, and what to announce.
pub fn next(old: &NatsStatus, generation: i64, outcome: &Outcome, now: &Time) -> (NatsStatus, Vec<Announcement>) {
    let mut update = Update {
        status: NatsStatus { observed_generation: Some(generation), ..old.clone() },
        old,
        generation,
        now,
        events: Vec::new(),
    };
    match outcome {
        Outcome::Deployed(deployment) => update.deployed(deployment),
        Outcome::Forbidden { allowed } => update.forbidden(&rules::forbidden_message(allowed)),
        Outcome::Failed { stateful_set, cause } => update.failed(*stateful_set, cause),
        Outcome::Deleting => update.deleting(),
        Outcome::DeletionBlocked { reason } => update.deletion_blocked(reason),
        Outcome::DeletionFailed { cause } => update.deletion_failed(cause),
    }
    (update.status, update.events)
}

struct Update<'a> {
    old: &'a NatsStatus,
    status: NatsStatus,
    generation: i64,
    now: &'a Time,
    events: Vec<Announcement>,
}

impl Update<'_> {
    fn deployed(&mut self, deployment: &Deployment) {
        if self.old.state.is_empty() {
            self.announce(false, Reason::Processing, "Initializing NATS resource.");
        }
        self.status.servers_started = deployment.servers_started;
        // Only a status from a backup says so of a resource that is not being deleted.
        self.status.conditions.retain(|known| known.type_ != ConditionType::Deleted.to_string());
        let was_ready = !self.old.url.is_empty();
        if deployment.rollout.complete && (was_ready || !deployment.jetstream.forming) {
            self.ready(deployment);
        } else if was_ready && deployment.has_quorum() {
            self.rolling(deployment);
        } else {
            self.deploying(deployment, was_ready);
        }
        self.progressing(deployment);
        self.jetstream(&deployment.jetstream);
        self.policy(deployment);
    }

    fn ready(&mut self, deployment: &Deployment) {
        self.status.url.clone_from(&deployment.url);
        self.set(ConditionType::StatefulSet, true, Reason::Available, "StatefulSet is ready");
        self.zones(deployment);
        if self.available(deployment) {
            self.announce(false, Reason::Deployed, "StatefulSet is ready and NATS is deployed.");
        }
    }

    /// Servers restart one after the other, and JetStream goes on: no outage.
    fn rolling(&mut self, deployment: &Deployment) {
        self.set(ConditionType::StatefulSet, false, Reason::Pending, &progress(deployment.rollout));
        // Pods that restart have no zone for a moment: what was said of zones stays.
        let zones = self.old.condition(ConditionType::AvailabilityZones);
        let warned = zones.is_some_and(|zones| zones.status == "False" && zones.reason == Reason::Unknown.to_string());
        self.state(if warned { State::Warning } else { State::Ready });
        self.available(deployment);
    }

    /// Whether NATS can be used: without a majority of JetStream it cannot, whatever the pods say.
    /// The state is Warning then, since nothing is being deployed. Tells whether it became usable.
    fn available(&mut self, deployment: &Deployment) -> bool {
        let lost = deployment.jetstream.trouble.as_ref().filter(|trouble| trouble.reason == Reason::QuorumLost);
        let told = self.old.condition(ConditionType::Available);
        let was_lost = told.is_some_and(|told| told.reason == Reason::QuorumLost.to_string());
        if lost.is_none() && was_lost && deployment.jetstream.health == Health::Lacking {
            // A new leader of ours has to see for itself whether it lasts.
            self.state(State::Warning);
            return false;
        }
        let Some(lost) = lost else {
            return self.set(ConditionType::Available, true, Reason::Deployed, "NATS is deployed");
        };
        self.state(State::Warning);
        self.set(ConditionType::Available, false, Reason::QuorumLost, &lost.message);
        false
    }

    fn deploying(&mut self, deployment: &Deployment, was_ready: bool) {
        self.state(State::Processing);
        let message = if was_ready { progress(deployment.rollout) } else { String::new() };
        self.set(ConditionType::StatefulSet, false, Reason::Pending, &message);
        self.set(ConditionType::AvailabilityZones, false, Reason::Pending, "");
        self.status.availability_zones_used = 0;
        let started = self.set(ConditionType::Available, false, Reason::Deploying, "");
        if started {
            self.announce(false, Reason::Deploying, "NATS is being deployed, waiting for StatefulSet to get ready.");
        }
    }

    fn zones(&mut self, deployment: &Deployment) {
        let used = deployment.zones.count;
        self.status.availability_zones_used = i64::try_from(used).unwrap_or(i64::MAX);
        let enough = deployment.size.min(ENOUGH_ZONES) as usize;
        let kind = ConditionType::AvailabilityZones;
        self.state(State::Ready);
        if let Some(node) = &deployment.zones.unlabelled_node {
            let was_warning = self.old.state == State::Warning.to_string();
            self.state(if was_warning { State::Warning } else { State::Ready });
            let cause = format!("node {node} has no label topology.kubernetes.io/zone");
            self.set(kind, false, Reason::FailedProcessing, &cause);
        } else if deployment.size < ENOUGH_ZONES {
            let message = "NATS is not configured to run in cluster mode (i.e. spec.cluster.size < 3).";
            self.set(kind, false, Reason::NotConfigured, message);
        } else if used >= enough {
            self.set(kind, true, Reason::Deployed, "NATS is deployed in different availability zones.");
        } else {
            self.state(State::Warning);
            let message = format!(
                "NATS is not currently using enough availability zones (Recommended: {ENOUGH_ZONES}, current: {used})."
            );
            self.set(kind, false, Reason::Unknown, &message);
        }
    }

    fn progressing(&mut self, deployment: &Deployment) {
        let kind = ConditionType::Progressing;
        match (&deployment.held, &deployment.waiting) {
            (Some(reason), _) => {
                self.warn();
                if self.set(kind, false, Reason::Held, reason) {
                    self.announce(true, Reason::Held, reason);
                }
            }
            (None, Some(reason)) => {
                if self.set(kind, true, Reason::Waiting, reason) {
                    self.announce(false, Reason::Waiting, reason);
                }
            }
            (None, None) => self.status.conditions.retain(|condition| condition.type_ != kind.to_string()),
        }
    }

    /// It works, and somebody should look.
    fn warn(&mut self) {
        if self.status.state == State::Ready.to_string() {
            self.state(State::Warning);
        }
    }

    /// Once a generation: the spec was stored before the rule was.
    fn policy(&mut self, deployment: &Deployment) {
        if self.old.observed_generation != Some(self.generation) && !deployment.policy.is_empty() {
            let all: Vec<String> = deployment.policy.iter().map(ToString::to_string).collect();
            self.announce(true, Reason::PolicyViolated, &all.join("; "));
        }
    }

    fn forbidden(&mut self, message: &str) {
        self.state(State::Error);
        self.set(ConditionType::StatefulSet, false, Reason::Forbidden, "");
        if self.set(ConditionType::Available, false, Reason::Forbidden, message) {
            self.announce(true, Reason::Forbidden, message);
        }
    }

    fn failed(&mut self, stateful_set: bool, cause: &str) {
        if self.old.state.is_empty() {
            self.announce(false, Reason::Processing, "Initializing NATS resource.");
        }
        self.state(State::Error);
        if stateful_set {
            self.set(ConditionType::StatefulSet, false, Reason::FailedToSyncResources, cause);
        }
        if self.set(ConditionType::Available, false, Reason::FailedProcessing, cause) {
            self.announce(true, Reason::FailedProcessing, cause);
        }
    }

    fn state(&mut self, state: State) {
        self.status.state = state.to_string();
    }

    fn announce(&mut self, warning: bool, reason: Reason, message: &str) {
        self.events.push(Announcement { warning, reason, message: message.to_owned() });
    }

    /// Sets a condition; the transition time is that of the last change of its status. Tells
    /// whether it says something new.
    fn set(&mut self, kind: ConditionType, holds: bool, reason: Reason, message: &str) -> bool {
        self.set_to(kind, if holds { "True" } else { "False" }, reason, message)
    }

    /// As [`Update::set`], for a status that may be unknown.
    fn set_to(&mut self, kind: ConditionType, status: &str, reason: Reason, message: &str) -> bool {
        let before = self.old.condition(kind);
        let since = before.filter(|before| before.status == status).map(|before| before.last_transition_time.clone());
        let is_news = before.is_none_or(|before| {
            before.status != status || before.reason != reason.to_string() || before.message != message
        });
        let condition = Condition {
            type_: kind.to_string(),
            status: status.to_owned(),
            reason: reason.to_string(),
            message: message.to_owned(),
            last_transition_time: since.unwrap_or_else(|| self.now.clone()),
            observed_generation: Some(self.generation),
        };
        match self.status.conditions.iter_mut().find(|known| known.type_ == condition.type_) {
            Some(known) => *known = condition,
            None => self.status.conditions.push(condition),
        }
        is_news
    }
}

fn progress(rollout: Rollout) -> String {
    format!("{} of {} servers are ready, {} up to date", rollout.ready, rollout.replicas, rollout.updated)
}

#[cfg(test)]
mod tests;
