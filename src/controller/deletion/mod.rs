//! Deletion of a resource: the deletion guard, then the StatefulSet, the PVCs, the other children and the finalizer.

mod guard;
mod namespace;

use std::sync::Arc;

use kube::ResourceExt;
use nats_manager_api::{ConditionType, NamespacedName, Nats, naming};

use self::guard::DeletionDecision;
use crate::{
    controller::{
        context::{Context, Memory, ReconcileDone, ReconcileError, retry_after},
        execute::{delete_children, delete_data},
        observe::observe,
        ownership::Owner,
        pipeline::{finalizer, keep_cluster},
        status::{Reconciled, paused_message},
    },
    telemetry,
};

/// Deletes the data and removes the finalizer, unless the deletion is blocked. A blocked deletion keeps the cluster in
/// operation, so that JetStream can still answer.
///
/// In a namespace that is being deleted, the finalizer is removed as soon as that is forced or there is nothing left to
/// guard. Everything else is deleted with the namespace.
pub(super) async fn delete(
    mut nats: Arc<Nats>,
    id: &NamespacedName,
    context: &Context,
    memory: &mut Memory,
) -> Result<ReconcileDone, ReconcileError> {
    if namespace::is_terminating(&context.client, &id.namespace).await {
        let is_forced = nats.has_flag(naming::FORCE_DELETION);
        if namespace::may_go(is_forced, &observe(&context.caches, id, &nats).actual) {
            tracing::info!(forced = is_forced, "removing finalizer: the namespace is being deleted");
            finalizer::remove(&nats, context).await?;
            return Ok(finished(context, memory));
        }
    }
    if nats.has_flag(naming::PAUSE) {
        return report_paused(&nats, id, context).await;
    }
    let outcome = match delete_unless_blocked(&mut nats, id, context, memory).await {
        Ok(DeletionDecision::Delete) => return Ok(finished(context, memory)),
        Ok(DeletionDecision::Blocked(reason)) => Reconciled::DeletionBlocked { reason },
        Err(error) => {
            let outcome = Reconciled::DeletionFailed { cause: error.to_string() };
            context.report_error(&error, &nats, &outcome).await;
            context.set_state_metric(&context.status.newest(&nats));
            return Err(error);
        }
    };
    let nats = context.status.write(&nats, &outcome).await.map_err(ReconcileError::status)?;
    context.set_state_metric(&nats);
    if let Err(error) = keep_cluster(&nats, id, context, memory).await {
        tracing::warn!(%error, "failed to keep the cluster while its deletion is blocked");
    }
    Ok(ReconcileDone::after(retry_after(&nats, ConditionType::Deleted), telemetry::ReconcileOutcome::Blocked))
}

/// Reports that the deletion waits for the end of a pause. A decision to delete the data stays.
async fn report_paused(
    nats: &Arc<Nats>,
    id: &NamespacedName,
    context: &Context,
) -> Result<ReconcileDone, ReconcileError> {
    let outcome = Reconciled::DeletionFailed { cause: paused_message(id, "the deletion waits") };
    let nats = context.status.write(nats, &outcome).await.map_err(ReconcileError::status)?;
    context.set_state_metric(&nats);
    Ok(ReconcileDone { outcome: telemetry::ReconcileOutcome::Blocked, ..ReconcileDone::finished() })
}

/// Clears what is known of the deleted cluster.
fn finished(context: &Context, memory: &mut Memory) -> ReconcileDone {
    context.metrics.clear_cluster();
    *memory = Memory::default();
    ReconcileDone::finished()
}

/// Asks the deletion guard, and deletes everything that belongs to the resource if it allows that.
async fn delete_unless_blocked(
    nats: &mut Arc<Nats>,
    id: &NamespacedName,
    context: &Context,
    memory: &mut Memory,
) -> Result<DeletionDecision, ReconcileError> {
    let client = &context.client;
    let observed = observe(&context.caches, id, nats);
    *nats = context.status.record_start(nats, observed.actual.servers_started).await.map_err(ReconcileError::status)?;
    let decision = guard::decide(context, memory, nats, id, &observed).await?;
    if decision == DeletionDecision::Delete {
        *nats = context.status.write(nats, &Reconciled::Deleting).await.map_err(ReconcileError::status)?;
        context.set_state_metric(nats);
        let uid = nats.uid().unwrap_or_default();
        let owner = Owner { id, uid: &uid };
        delete_data(client, &owner).await?;
        delete_children(client, &owner, &observed.live).await?;
        finalizer::remove(nats, context).await?;
    }
    Ok(decision)
}
