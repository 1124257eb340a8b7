//! Children that are missing while a deletion is blocked and the spec is invalid.

use std::sync::Arc;

use nats_manager_api::{NamespacedName, Nats, resolve_deployed};

use super::apply_children;
use crate::controller::{
    apply::ApplyScope,
    context::{Context, Memory},
    decide::{PlanTarget, decide},
    observe::observe,
    resources::{SystemAccount, build},
};

/// Creates missing children from what is deployed, and leaves the others as they are. The cluster has to stay available,
/// or JetStream could not be asked, and the deletion would never finish.
///
/// # Errors
///
/// Fails if the deployed cluster cannot be resolved either, or if a child cannot be created.
pub(super) async fn restore_missing(
    nats: &Arc<Nats>,
    id: &NamespacedName,
    context: &Context,
    memory: &mut Memory,
) -> Result<(), String> {
    let observed = observe(&context.caches, id, nats);
    let cluster =
        resolve_deployed(nats, &observed.cluster_facts, observed.new_spread()).map_err(|error| error.to_string())?;
    let account = memory.account(&observed);
    let subject = PlanTarget { nats, id, observed: &observed, cluster: &cluster, account: account.as_ref() };
    let planned = decide(context, memory, subject).await.map_err(|error| error.to_string())?;
    let account = account.unwrap_or_else(SystemAccount::generate);
    let children = build(&cluster, &planned.plan, &context.images, &account);
    let may_build = planned.plan.may_build;
    let applied = apply_children(context, memory, &observed, &cluster, &children, may_build, ApplyScope::Missing).await;
    applied.errors.map_or(Ok(()), |errors| Err(errors.to_string()))
}
