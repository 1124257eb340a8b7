//! What reconciles share: what they need, and how they end.

use std::{sync::Arc, time::Duration};

use async_nats::ServerAddr;
use k8s_openapi::jiff::Timestamp;
use kube::{Client, ResourceExt, runtime::controller::Action};
use nats_manager_api::{ConditionType, NamespacedName, Nats};

use tokio::sync::Mutex;

mod backoff;
mod memory;
pub(super) mod predecessor;

pub(super) use memory::Memory;

use crate::{
    controller::{
        apply::ApplyError,
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

/// What every reconcile needs.
pub(super) struct Context {
    pub(super) client: Client,
    pub(super) caches: Arc<Caches>,
    pub(super) scope: Scope,
    pub(super) images: Images,
    pub(super) metrics: Metrics,
    pub(super) status: StatusWriter,
    pub(super) backoff: Backoff,
    pub(super) predecessors: predecessor::PredecessorLog,
    /// Polls the servers.
    pub(super) polls: Polls,
    /// What one reconcile of the one deployed resource leaves for the next.
    pub(super) memory: Mutex<Memory>,
    /// Asked instead of the resource's own Service, if given.
    pub(super) nats_url: Option<ServerAddr>,
}

/// A reconcile that got through.
pub(super) struct ReconcileDone {
    /// When to look again if nothing changes.
    pub(super) again: Action,
    /// How it is counted.
    pub(super) outcome: telemetry::ReconcileOutcome,
}

impl ReconcileDone {
    pub(super) fn finished() -> Self {
        Self { again: Action::await_change(), outcome: telemetry::ReconcileOutcome::Success }
    }

    pub(super) fn after(pause: Duration, outcome: telemetry::ReconcileOutcome) -> Self {
        Self { again: Action::requeue(pause), outcome }
    }
}

/// A reconcile did not get through; it is tried again.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReconcileError {
    /// The cluster could not be looked at.
    #[error("cannot observe the cluster: {}", summary(.0))]
    Observe(kube::Error),
    /// An object could not be applied.
    #[error(transparent)]
    Apply(ApplyError),
    /// Somebody wrote at the same time.
    #[error("{0}")]
    Conflict(String),
    /// The finalizer could not be put on or taken off.
    #[error("cannot change the finalizer: {}", summary(.0))]
    Finalizer(kube::Error),
    /// The status could not be written.
    #[error("cannot write the status: {}", summary(.0))]
    Status(kube::Error),
    /// The data could not be deleted.
    #[error(transparent)]
    Delete(#[from] DeleteError),
    /// A reconcile panicked.
    #[error("a mistake in NATS Manager itself: {0}")]
    Panicked(String),
    /// The address of the resource's Service is none, which is a mistake in the code.
    #[error("cannot use the address {address}: {cause}")]
    Address {
        /// The address.
        address: String,
        /// What is wrong with it.
        cause: std::io::Error,
    },
}

/// How soon JetStream is asked again about a change that is held, or a deletion that is blocked: it
/// does not tell by itself when a stream is gone.
const ASK_SOON: Duration = Duration::from_secs(5);
const ASK_LATE: Duration = Duration::from_secs(30);
/// For so long nobody needs to know of conflicts: they pass.
const CONFLICTS: Duration = Duration::from_secs(10);

impl ReconcileError {
    /// Tells conflicts from what `other` makes of the rest.
    pub(super) fn of(error: kube::Error, other: fn(kube::Error) -> Self) -> Self {
        match error {
            kube::Error::Api(status) if status.code == 409 => Self::Conflict(status.message.clone()),
            error => other(error),
        }
    }

    pub(super) fn status(error: kube::Error) -> Self {
        Self::of(error, Self::Status)
    }
}

impl From<ApplyError> for ReconcileError {
    fn from(error: ApplyError) -> Self {
        if error.is_conflict() { Self::Conflict(error.to_string()) } else { Self::Apply(error) }
    }
}

impl Context {
    /// Whether it is worth no more than another try.
    pub(super) fn is_passing(&self, error: &ReconcileError, uid: &str) -> bool {
        matches!(error, ReconcileError::Conflict(_)) && self.backoff.failing_for(uid) < CONFLICTS
    }

    /// A resource is gone.
    pub(super) fn forget(&self, uid: &str) {
        self.backoff.reset(uid);
        self.status.forget(uid);
    }

    /// Shows the state of the resource as a metric.
    pub(super) fn show_state(&self, nats: &Nats) {
        self.metrics.set_state(nats.status.as_ref().map(|status| status.state.as_str()));
    }

    /// Where JetStream is asked.
    pub(super) fn jetstream_address(&self, id: &NamespacedName) -> Result<ServerAddr, ReconcileError> {
        match &self.nats_url {
            Some(address) => Ok(address.clone()),
            None => id.url().parse().map_err(|cause| ReconcileError::Address { address: id.url(), cause }),
        }
    }

    /// Reports in the status what went wrong, unless it passes by itself.
    pub(super) async fn report_error(&self, error: &ReconcileError, nats: &Arc<Nats>, outcome: &Reconciled<'_>) {
        if self.is_passing(error, &nats.uid().unwrap_or_default()) {
            return;
        }
        // The first error is the one to report.
        if let Err(second) = self.status.write(nats, outcome).await {
            tracing::warn!(%error, status = %second, "failed to report the error in the status");
        }
    }
}

/// How soon to ask JetStream again: soon at first, while somebody may be waiting for it.
pub(super) fn retry_after(nats: &Nats, kind: ConditionType) -> Duration {
    let condition = nats.status.as_ref().and_then(|status| status.condition(kind));
    let waited = condition.map(|condition| Timestamp::now().duration_since(condition.last_transition_time.0));
    let waited = waited.and_then(|waited| Duration::try_from(waited).ok()).unwrap_or_default();
    (waited / 4).clamp(ASK_SOON, ASK_LATE)
}
