//! The input of the status: the outcome of a reconcile, as values.

use std::collections::BTreeSet;

use k8s_openapi::api::apps::v1::StatefulSet;
use nats_manager_api::{NamespacedName, rules::Violation};
use nats_manager_planner::{
    actual::{ActualState, ServerMode},
    health::{Assessment, MissingStreams},
    plan::{Observation, OperationKind, Plan},
};

/// The outcome of a reconcile.
#[derive(Clone, Debug)]
pub(crate) enum Reconciled<'a> {
    /// The objects are applied.
    Deployed(Box<StatusFacts<'a>>),
    /// The resource is not the one that may exist.
    Forbidden {
        /// The one that may.
        allowed: NamespacedName,
    },
    /// The objects could not be applied, or the spec is invalid. What was deployed before stays.
    Failed {
        /// The StatefulSet was the obstacle.
        stateful_set: bool,
        /// The error, or the violations.
        cause: String,
    },
    /// The data is being deleted.
    Deleting,
    /// The deletion is blocked.
    DeletionBlocked {
        /// Why, with the way out.
        reason: String,
    },
    /// The deletion failed, and is tried again.
    DeletionFailed {
        /// The error.
        cause: String,
    },
}

/// A deployed cluster.
#[derive(Clone, Debug)]
pub(crate) struct StatusFacts<'a> {
    /// The resource's name and namespace.
    pub id: &'a NamespacedName,
    /// The desired number of servers.
    pub size: u32,
    /// The counts of the StatefulSet, as it was applied.
    pub applied: AppliedCounts,
    /// The number of servers that a majority is of, where JetStream gives no answer. New servers count once they were
    /// ready.
    pub counted_servers: u32,
    /// The zones that the servers run in.
    pub zones: ZonesUsed,
    /// Kubernetes' state.
    pub actual: &'a ActualState,
    /// The servers' state.
    pub observation: &'a Observation<'a>,
    /// The plan that was carried out.
    pub plan: &'a Plan,
    /// Streams that are gone since a server restarted.
    pub missing_streams: &'a MissingStreams,
    /// Policies that the stored spec violates.
    pub policy: &'a [Violation],
    /// The apiserver's message of the newest `FailedCreate` event, while Pods are missing.
    pub pods_not_created: Option<&'a str>,
    /// The error of the plan's action, which is tried again.
    pub action_failure: Option<&'a str>,
    /// The servers that have not loaded their changed configuration for long, with the way out.
    pub reload_notice: Option<&'a str>,
    /// The annotation `force-rollout` is set.
    pub force_rollout: bool,
}

/// The counts of a StatefulSet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct AppliedCounts {
    /// Desired servers.
    pub desired: u32,
    /// Ready servers.
    pub ready: u32,
    /// Every Pod exists, is ready and has the newest template, and the counts are those of the newest spec.
    pub is_complete: bool,
}

/// The availability zones that the servers run in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ZonesUsed {
    /// Number of zones.
    pub count: usize,
    /// A node of a server that has no zone label.
    pub unlabelled_node: Option<String>,
}

impl AppliedCounts {
    /// Reads a StatefulSet. Its counts are of an older spec until its status has observed the newest.
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
    /// Counts the zones of the servers' nodes. `zone` returns the zone label of a node that exists.
    pub(crate) fn of<'a>(actual: &'a ActualState, zone: impl Fn(&str) -> Option<Option<&'a str>>) -> Self {
        let nodes = || actual.pods.iter().filter_map(|pod| pod.node.as_deref());
        let zones: BTreeSet<&str> = nodes().filter_map(|node| zone(node).flatten()).collect();
        let unlabelled_node = nodes().find(|node| zone(node) == Some(None)).map(str::to_owned);
        Self { count: zones.len(), unlabelled_node }
    }
}

impl StatusFacts<'_> {
    /// Returns the last poll and what follows from it, if servers ever answered.
    pub(super) fn assessment(&self) -> Option<&Assessment> {
        match self.observation {
            Observation::Seen(assessment) => Some(assessment),
            _ => None,
        }
    }

    /// Returns the servers that form one cluster. While a cluster is being formed that is the standalone server alone.
    pub(super) fn members(&self) -> Vec<String> {
        match ServerMode::of(self.plan.members) {
            ServerMode::Standalone => (0..self.plan.members).map(|ordinal| self.actual.server(ordinal)).collect(),
            ServerMode::Clustered => self.actual.expected_servers(),
        }
    }

    /// Returns whether the standalone server is about to restart as a member of a cluster: what is stored on it from
    /// now on does not last.
    pub(super) fn is_forming(&self) -> bool {
        self.operation() == Some(OperationKind::FormCluster)
            && ServerMode::of(self.plan.members) == ServerMode::Standalone
    }

    /// Returns the kind of the change in progress.
    pub(super) fn operation(&self) -> Option<OperationKind> {
        self.plan.operation.as_ref().map(|operation| operation.kind)
    }

    /// Returns whether the Pod of a server is ready and stays.
    pub(super) fn is_serving(&self, server: &str) -> bool {
        self.actual.pods.iter().any(|pod| pod.name == server && pod.is_serving())
    }
}
