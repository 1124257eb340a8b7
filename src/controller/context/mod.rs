//! Shared state of all reconciles, and their results.

use std::{sync::Arc, time::Duration};

use async_nats::ServerAddr;
use k8s_openapi::jiff::Timestamp;
use kube::{
    Client, ResourceExt,
    runtime::{controller::Action, reflector::ObjectRef},
};
use nats_manager_api::{ConditionType, NamespacedName, Nats};

use tokio::sync::Mutex;

mod backoff;
mod expansion_failures;
mod memory;
pub(super) mod predecessor;

pub(super) use memory::Memory;

use crate::{
    controller::{
        execute::DeleteError,
        poll::Polls,
        status::{Reconciled, StatusWriter},
    },
    error_message::summary,
    settings::Images,
    telemetry::{self, Metrics},
    watch::{Caches, Scope},
};
pub(super) use backoff::Backoff;

/// Clients, caches and settings of every reconcile.
pub(super) struct Context {
    pub(super) client: Client,
    pub(super) caches: Arc<Caches>,
    pub(super) scope: Scope,
    pub(super) images: Images,
    pub(super) metrics: Metrics,
    pub(super) status: StatusWriter,
    pub(super) backoff: Backoff,
    pub(super) predecessors: predecessor::Predecessors,
    pub(super) polls: Polls,
    /// State that one reconcile of the one deployed resource leaves for the next.
    pub(super) memory: Mutex<Memory>,
    /// Replacement for the address of the resource's own Service (`--nats-url`).
    pub(super) nats_url: Option<ServerAddr>,
}

/// Result of a reconcile without an error.
pub(super) struct ReconcileDone {
    /// Time of the next reconcile if nothing changes.
    pub(super) requeue: Action,
    /// Label of the metric that counts reconciles.
    pub(super) outcome: telemetry::ReconcileOutcome,
}

impl ReconcileDone {
    /// Returns a result that waits for the next change.
    pub(super) fn finished() -> Self {
        Self { requeue: Action::await_change(), outcome: telemetry::ReconcileOutcome::Success }
    }

    /// Returns a result that reconciles again after `delay`.
    pub(super) fn after(delay: Duration, outcome: telemetry::ReconcileOutcome) -> Self {
        Self { requeue: Action::requeue(delay), outcome }
    }
}

/// Failure of a reconcile, which is retried.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReconcileError {
    /// A failed read from the apiserver.
    #[error("cannot observe the cluster: {}", summary(.0))]
    Observe(kube::Error),
    /// A concurrent write by another client.
    #[error("{0}")]
    Conflict(String),
    /// A finalizer that could not be added or removed.
    #[error("cannot change the finalizer: {}", summary(.0))]
    Finalizer(kube::Error),
    /// A status that could not be written.
    #[error("cannot write the status: {}", summary(.0))]
    Status(kube::Error),
    #[error(transparent)]
    Delete(#[from] DeleteError),
    /// A panic, with its message.
    #[error("internal error in NATS Manager: {0}")]
    Panicked(String),
    /// An address of the resource's Service that is invalid, which is a bug in NATS Manager.
    #[error("cannot use the address {address}: {cause}")]
    Address { address: String, cause: std::io::Error },
}

/// Bounds of the interval between requests to JetStream while a change or a deletion is blocked. JetStream sends no
/// event when a stream is deleted.
const MIN_RETRY: Duration = Duration::from_secs(5);
const MAX_RETRY: Duration = Duration::from_secs(30);
/// Time for which conflicts are not reported, since a retry is expected to succeed.
const CONFLICT_GRACE: Duration = Duration::from_secs(10);

impl ReconcileError {
    /// Converts a conflict (409) to [`ReconcileError::Conflict`], and any other error with `other`.
    pub(super) fn from_kube(error: kube::Error, other: fn(kube::Error) -> Self) -> Self {
        match error {
            kube::Error::Api(status) if status.code == 409 => Self::Conflict(status.message.clone()),
            error => other(error),
        }
    }

    pub(super) fn status(error: kube::Error) -> Self {
        Self::from_kube(error, Self::Status)
    }
}

impl Context {
    /// Returns whether the error is a conflict that has not lasted, so that it is retried without a report.
    pub(super) fn is_transient(&self, error: &ReconcileError, uid: &str) -> bool {
        matches!(error, ReconcileError::Conflict(_)) && self.backoff.failing_for(uid) < CONFLICT_GRACE
    }

    /// Returns whether the resource has not failed for so long that a conflict is reported.
    pub(super) fn is_recent_failure(&self, nats: &Nats) -> bool {
        self.backoff.failing_for(&nats.uid().unwrap_or_default()) < CONFLICT_GRACE
    }

    /// Removes the state of a deleted resource, and the metrics if it was the last one: its finalizer may have been removed
    /// by hand.
    pub(super) fn remove(&self, uid: &str) {
        let NamespacedName { namespace, name } = &self.scope.allowed;
        if self.caches.nats.get(&ObjectRef::new(name).within(namespace)).is_none() {
            self.metrics.clear_cluster();
        }
        self.backoff.reset(uid);
        self.status.remove(uid);
        self.predecessors.clear();
    }

    /// Sets the metrics of the resource's state and conditions.
    pub(super) fn set_state_metric(&self, nats: &Nats) {
        let status = nats.status.as_ref();
        self.metrics.set_state(status.map(|status| status.state.as_str()));
        self.metrics.set_conditions(status.map(|status| status.conditions.as_slice()).unwrap_or_default());
    }

    /// Returns the address of the JetStream API.
    pub(super) fn jetstream_address(&self, id: &NamespacedName) -> Result<ServerAddr, ReconcileError> {
        if let Some(address) = &self.nats_url {
            return Ok(address.clone());
        }
        let address = id.url(&self.scope.domain);
        address.parse().map_err(|cause| ReconcileError::Address { address, cause })
    }

    /// Reports the error in the status, unless it is transient.
    pub(super) async fn report_error(&self, error: &ReconcileError, nats: &Arc<Nats>, outcome: &Reconciled<'_>) {
        if self.is_transient(error, &nats.uid().unwrap_or_default()) {
            return;
        }
        // The first error is the one to report.
        if let Err(second) = self.status.write(nats, outcome).await {
            tracing::warn!(%error, status = %second, "failed to report the error in the status");
        }
    }
}

/// Returns the delay before the next request to JetStream: a quarter of the time since the last transition of the
/// condition, between [`MIN_RETRY`] and [`MAX_RETRY`].
pub(super) fn retry_after(nats: &Nats, kind: ConditionType) -> Duration {
    let condition = nats.status.as_ref().and_then(|status| status.condition(kind));
    let waited = condition.map(|condition| Timestamp::now().duration_since(condition.last_transition_time.0));
    let waited = waited.and_then(|waited| Duration::try_from(waited).ok()).unwrap_or_default();
    (waited / 4).clamp(MIN_RETRY, MAX_RETRY)
}
