//! The driver: takes one resource through the stages.

use std::{sync::Arc, time::Duration};

use async_nats::ServerAddr;
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams},
    core::error_boundary::InvalidObject,
    runtime::controller::Action,
};
use nats_manager_api::{
    Nats, NamespacedName,
    naming::{FIELD_MANAGER, FINALIZER},
    rules, settle,
};
use serde_json::json;

use super::{
    apply::{ApplyError, Owner, apply},
    build::{SystemAccount, build},
    delete::{self, DeleteError, Verdict},
    observe::{Observed, list_claims, observe},
    report::Report,
    rivals,
    scaling::{self, Scaling},
    status::{Deployment, Outcome},
    watch::{Places, Watches},
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
    #[error("cannot observe the cluster: {0}")]
    Observe(kube::Error),
    /// An object could not be applied.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// Somebody wrote at the same time.
    #[error("somebody else wrote at the same time: {0}")]
    Conflict(String),
    /// The finalizer could not be put on or taken off.
    #[error("cannot change the finalizer: {0}")]
    Finalizer(kube::Error),
    /// The status could not be written.
    #[error("cannot write the status: {0}")]
    Status(kube::Error),
    /// The data could not be deleted.
    #[error(transparent)]
    Delete(#[from] DeleteError),
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
/// How soon JetStream is asked again about a change that is held, or a deletion that is blocked.
const ASK_AGAIN: Duration = Duration::from_secs(30);
/// After somebody else's write, the watch needs a moment.
const AFTER_CONFLICT: Duration = Duration::from_millis(200);

impl ReconcileError {
    /// How long to wait when it is worth no more than another try.
    pub(super) fn quick_retry(&self) -> Option<Duration> {
        matches!(self, Self::Conflict(_)).then_some(AFTER_CONFLICT)
    }
}

/// Reconciles a resource that can be read.
pub(super) async fn reconcile(nats: &Nats, context: &Context) -> Result<Done, ReconcileError> {
    if let Some(rival) = rivals::running(context.watches.rivals.state().iter().map(AsRef::as_ref)) {
        tracing::warn!(pod = rival, "another NATS manager still runs; writing nothing until it is gone");
        return Ok(Done::settled());
    }
    let nats = context.report.freshest(nats);
    let id = NamespacedName::new(nats.namespace().unwrap_or_default(), nats.name_any());
    let is_deleted = nats.meta().deletion_timestamp.is_some();
    match (id == context.places.allowed, is_deleted) {
        (true, false) => deploy(nats, &id, context).await,
        (true, true) if has_finalizer(&nats) => tear_down(nats, &id, context).await,
        (true, true) => Ok(Done::settled()),
        (false, false) => forbid(&nats, context).await,
        // Nothing was made for it, so nothing is to be kept; the finalizer is another manager's.
        (false, true) => take_finalizer_off(&nats, context).await,
    }
}

/// Says that a resource cannot be read; others go on.
pub(super) async fn reconcile_unreadable(
    invalid: &InvalidObject,
    context: &Context,
) -> Result<Done, ReconcileError> {
    let meta = &invalid.metadata;
    let (name, namespace) = (meta.name.as_deref().unwrap_or_default(), meta.namespace.as_deref().unwrap_or_default());
    context.report.tell_unreadable(name, namespace, &invalid.error).await.map_err(ReconcileError::Status)?;
    Ok(Done { outcome: telemetry::Outcome::Refused, ..Done::settled() })
}

async fn deploy(nats: Arc<Nats>, id: &NamespacedName, context: &Context) -> Result<Done, ReconcileError> {
    let nats = if has_finalizer(&nats) { nats } else { put_finalizer_on(&nats, context).await? };
    let observed = observe(&context.watches, &context.client, id).await.map_err(ReconcileError::Observe)?;
    let made = make(&nats, id, &observed, context).await;
    let outcome = match &made {
        Ok(deployment) => Outcome::Deployed(deployment.clone()),
        Err(error) => error.outcome(),
    };
    if !made.as_ref().is_err_and(MakeError::is_conflict) {
        context.report.tell(&nats, &outcome).await.map_err(ReconcileError::Status)?;
    }
    match made {
        Ok(deployment) => {
            context.metrics.set_nats_nodes(deployment.size as usize);
            context.metrics.set_availability_zones_used(deployment.zones.count);
            Ok(match deployment.held {
                Some(_) => Done::after(ASK_AGAIN, telemetry::Outcome::Held),
                None => Done::after(RESYNC, telemetry::Outcome::Success),
            })
        }
        // Only a change of the spec, or of what is around it, can help.
        Err(MakeError::Undeployable(_)) => Ok(Done::after(RESYNC, telemetry::Outcome::Refused)),
        Err(MakeError::Apply(error)) if error.is_conflict() => Err(ReconcileError::Conflict(error.to_string())),
        Err(MakeError::Apply(error)) => Err(error.into()),
        Err(MakeError::Reconcile(error)) => Err(error),
    }
}

/// Why the objects could not be made.
#[derive(Debug, thiserror::Error)]
enum MakeError {
    #[error(transparent)]
    Undeployable(#[from] nats_manager_api::Undeployable),
    #[error(transparent)]
    Apply(#[from] ApplyError),
    #[error(transparent)]
    Reconcile(#[from] ReconcileError),
}

impl MakeError {
    fn outcome(&self) -> Outcome {
        let stateful_set = matches!(self, Self::Apply(error) if error.is_stateful_set());
        Outcome::Failed { stateful_set, cause: self.to_string() }
    }

    fn is_conflict(&self) -> bool {
        matches!(self, Self::Apply(error) if error.is_conflict())
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
    if let Scaling::Held { size, reason } =
        scaling::decide(nats, observed, recorded, &jetstream_address(id, context)?).await
    {
        cluster.size = size;
        held = Some(reason);
    }
    let account = observed.live.secret.as_deref().and_then(SystemAccount::from_secret);
    let children = build(&cluster, &context.images, &account.unwrap_or_else(SystemAccount::generate));
    let owner = Owner { id, uid: &cluster.uid };
    let applied = apply(&context.client, &context.watches, &observed.live, &owner, children).await?;
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

async fn tear_down(nats: Arc<Nats>, id: &NamespacedName, context: &Context) -> Result<Done, ReconcileError> {
    let client = &context.client;
    let observed = observe(&context.watches, client, id).await.map_err(ReconcileError::Observe)?;
    let claims = match observed.claims.clone() {
        Some(claims) => claims,
        None => {
            let claims = list_claims(client, id).await.map_err(ReconcileError::Observe)?;
            claims.iter().map(ResourceExt::name_any).collect()
        }
    };
    match delete::decide(&nats, &observed, &claims, &jetstream_address(id, context)?).await {
        Verdict::Delete => {
            let outcome = Outcome::Deleting { decided: true };
            let nats = context.report.tell(&nats, &outcome).await.map_err(ReconcileError::Status)?;
            delete::delete_data(client, id).await?;
            take_finalizer_off(&nats, context).await
        }
        Verdict::Blocked(reason) => {
            let outcome = Outcome::DeletionBlocked { reason };
            context.report.tell(&nats, &outcome).await.map_err(ReconcileError::Status)?;
            // The cluster must go on, so that JetStream can be asked.
            if let Err(error) = make(&nats, id, &observed, context).await {
                tracing::warn!(%error, "cannot keep the cluster while its deletion waits");
            }
            Ok(Done::after(ASK_AGAIN, telemetry::Outcome::Held))
        }
    }
}

async fn forbid(nats: &Arc<Nats>, context: &Context) -> Result<Done, ReconcileError> {
    let outcome = Outcome::Forbidden { allowed: context.places.allowed.clone() };
    context.report.tell(nats, &outcome).await.map_err(ReconcileError::Status)?;
    Ok(Done { outcome: telemetry::Outcome::Refused, ..Done::settled() })
}

fn jetstream_address(id: &NamespacedName, context: &Context) -> Result<ServerAddr, ReconcileError> {
    match &context.nats_url {
        Some(address) => Ok(address.clone()),
        None => id.url().parse().map_err(|cause| ReconcileError::Address { address: id.url(), cause }),
    }
}

fn has_finalizer(nats: &Nats) -> bool {
    nats.finalizers().iter().any(|finalizer| finalizer == FINALIZER)
}

async fn put_finalizer_on(nats: &Nats, context: &Context) -> Result<Arc<Nats>, ReconcileError> {
    let mut finalizers = nats.finalizers().to_vec();
    finalizers.push(FINALIZER.to_owned());
    let patched = patch_finalizers(nats, &finalizers, context).await?;
    Ok(context.report.wrote(patched))
}

async fn take_finalizer_off(nats: &Nats, context: &Context) -> Result<Done, ReconcileError> {
    if has_finalizer(nats) {
        let mut finalizers = nats.finalizers().to_vec();
        finalizers.retain(|finalizer| finalizer != FINALIZER);
        patch_finalizers(nats, &finalizers, context).await?;
        tracing::info!("took the finalizer off");
    }
    context.report.forget(&nats.uid().unwrap_or_default());
    Ok(Done::settled())
}

/// The list is replaced whole, so it must be the one that we saw.
async fn patch_finalizers(nats: &Nats, finalizers: &[String], context: &Context) -> Result<Nats, ReconcileError> {
    let api: Api<Nats> = Api::namespaced(context.client.clone(), &nats.namespace().unwrap_or_default());
    let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let patch = json!({"metadata": {"finalizers": finalizers, "resourceVersion": nats.resource_version()}});
    api.patch(&nats.name_any(), &parameters, &Patch::Merge(patch)).await.map_err(|error| match error {
        kube::Error::Api(status) if status.code == 409 => ReconcileError::Conflict(status.message.clone()),
        error => ReconcileError::Finalizer(error),
    })
}
