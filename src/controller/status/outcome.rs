//! What came of a reconcile: what the status is made of, as values.

use k8s_openapi::api::apps::v1::StatefulSet;
use nats_manager_api::{NamespacedName, rules::Violation};

use super::JetStreamView;
use crate::controller::observe::{Observed, count_zones};

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
    /// Whether a single server is to start anew as one of several, or the other way round.
    pub starts_anew: bool,
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
            starts_anew: false,
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
    /// nothing yet. A majority that is given up is none: whoever relied on it would lose what it made.
    pub(super) fn has_quorum(&self) -> bool {
        let says_so = self.jetstream.has_quorum && !self.starts_anew;
        says_so || self.rollout.ready > self.members / 2
    }
}
