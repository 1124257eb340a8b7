//! Begin and end of one reconcile: dispatches a resource to deployment, deletion or rejection, and writes the outcome.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use k8s_openapi::jiff::Timestamp;
use kube::{Resource, ResourceExt, core::error_boundary::InvalidObject};
use nats_manager_api::{NamespacedName, Nats, naming};
use tokio::sync::MutexGuard;

mod run;

pub use run::{Controller, run};

use crate::{
    controller::{
        apply::ApplyErrors,
        context::{Context, Memory, ReconcileDone, ReconcileError, predecessor},
        deletion::delete,
        foreign_finalizers::foreign_finalizers,
        observe::{now, observe},
        pipeline::{PipelineError, PipelineOutput, finalizer, record_start, run_pipeline},
        status::Reconciled,
    },
    telemetry,
    watch::GuardedNats,
};

/// Interval between reconciles of an idle resource, for changes that no watch reports. A reconcile that changes nothing
/// sends no request.
const RESYNC_INTERVAL: Duration = Duration::from_mins(10);
/// Interval between polls of the servers while nothing is in progress and JetStream is healthy.
const POLL_INTERVAL_AT_REST: Duration = Duration::from_secs(15);
/// Interval between polls of the servers otherwise.
const POLL_INTERVAL_BUSY: Duration = Duration::from_secs(2);
/// Interval between reconciles while something is in progress or Pods are missing, where the servers are not polled.
const UNPOLLED_INTERVAL: Duration = Duration::from_secs(10);
/// Interval between attempts to carry out a blocked change. JetStream sends no event when a stream is deleted.
const BLOCKED_INTERVAL: Duration = Duration::from_secs(5);

/// Reconciles a resource, unless a Pod of the predecessor still runs.
pub(super) async fn reconcile(nats: &GuardedNats, context: &Context) -> Result<ReconcileDone, ReconcileError> {
    let pods = context.caches.predecessors.state();
    let running = predecessor::running(pods.iter().map(AsRef::as_ref), Timestamp::now());
    let check_in = context.predecessors.record(running.as_deref(), Instant::now());
    if let (Some(pod), Some(check_in)) = (running, check_in) {
        report_predecessor(nats, context, pod).await?;
        return Ok(ReconcileDone::after(check_in, telemetry::ReconcileOutcome::Blocked));
    }
    match &nats.0 {
        Ok(nats) => reconcile_readable(nats, context).await,
        Err(invalid) => reconcile_unreadable(invalid, context).await,
    }
}

/// Reports in the status that nothing is written while the Pod of the predecessor runs, once that has lasted.
async fn report_predecessor(nats: &GuardedNats, context: &Context, pod: String) -> Result<(), ReconcileError> {
    let Ok(nats) = &nats.0 else { return Ok(()) };
    let is_allowed =
        NamespacedName::new(nats.namespace().unwrap_or_default(), nats.name_any()) == context.scope.allowed;
    if is_allowed && context.predecessors.take_report(Instant::now()) {
        let outcome = Reconciled::PredecessorRunning { namespace: context.scope.own_namespace.clone(), pod };
        let nats = context.status.newest(nats);
        context.status.write(&nats, &outcome).await.map_err(ReconcileError::status)?;
        context.set_state_metric(&context.status.newest(&nats));
    }
    Ok(())
}

async fn reconcile_readable(nats: &Nats, context: &Context) -> Result<ReconcileDone, ReconcileError> {
    let nats = context.status.newest(nats);
    let id = NamespacedName::new(nats.namespace().unwrap_or_default(), nats.name_any());
    let is_deleted = nats.meta().deletion_timestamp.is_some();
    match (id == context.scope.allowed, is_deleted) {
        (true, false) => {
            let mut memory = begin(&nats, context).await;
            let done = deploy(nats.clone(), &id, context, &mut memory).await;
            context.set_state_metric(&context.status.newest(&nats));
            done
        }
        (true, true) if finalizer::is_present(&nats) => {
            let mut memory = begin(&nats, context).await;
            delete(nats, &id, context, &mut memory).await
        }
        (true, true) => report_kept(&nats, context).await,
        (false, false) => reject_forbidden(&nats, context).await,
        // Nothing was created for it, so nothing has to be kept. The predecessor has set the finalizer.
        (false, true) => finalizer::remove(&nats, context).await.map(|()| ReconcileDone::finished()),
    }
}

/// Begins a reconcile of the allowed resource. Returns what earlier ones have left for it.
async fn begin<'a>(nats: &Nats, context: &'a Context) -> MutexGuard<'a, Memory> {
    context.metrics.set_paused(nats.has_flag(naming::PAUSE));
    let mut memory = context.memory.lock().await;
    memory.reset_for(nats);
    context.status.publish(nats, &memory.ineffective_annotations(nats)).await;
    memory
}

/// Reports finalizers of others on a resource of which nothing else is left.
async fn report_kept(nats: &Arc<Nats>, context: &Context) -> Result<ReconcileDone, ReconcileError> {
    if let Some(finalizers) = foreign_finalizers(nats.meta()) {
        let outcome = Reconciled::Kept { finalizers };
        let nats = context.status.write(nats, &outcome).await.map_err(ReconcileError::status)?;
        context.set_state_metric(&nats);
    }
    Ok(ReconcileDone::finished())
}

/// Reports a resource that cannot be parsed. Other resources are reconciled.
async fn reconcile_unreadable(invalid: &InvalidObject, context: &Context) -> Result<ReconcileDone, ReconcileError> {
    let meta = &invalid.metadata;
    let (name, namespace) = (meta.name.as_deref().unwrap_or_default(), meta.namespace.as_deref().unwrap_or_default());
    context.status.write_unreadable(name, namespace, &invalid.error).await.map_err(ReconcileError::status)?;
    Ok(ReconcileDone { outcome: telemetry::ReconcileOutcome::Rejected, ..ReconcileDone::finished() })
}

/// Reports a resource that is not the allowed one.
async fn reject_forbidden(nats: &Arc<Nats>, context: &Context) -> Result<ReconcileDone, ReconcileError> {
    let outcome = Reconciled::Forbidden { allowed: context.scope.allowed.clone() };
    context.status.write(nats, &outcome).await.map_err(ReconcileError::status)?;
    Ok(ReconcileDone { outcome: telemetry::ReconcileOutcome::Rejected, ..ReconcileDone::finished() })
}

/// Runs the pipeline and writes its outcome to the status.
async fn deploy(
    mut nats: Arc<Nats>,
    id: &NamespacedName,
    context: &Context,
    memory: &mut Memory,
) -> Result<ReconcileDone, ReconcileError> {
    let output = match run_pipeline(&mut nats, id, context, memory).await {
        Ok(output) => output,
        Err(error) => {
            let outcome = error.outcome(&nats, id);
            let observed = observe(&context.caches, id, &nats);
            record_start(&mut nats, context, &observed).await?;
            return match error {
                // A retry succeeds only after a change of the spec or of the cluster.
                PipelineError::InvalidSpec(_) => {
                    context.status.write(&nats, &outcome).await.map_err(ReconcileError::status)?;
                    Ok(ReconcileDone::after(RESYNC_INTERVAL, telemetry::ReconcileOutcome::Rejected))
                }
                PipelineError::Reconcile(error) => {
                    context.report_error(&error, &nats, &outcome).await;
                    Err(error)
                }
            };
        }
    };
    let unapplied = output.unapplied.as_ref().map(ToString::to_string);
    let conflict = || unapplied.clone().filter(|_| output.unapplied.as_ref().is_some_and(ApplyErrors::is_conflict));
    if let Some(conflict) = conflict().filter(|_| context.is_recent_failure(&nats)) {
        record_start(&mut nats, context, &output.observed).await?;
        return Err(ReconcileError::Conflict(conflict));
    }
    let assessment = output.polled.assessment().map(AsRef::as_ref);
    context.metrics.show(output.plan.replicas as usize, output.zones().count, assessment);
    let observation = output.polled.observation();
    let outcome = output.outcome(id, &nats, &observation, unapplied.as_deref());
    context.status.write(&nats, &outcome).await.map_err(ReconcileError::status)?;
    memory.notices.clear();
    let requeue = requeue_delay(context, memory, &output);
    if let Some(errors) = output.unapplied {
        if errors.has_attempt() {
            tracing::warn!(%errors, "failed to apply children");
        }
        if errors.is_conflict() {
            return Err(ReconcileError::Conflict(errors.to_string()));
        }
        // The servers need attention more often than a child that is expected to fail again.
        let retry = memory.writes.refused.retry_in(Instant::now()).unwrap_or(RESYNC_INTERVAL);
        return Ok(ReconcileDone::after(requeue.min(retry), telemetry::ReconcileOutcome::Error));
    }
    let is_blocked = !output.plan.blocked.is_empty();
    let outcome = if is_blocked { telemetry::ReconcileOutcome::Blocked } else { telemetry::ReconcileOutcome::Success };
    Ok(ReconcileDone::after(requeue, outcome))
}

/// Returns the delay before the next reconcile, since the servers send no events.
fn requeue_delay(context: &Context, memory: &Memory, output: &PipelineOutput) -> Duration {
    let plan = &output.plan;
    let until = plan.until.map_or(RESYNC_INTERVAL, |until| until.since(now()) + Duration::from_secs(1));
    let is_busy = plan.operation.is_some() || !output.is_consistent;
    let delay = match () {
        () if !plan.blocked.is_empty() && !is_busy => BLOCKED_INTERVAL,
        () if context.polls.is_enabled() && (is_busy || !memory.polls.is_healthy()) => POLL_INTERVAL_BUSY,
        () if context.polls.is_enabled() => POLL_INTERVAL_AT_REST,
        () if is_busy || memory.missing.has_missing() => UNPOLLED_INTERVAL,
        () => RESYNC_INTERVAL,
    };
    delay.min(until)
}

#[cfg(test)]
mod tests;
