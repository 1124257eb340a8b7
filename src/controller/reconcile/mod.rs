//! The driver: takes one resource through the stages.

use std::{sync::Arc, time::Duration};

use kube::{Resource, ResourceExt, core::error_boundary::InvalidObject};
use nats_manager_api::{NamespacedName, Nats};

mod run;

pub use run::{Controller, run};

use crate::{
    controller::{
        context::{Context, Memory, ReconcileDone, ReconcileError, predecessor},
        deletion::tear_down,
        observe::{now, observe},
        pipeline::{PipelineError, PipelineOutput, carry_out, finalizer, record_start},
        status::Reconciled,
    },
    telemetry,
    watch::GuardedNats,
};

/// A reconcile that changes nothing sends no request, so this is only against what no watch shows.
const RESYNC: Duration = Duration::from_mins(10);
/// The interval between polls of the servers while nothing is in progress, and otherwise.
const POLL_AT_REST: Duration = Duration::from_secs(15);
const POLL_BUSY: Duration = Duration::from_secs(2);
/// The interval between reconciles while something is in progress or Pods are missing, where the servers are not polled.
const UNPOLLED: Duration = Duration::from_secs(10);
/// The interval between attempts to carry out a blocked change: JetStream sends no event when a stream is deleted.
const BLOCKED: Duration = Duration::from_secs(5);

/// Reconciles a resource, unless the predecessor still writes.
pub(super) async fn reconcile(nats: &GuardedNats, context: &Context) -> Result<ReconcileDone, ReconcileError> {
    let running = predecessor::running(context.caches.predecessors.state().iter().map(AsRef::as_ref));
    context.predecessors.note(running.as_deref());
    if running.is_some() {
        return Ok(ReconcileDone { outcome: telemetry::ReconcileOutcome::Held, ..ReconcileDone::finished() });
    }
    match &nats.0 {
        Ok(nats) => reconcile_readable(nats, context).await,
        Err(invalid) => reconcile_unreadable(invalid, context).await,
    }
}

async fn reconcile_readable(nats: &Nats, context: &Context) -> Result<ReconcileDone, ReconcileError> {
    let nats = context.status.freshest(nats);
    let id = NamespacedName::new(nats.namespace().unwrap_or_default(), nats.name_any());
    let is_deleted = nats.meta().deletion_timestamp.is_some();
    match (id == context.scope.allowed, is_deleted) {
        (true, false) => {
            let mut memory = context.memory.lock().await;
            let done = deploy(nats.clone(), &id, context, &mut memory).await;
            context.show_state(&context.status.freshest(&nats));
            done
        }
        (true, true) if finalizer::is_on(&nats) => {
            let mut memory = context.memory.lock().await;
            tear_down(nats, &id, context, &mut memory).await
        }
        (true, true) => Ok(ReconcileDone::finished()),
        (false, false) => forbid(&nats, context).await,
        // Nothing was created for it, so nothing is to be kept; the finalizer is the predecessor's.
        (false, true) => finalizer::take_off(&nats, context).await.map(|()| ReconcileDone::finished()),
    }
}

/// Reports that a resource cannot be read; others are reconciled.
async fn reconcile_unreadable(invalid: &InvalidObject, context: &Context) -> Result<ReconcileDone, ReconcileError> {
    let meta = &invalid.metadata;
    let (name, namespace) = (meta.name.as_deref().unwrap_or_default(), meta.namespace.as_deref().unwrap_or_default());
    context.status.unreadable(name, namespace, &invalid.error).await.map_err(ReconcileError::status)?;
    Ok(ReconcileDone { outcome: telemetry::ReconcileOutcome::Refused, ..ReconcileDone::finished() })
}

async fn forbid(nats: &Arc<Nats>, context: &Context) -> Result<ReconcileDone, ReconcileError> {
    let outcome = Reconciled::Forbidden { allowed: context.scope.allowed.clone() };
    context.status.write(nats, &outcome).await.map_err(ReconcileError::status)?;
    Ok(ReconcileDone { outcome: telemetry::ReconcileOutcome::Refused, ..ReconcileDone::finished() })
}

async fn deploy(
    mut nats: Arc<Nats>,
    id: &NamespacedName,
    context: &Context,
    memory: &mut Memory,
) -> Result<ReconcileDone, ReconcileError> {
    let carried = match carry_out(&mut nats, id, context, memory).await {
        Ok(carried) => carried,
        Err(error) => {
            let outcome = error.outcome();
            let observed = observe(&context.caches, id, &nats);
            record_start(&mut nats, context, &observed).await?;
            return match error {
                // Only a change of the spec, or of the cluster, can help.
                PipelineError::InvalidSpec(_) => {
                    context.status.write(&nats, &outcome).await.map_err(ReconcileError::status)?;
                    Ok(ReconcileDone::after(RESYNC, telemetry::ReconcileOutcome::Refused))
                }
                PipelineError::Reconcile(error) => {
                    context.report_error(&error, &nats, &outcome).await;
                    Err(error)
                }
            };
        }
    };
    let assessment = carried.polled.assessment().map(AsRef::as_ref);
    context.metrics.show(carried.plan.replicas as usize, carried.zones().count, assessment);
    let observation = carried.polled.observation();
    let facts = Reconciled::Deployed(Box::new(carried.facts(id, &nats, &observation)));
    context.status.write(&nats, &facts).await.map_err(ReconcileError::status)?;
    let is_blocked = !carried.plan.blocked.is_empty();
    let counted = if is_blocked { telemetry::ReconcileOutcome::Held } else { telemetry::ReconcileOutcome::Success };
    Ok(ReconcileDone::after(pause(context, memory, &carried), counted))
}

/// Returns when to reconcile again: the servers send no events.
fn pause(context: &Context, memory: &Memory, carried: &PipelineOutput) -> Duration {
    let plan = &carried.plan;
    let until = plan.until.map_or(RESYNC, |until| until.since(now()) + Duration::from_secs(1));
    let is_busy = plan.operation.is_some() || !carried.is_settled;
    let pause = match () {
        () if !plan.blocked.is_empty() && !is_busy => BLOCKED,
        () if context.polls.is_on() && (is_busy || !memory.polls.is_healthy()) => POLL_BUSY,
        () if context.polls.is_on() => POLL_AT_REST,
        () if is_busy || memory.missing.are_missing() => UNPOLLED,
        () => RESYNC,
    };
    pause.min(until)
}
