//! The stages of a paused resource: they observe, and write nothing.

use std::sync::Arc;

use nats_manager_api::{NamespacedName, Nats, resolve};

use super::{PipelineError, PipelineOutput};
use crate::controller::{
    context::{Context, Memory},
    decide::{PlanTarget, Planned, decide_paused},
    observe::observe,
    status::AppliedCounts,
};

/// Observes the cluster and polls its servers for the status. No child is written, and no change is sent to
/// a server.
///
/// # Errors
///
/// Fails if the spec is invalid.
pub(super) async fn observe_paused(
    nats: &Arc<Nats>,
    id: &NamespacedName,
    context: &Context,
    memory: &mut Memory,
) -> Result<PipelineOutput, PipelineError> {
    let observed = observe(&context.caches, id, nats);
    let cluster = resolve(nats, &observed.cluster_facts, observed.new_spread())?;
    let account = memory.account(&observed);
    let subject = PlanTarget { nats, id, observed: &observed, cluster: &cluster, account: account.as_ref() };
    let Planned { plan, polled } = decide_paused(context, memory, subject).await;
    memory.record_missing_streams(&observed, &polled);
    let counts = observed.stateful_set.as_deref().map(AppliedCounts::of).unwrap_or_default();
    let counted_servers = memory.count_servers(counts);
    Ok(PipelineOutput {
        is_paused: true,
        failure: None,
        unapplied: None,
        notices: Vec::new(),
        counted_servers,
        missing_streams: memory.missing_streams.clone(),
        policy: Vec::new(),
        size: cluster.size,
        is_consistent: plan.is_consistent,
        plan: memory.record_plan(plan),
        polled,
        applied: counts,
        observed,
        reload_notice: None,
        pods_not_created: None,
    })
}
