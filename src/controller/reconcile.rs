//! The driver: takes one resource through the stages.

use std::{sync::Arc, time::Duration};

use async_nats::ServerAddr;
use kube::{
    Client, Resource, ResourceExt,
    core::error_boundary::InvalidObject,
    runtime::controller::Action,
};
use k8s_openapi::jiff::Timestamp;
use nats_manager_api::{ConditionType, Nats, NamespacedName, rules, settle};

use super::{
    apply::{ApplyError, Owner, apply},
    build::{SystemAccount, build},
    delete::{self, DeleteError, Verdict},
    finalizer,
    observe::{Observed, observe},
    pauses::Pauses,
    report::Report,
    rivals,
    scaling::{self, Scaling},
    status::{Deployment, Outcome},
    watch::{Places, Watches},
    words::plainly,
};
use crate::{
    settings::Images,
    telemetry::{self, Metrics},
};

/// What every reconcile needs.
pub struct Context {
    pub(super) client: Client,
    pub(super) watches: Arc<Watches>,
    pub(super) places: Places,
    pub(super) images: Images,
    pub(super) metrics: Metrics,
    pub(super) report: Report,
    pub(super) pauses: Pauses,
    pub(super) rivals: rivals::Notices,
    /// Asked instead of the resource's own Service, if given.
    pub(super) nats_url: Option<ServerAddr>,
}

/// A reconcile that got through.
pub(super) struct Done {
    /// When to look again if nothing changes.
    pub(super) again: Action,
    /// How it is counted.
    pub(super) outcome: telemetry::Outcome,
}

impl Done {
    fn settled() -> Self {
        Self { again: Action::await_change(), outcome: telemetry::Outcome::Success }
    }

    fn after(pause: Duration, outcome: telemetry::Outcome) -> Self {
        Self { again: Action::requeue(pause), outcome }
    }
}

/// A reconcile did not get through; it is tried again.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The cluster could not be looked at.
    #[error("cannot observe the cluster: {}", plainly(.0))]
    Observe(kube::Error),
    /// An object could not be applied.
    #[error(transparent)]
    Apply(ApplyError),
    /// Somebody wrote at the same time.
    #[error("{0}")]
    Conflict(String),
    /// The finalizer could not be put on or taken off.
    #[error("cannot change the finalizer: {}", plainly(.0))]
    Finalizer(kube::Error),
    /// The status could not be written.
    #[error("cannot write the status: {}", plainly(.0))]
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

/// Nothing to do takes no request, so this is only against what no watch shows.
const RESYNC: Duration = Duration::from_secs(600);
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

    fn status(error: kube::Error) -> Self {
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
        matches!(error, ReconcileError::Conflict(_)) && self.pauses.failing_for(uid) < CONFLICTS
    }

    /// A resource is gone.
    pub(super) fn forget(&self, uid: &str) {
        self.pauses.reset(uid);
        self.report.forget(uid);
    }

    async fn tell_of(&self, error: &ReconcileError, nats: &Arc<Nats>, outcome: &Outcome) -> Result<(), ReconcileError> {
        if self.is_passing(error, &nats.uid().unwrap_or_default()) {
            return Ok(());
        }
        // The first error is the one to report.
        if let Err(second) = self.report.tell(nats, outcome).await {
            tracing::warn!(%error, status = %second, "cannot say in the status what is wrong");
        }
        Ok(())
    }
}

/// Soon at first, while somebody may be waiting for it.
fn ask_again(nats: &Nats, kind: ConditionType) -> Duration {
    let condition = nats.status.as_ref().and_then(|status| status.condition(kind));
    let waited = condition.map(|condition| Timestamp::now().duration_since(condition.last_transition_time.0));
    let waited = waited.and_then(|waited| Duration::try_from(waited).ok()).unwrap_or_default();
    (waited / 4).clamp(ASK_SOON, ASK_LATE)
}

/// Reconciles a resource that can be read.
pub(super) async fn reconcile(nats: &Nats, context: &Context) -> Result<Done, ReconcileError> {
    let rival = rivals::running(context.watches.rivals.state().iter().map(AsRef::as_ref));
    context.rivals.note(rival.as_deref());
    if rival.is_some() {
        return Ok(Done { outcome: telemetry::Outcome::Held, ..Done::settled() });
    }
    let nats = context.report.freshest(nats);
    let id = NamespacedName::new(nats.namespace().unwrap_or_default(), nats.name_any());
    let is_deleted = nats.meta().deletion_timestamp.is_some();
    match (id == context.places.allowed, is_deleted) {
        (true, false) => deploy(nats, &id, context).await,
        (true, true) if finalizer::is_on(&nats) => tear_down(nats, &id, context).await,
        (true, true) => Ok(Done::settled()),
        (false, false) => forbid(&nats, context).await,
        // Nothing was made for it, so nothing is to be kept; the finalizer is another manager's.
        (false, true) => finalizer::take_off(&nats, context).await.map(|()| Done::settled()),
    }
}

/// Says that a resource cannot be read; others go on.
pub(super) async fn reconcile_unreadable(
    invalid: &InvalidObject,
    context: &Context,
) -> Result<Done, ReconcileError> {
    let meta = &invalid.metadata;
    let (name, namespace) = (meta.name.as_deref().unwrap_or_default(), meta.namespace.as_deref().unwrap_or_default());
    context.report.tell_unreadable(name, namespace, &invalid.error).await.map_err(ReconcileError::status)?;
    Ok(Done { outcome: telemetry::Outcome::Refused, ..Done::settled() })
}

async fn deploy(mut nats: Arc<Nats>, id: &NamespacedName, context: &Context) -> Result<Done, ReconcileError> {
    let deployment = match attempt(&mut nats, id, context).await {
        Ok(deployment) => deployment,
        Err(error) => {
            let outcome = error.outcome();
            return match error {
                // Only a change of the spec, or of what is around it, can help.
                MakeError::Undeployable(_) => {
                    context.report.tell(&nats, &outcome).await.map_err(ReconcileError::status)?;
                    Ok(Done::after(RESYNC, telemetry::Outcome::Refused))
                }
                MakeError::Reconcile(error) => {
                    context.tell_of(&error, &nats, &outcome).await?;
                    Err(error)
                }
            };
        }
    };
    context.metrics.set_nats_nodes(deployment.size as usize);
    context.metrics.set_availability_zones_used(deployment.zones.count);
    let is_held = deployment.held.is_some();
    let nats = context.report.tell(&nats, &Outcome::Deployed(deployment)).await.map_err(ReconcileError::status)?;
    Ok(if is_held {
        Done::after(ask_again(&nats, ConditionType::Progressing), telemetry::Outcome::Held)
    } else {
        Done::after(RESYNC, telemetry::Outcome::Success)
    })
}

async fn attempt(nats: &mut Arc<Nats>, id: &NamespacedName, context: &Context) -> Result<Deployment, MakeError> {
    if !finalizer::is_on(nats) {
        *nats = finalizer::put_on(nats, context).await?;
    }
    let observed = observe(&context.watches, &context.client, id).await.map_err(ReconcileError::Observe)?;
    make(nats, id, &observed, context).await
}

/// Why the objects could not be made.
#[derive(Debug, thiserror::Error)]
enum MakeError {
    #[error(transparent)]
    Undeployable(#[from] nats_manager_api::Undeployable),
    #[error(transparent)]
    Reconcile(#[from] ReconcileError),
}

impl MakeError {
    fn outcome(&self) -> Outcome {
        let stateful_set =
            matches!(self, Self::Reconcile(ReconcileError::Apply(error)) if error.is_stateful_set());
        Outcome::Failed { stateful_set, cause: self.to_string() }
    }
}

/// From what is wanted and what is there to what is applied.
async fn make(
    nats: &Nats,
    id: &NamespacedName,
    observed: &Observed,
    context: &Context,
) -> Result<Deployment, MakeError> {
    let recorded = nats.status.as_ref().and_then(|status| status.servers_started);
    let mut cluster = settle(nats, &observed.surroundings, observed.new_spread())?;
    let mut held = None;
    let scaling = scaling::decide(&context.client, nats, id, observed, &jetstream_address(id, context)?).await;
    if let Scaling::Held { size, reason } = scaling.map_err(ReconcileError::Observe)? {
        cluster.size = size;
        held = Some(reason);
    }
    let account = observed.live.secret.as_deref().and_then(SystemAccount::from_secret);
    let children = build(&cluster, &context.images, &account.unwrap_or_else(SystemAccount::generate));
    let owner = Owner { id, uid: &cluster.uid };
    let applied = apply(&context.client, &context.watches, &observed.live, &owner, children).await;
    let applied = applied.map_err(ReconcileError::from)?;
    Ok(Deployment {
        servers_started: record_start(observed, recorded),
        held,
        policy: rules::check(&nats.spec, &observed.surroundings).policy().cloned().collect(),
        ..Deployment::of(&applied, observed, id, cluster.size)
    })
}

/// What to remember of starts: that none happened is certain only from before the first one.
fn record_start(observed: &Observed, recorded: Option<bool>) -> Option<bool> {
    let is_new = observed.live.stateful_set.is_none() && observed.claims.as_ref().is_some_and(Vec::is_empty);
    observed.servers_started(recorded.or(is_new.then_some(false)))
}

async fn tear_down(mut nats: Arc<Nats>, id: &NamespacedName, context: &Context) -> Result<Done, ReconcileError> {
    let outcome = match end(&mut nats, id, context).await {
        Ok(Verdict::Delete) => {
            context.metrics.set_nats_nodes(0);
            context.metrics.set_availability_zones_used(0);
            return Ok(Done::settled());
        }
        Ok(Verdict::Blocked(reason)) => Outcome::DeletionBlocked { reason },
        Err(error) => {
            let outcome = Outcome::DeletionFailed { cause: error.to_string() };
            context.tell_of(&error, &nats, &outcome).await?;
            return Err(error);
        }
    };
    let nats = context.report.tell(&nats, &outcome).await.map_err(ReconcileError::status)?;
    // The cluster must go on, so that JetStream can be asked.
    if let Err(error) = keep(&nats, id, context).await {
        tracing::warn!(%error, "cannot keep the cluster while its deletion waits");
    }
    Ok(Done::after(ask_again(&nats, ConditionType::Deleted), telemetry::Outcome::Held))
}

/// Deletes the data and lets the resource go, unless that would be a loss.
async fn end(nats: &mut Arc<Nats>, id: &NamespacedName, context: &Context) -> Result<Verdict, ReconcileError> {
    let client = &context.client;
    let observed = observe(&context.watches, client, id).await.map_err(ReconcileError::Observe)?;
    let verdict = delete::decide(client, nats, id, &observed, &jetstream_address(id, context)?).await;
    let verdict = verdict.map_err(ReconcileError::Observe)?;
    if verdict == Verdict::Delete {
        let outcome = Outcome::Deleting { decided: true };
        *nats = context.report.tell(nats, &outcome).await.map_err(ReconcileError::status)?;
        delete::delete_data(client, id).await?;
        finalizer::take_off(nats, context).await?;
    }
    Ok(verdict)
}

async fn keep(nats: &Nats, id: &NamespacedName, context: &Context) -> Result<(), MakeError> {
    let observed = observe(&context.watches, &context.client, id).await.map_err(ReconcileError::Observe)?;
    make(nats, id, &observed, context).await.map(|_| ())
}

async fn forbid(nats: &Arc<Nats>, context: &Context) -> Result<Done, ReconcileError> {
    let outcome = Outcome::Forbidden { allowed: context.places.allowed.clone() };
    context.report.tell(nats, &outcome).await.map_err(ReconcileError::status)?;
    Ok(Done { outcome: telemetry::Outcome::Refused, ..Done::settled() })
}

fn jetstream_address(id: &NamespacedName, context: &Context) -> Result<ServerAddr, ReconcileError> {
    match &context.nats_url {
        Some(address) => Ok(address.clone()),
        None => id.url().parse().map_err(|cause| ReconcileError::Address { address: id.url(), cause }),
    }
}
