//! Input of the status stage: the outcome of a reconcile as values.

use std::collections::BTreeSet;

use k8s_openapi::api::apps::v1::StatefulSet;
use nats_manager_api::{ClusterDomain, NamespacedName, rules::Violation};
use nats_manager_planner::{
    actual::{ActualState, PodState, ServerMode},
    health::{Assessment, MissingStreams},
    plan::{Observation, OperationKind, Plan},
};

use super::Announcement;

/// The outcome of a reconcile.
#[derive(Clone, Debug)]
pub(crate) enum Reconciled<'a> {
    /// A deployed cluster whose objects are applied, all or in part.
    Deployed(Box<StatusFacts<'a>>),
    /// A paused resource, whose cluster is observed and not changed.
    Paused(Box<StatusFacts<'a>>),
    /// A resource that is not the allowed one.
    Forbidden {
        allowed: NamespacedName,
    },
    /// An invalid spec, or a failure before the objects are applied. Deployed objects stay.
    Failed {
        /// The error, or the violations of the spec.
        cause: String,
    },
    Deleting,
    /// Everything of a resource is deleted, and finalizers of others keep the resource.
    Kept {
        /// Their names, as a list.
        finalizers: String,
    },
    DeletionBlocked {
        /// Cause, with the way out.
        reason: String,
    },
    /// A failed deletion, which is retried.
    DeletionFailed {
        cause: String,
    },
    /// A Pod that may be the predecessor, while which nothing is written.
    PredecessorRunning {
        /// Namespace of the Pod.
        namespace: String,
        pod: String,
    },
}

/// Facts of a deployed cluster.
#[derive(Clone, Debug)]
pub(crate) struct StatusFacts<'a> {
    /// Name and namespace of the resource.
    pub id: &'a NamespacedName,
    /// DNS domain of the Kubernetes cluster.
    pub domain: &'a ClusterDomain,
    /// Desired number of servers.
    pub size: u32,
    /// Counts of the StatefulSet as it was applied.
    pub applied: AppliedCounts,
    /// Number of servers that the majority is computed from, where JetStream does not answer. New servers count once
    /// they were ready.
    pub counted_servers: u32,
    /// Zones that the servers run in.
    pub zones: ZonesUsed,
    /// State of the objects in Kubernetes.
    pub actual: &'a ActualState,
    /// State of the servers as polled.
    pub observation: &'a Observation<'a>,
    /// Plan that was carried out.
    pub plan: &'a Plan,
    /// Streams that are missing since a server restarted.
    pub missing_streams: &'a MissingStreams,
    /// Policies that the stored spec violates.
    pub policy: &'a [Violation],
    /// Message of the apiserver in the newest `FailedCreate` event, while Pods are missing.
    pub pods_not_created: Option<&'a str>,
    /// Error of the plan's action, which is planned again.
    pub action_failure: Option<&'a str>,
    /// Notice of servers that take too long to load a changed configuration, with the way out.
    pub reload_notice: Option<&'a str>,
    /// The children that could not be applied.
    pub unapplied: Option<Unapplied<'a>>,
    /// Events beside those that follow from conditions, each of which is published once.
    pub notices: &'a [Announcement],
    /// True if the annotation `force-rollout` is set.
    pub is_rollout_forced: bool,
}

/// Children that could not be applied.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unapplied<'a> {
    /// True if the StatefulSet is one of them.
    pub has_stateful_set: bool,
    /// The errors.
    pub cause: &'a str,
}

/// Replica counts of a StatefulSet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct AppliedCounts {
    pub desired: u32,
    pub ready: u32,
    /// True if every Pod exists, is ready and has the newest template, and the counts belong to the newest spec.
    pub is_complete: bool,
}

/// Availability zones that the servers run in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ZonesUsed {
    pub count: usize,
    /// A node of a server that has no zone label.
    pub unlabelled_node: Option<String>,
    /// False while the node of a server is not known: its Pod restarts, or its node is new. The counts of the
    /// StatefulSet may be older.
    pub is_complete: bool,
}

impl AppliedCounts {
    /// Reads the counts of a StatefulSet. They belong to an older spec until `observedGeneration` is the newest.
    pub(crate) fn of(stateful_set: &StatefulSet) -> Self {
        let desired = stateful_set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
        let status = stateful_set.status.clone().unwrap_or_default();
        let ready = status.ready_replicas.unwrap_or(0);
        let current = status.current_replicas.unwrap_or(0);
        let updated = status.updated_replicas.unwrap_or(0);
        let is_observed = status.observed_generation >= stateful_set.metadata.generation;
        let counts = [status.replicas, current, updated, ready];
        Self {
            desired: u32::try_from(desired).unwrap_or(0),
            ready: u32::try_from(ready).unwrap_or(0),
            is_complete: is_observed && counts.iter().all(|count| *count == desired),
        }
    }
}

impl ZonesUsed {
    /// Counts the zones of the nodes of this many servers. `zone` returns the zone label of a node that exists.
    pub(crate) fn of<'a>(actual: &ActualState, servers: u32, zone: impl Fn(&str) -> Option<Option<&'a str>>) -> Self {
        let nodes = || (0..servers).filter_map(|ordinal| actual.pod(ordinal)?.node.as_deref());
        let zones: BTreeSet<&str> = nodes().filter_map(|node| zone(node).flatten()).collect();
        let unlabelled_node = nodes().find(|node| zone(node) == Some(None)).map(str::to_owned);
        let known = nodes().filter(|node| zone(node).is_some()).count();
        Self { count: zones.len(), unlabelled_node, is_complete: u32::try_from(known) == Ok(servers) }
    }
}

impl StatusFacts<'_> {
    /// Returns the assessment of the last poll, if servers ever answered.
    pub(super) fn assessment(&self) -> Option<&Assessment> {
        match self.observation {
            Observation::Seen(assessment) => Some(assessment),
            _ => None,
        }
    }

    /// Returns the servers that form one cluster. While a cluster is being formed, that is only the standalone server.
    pub(super) fn members(&self) -> Vec<String> {
        match ServerMode::of(self.plan.members) {
            ServerMode::Standalone => (0..self.plan.members).map(|ordinal| self.actual.server(ordinal)).collect(),
            ServerMode::Clustered => self.actual.expected_servers(),
        }
    }

    /// Returns whether the standalone server is about to restart as a member of a cluster. Data that is stored on it
    /// from now on is lost.
    pub(super) fn is_forming(&self) -> bool {
        self.operation() == Some(OperationKind::FormCluster)
            && ServerMode::of(self.plan.members) == ServerMode::Standalone
    }

    /// Returns the kind of the change in progress.
    pub(super) fn operation(&self) -> Option<OperationKind> {
        self.plan.operation.as_ref().map(|operation| operation.kind)
    }

    /// Returns whether the counts of the StatefulSet are older than its Pods, which all serve. The caches are filled
    /// separately.
    pub(super) fn has_outdated_counts(&self) -> bool {
        let pods = &self.actual.pods;
        let all_serve = u32::try_from(pods.len()) == Ok(self.applied.desired) && pods.iter().all(PodState::is_serving);
        all_serve && self.applied.ready < self.applied.desired
    }

    /// Returns whether the Pod of a server is ready and not terminating.
    pub(super) fn is_serving(&self, server: &str) -> bool {
        self.actual.pods.iter().any(|pod| pod.name == server && pod.is_serving())
    }
}
