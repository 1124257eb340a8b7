//! The pipeline of one reconcile: takes a resource through all stages but the last, and returns the facts that the
//! status stage takes.

use std::{sync::Arc, time::Instant};

use k8s_openapi::{api::apps::v1::StatefulSet, jiff::Timestamp};
use kube::ResourceExt;
use nats_manager_api::{NamespacedName, Nats, ResolvedCluster, naming, resolve, rules::Violation};
use nats_manager_planner::{
    health::MissingStreams,
    plan::{Action, Observation, Plan},
};

pub(super) mod finalizer;
mod paused;
mod restore;

use crate::controller::{
    apply::{Applied, ApplyContext, ApplyErrors, ApplyScope, apply},
    context::{Context, Memory, ReconcileError},
    decide::{PlanTarget, Planned, decide},
    execute::{ActionContext, ExecuteError, execute},
    observe::{Observed, failed_create, failed_expansions, foreign_scaler, now, observe},
    ownership::Owner,
    poll::{Polled, targets},
    resources::{Children, SystemAccount, build},
    status::{Announcement, AppliedCounts, Reconciled, StatusFacts, Unapplied, ZonesUsed, paused_message},
};

#[derive(Debug, thiserror::Error)]
pub(super) enum PipelineError {
    #[error(transparent)]
    InvalidSpec(#[from] nats_manager_api::InvalidSpec),
    #[error(transparent)]
    Reconcile(#[from] ReconcileError),
}

impl PipelineError {
    /// Returns the outcome that the status reports.
    pub(super) fn outcome(&self, nats: &Nats, id: &NamespacedName) -> Reconciled<'static> {
        let mut cause = self.to_string();
        if nats.has_flag(naming::PAUSE) {
            cause = format!("{cause}. {}", paused_message(id, "nothing is changed in any case"));
        }
        Reconciled::Failed { cause }
    }
}

/// Runs the stages, and adds the finalizer before them. `nats` is replaced by each newer version that is written.
pub(super) async fn run_pipeline(
    nats: &mut Arc<Nats>,
    id: &NamespacedName,
    context: &Context,
    memory: &mut Memory,
) -> Result<PipelineOutput, PipelineError> {
    if !finalizer::is_present(nats) {
        *nats = finalizer::add(nats, context).await?;
    }
    if nats.has_flag(naming::PAUSE) {
        return paused::observe_paused(nats, id, context, memory).await;
    }
    let mut observed = observe(&context.caches, id, nats);
    memory.expansion_failures.complete(&mut observed.actual);
    memory.history.observe_growth(&observed.actual, now());
    if let Some(scaler) = observed.stateful_set.as_deref().and_then(foreign_scaler) {
        memory.record_scaler(&id.name, scaler);
    }
    let cluster = resolve(nats, &observed.cluster_facts, observed.new_spread())?;
    let account = memory.account(&observed);
    let subject = PlanTarget { nats, id, observed: &observed, cluster: &cluster, account: account.as_ref() };
    let planned = decide(context, memory, subject).await?;
    if planned.plan.confirmed_action().is_some() {
        record_start(nats, context, &observed).await?;
    }
    if let Some(Action::JoinCluster { .. }) = planned.plan.confirmed_action() {
        *nats = context.status.record_members(nats, planned.plan.members).await.map_err(ReconcileError::status)?;
    }
    let new_account = account.clone().unwrap_or_else(SystemAccount::generate);
    let children = Box::new(build(&cluster, &planned.plan, &context.images, &new_account));
    let applied =
        apply_children(context, memory, &observed, &cluster, &children, planned.plan.may_build, ApplyScope::All).await;
    memory.notices.extend(applied.notices);
    let failure = if applied.may_act {
        let action = execute_action(context, memory, id, account.as_ref(), &planned.plan, &children.stateful_set);
        Box::pin(action).await?
    } else {
        None
    };
    memory.record_missing_streams(&observed, &planned.polled);
    let reload_notice = check_reloads(context, memory, &observed, &cluster, account.as_ref(), &planned).await;
    let pods_not_created = pods_not_created(context, memory, id, &observed).await;
    Box::pin(list_expansion_failures(context, memory, id, &observed)).await;
    let Planned { plan, polled } = planned;
    let is_consistent = plan.is_consistent;
    let last_plan = memory.record_plan(plan);
    let counts = applied.stateful_set.as_deref().map(AppliedCounts::of).unwrap_or_default();
    let counted_servers = memory.count_servers(counts);
    Ok(PipelineOutput {
        is_paused: false,
        failure,
        unapplied: applied.errors,
        notices: memory.notices.clone(),
        counted_servers,
        missing_streams: memory.missing_streams.clone(),
        policy: cluster.policy_violations,
        size: cluster.size,
        plan: last_plan,
        is_consistent,
        polled,
        applied: counts,
        observed,
        reload_notice,
        pods_not_created,
    })
}

/// Result of the stages, with the values that it was computed from.
pub(super) struct PipelineOutput {
    /// The plan, or the previous one where the watch caches disagree.
    pub(super) plan: Plan,
    /// True if the watch caches agreed when the plan was made.
    pub(super) is_consistent: bool,
    pub(super) polled: Polled,
    pub(super) observed: Observed,
    pub(super) size: u32,
    /// True if nothing was carried out, because the resource is paused.
    is_paused: bool,
    /// The children that could not be applied.
    pub(super) unapplied: Option<ApplyErrors>,
    notices: Vec<Announcement>,
    applied: AppliedCounts,
    counted_servers: u32,
    missing_streams: MissingStreams,
    policy: Vec<Violation>,
    failure: Option<String>,
    reload_notice: Option<String>,
    pods_not_created: Option<String>,
}

impl PipelineOutput {
    /// Returns the zones that the servers run in.
    pub(super) fn zones(&self) -> ZonesUsed {
        let zone = |node: &str| self.observed.node_zones.get(node).map(Option::as_deref);
        ZonesUsed::of(&self.observed.actual, self.applied.desired, zone)
    }

    /// Returns the outcome that the status reports. `unapplied` is the text of the children that could not be applied.
    pub(super) fn outcome<'a>(
        &'a self,
        id: &'a NamespacedName,
        nats: &Nats,
        observation: &'a Observation<'a>,
        unapplied: Option<&'a str>,
    ) -> Reconciled<'a> {
        let facts = Box::new(self.facts(id, nats, observation, unapplied));
        if self.is_paused { Reconciled::Paused(facts) } else { Reconciled::Deployed(facts) }
    }

    /// Returns the input of the status stage. `unapplied` is the text of the children that could not be applied.
    fn facts<'a>(
        &'a self,
        id: &'a NamespacedName,
        nats: &Nats,
        observation: &'a Observation<'a>,
        unapplied: Option<&'a str>,
    ) -> StatusFacts<'a> {
        let has_stateful_set = self.unapplied.as_ref().is_some_and(ApplyErrors::has_stateful_set);
        StatusFacts {
            id,
            domain: &self.observed.cluster_facts.domain,
            size: self.size,
            applied: self.applied,
            counted_servers: self.counted_servers,
            zones: self.zones(),
            actual: &self.observed.actual,
            observation,
            plan: &self.plan,
            missing_streams: &self.missing_streams,
            policy: &self.policy,
            pods_not_created: self.pods_not_created.as_deref(),
            action_failure: self.failure.as_deref(),
            reload_notice: self.reload_notice.as_deref(),
            unapplied: unapplied.map(|cause| Unapplied { has_stateful_set, cause }),
            notices: &self.notices,
            is_rollout_forced: nats.has_flag(naming::FORCE_ROLLOUT),
        }
    }
}

/// Records that a server has started, before an action on servers and when the reconcile fails. Otherwise the final
/// status of the reconcile contains the record.
pub(super) async fn record_start(
    nats: &mut Arc<Nats>,
    context: &Context,
    observed: &Observed,
) -> Result<(), ReconcileError> {
    let started = observed.actual.servers_started;
    *nats = context.status.record_start(nats, started).await.map_err(ReconcileError::status)?;
    Ok(())
}

/// Runs the stages for a resource whose deletion is blocked, so that its cluster stays available.
pub(super) async fn keep_cluster(
    nats: &Arc<Nats>,
    id: &NamespacedName,
    context: &Context,
    memory: &mut Memory,
) -> Result<(), String> {
    match run_pipeline(&mut nats.clone(), id, context, memory).await {
        Ok(output) => output.unapplied.map_or(Ok(()), |errors| Err(errors.to_string())),
        Err(PipelineError::InvalidSpec(_)) => restore::restore_missing(nats, id, context, memory).await,
        Err(PipelineError::Reconcile(error)) => Err(error.to_string()),
    }
}

async fn apply_children(
    context: &Context,
    memory: &mut Memory,
    observed: &Observed,
    cluster: &ResolvedCluster,
    children: &Children,
    may_build: bool,
    scope: ApplyScope,
) -> Applied {
    let owner = Owner { id: &cluster.id, uid: &cluster.uid };
    let (client, caches, live) = (&context.client, context.caches.as_ref(), &observed.live);
    let apply_context = ApplyContext { client, caches, live, owner, may_build, scope };
    Box::pin(apply(&apply_context, children, &mut memory.writes)).await
}

/// Carries out the plan's action. Returns the message of a failed action, which is planned again.
async fn execute_action(
    context: &Context,
    memory: &mut Memory,
    id: &NamespacedName,
    account: Option<&SystemAccount>,
    plan: &Plan,
    stateful_set: &StatefulSet,
) -> Result<Option<String>, ReconcileError> {
    let Some(action) = plan.confirmed_action() else { return Ok(None) };
    let address = context.jetstream_address(id)?;
    let credentials = account.and_then(SystemAccount::credentials);
    let action_context = ActionContext {
        client: &context.client,
        id,
        address: &address,
        credentials: credentials.as_ref(),
        stateful_set,
        cache: &context.caches.stateful_set,
    };
    let failure = execute(&action_context, action).await.err();
    if let (Action::RecreateStatefulSet { uid }, None, Some(set)) =
        (action, &failure, context.caches.stateful_set.get())
        && set.uid().as_ref() != Some(uid)
    {
        memory.notices.extend(memory.writes.recreated(&set, stateful_set));
    }
    if let Action::ExpandPvcs { pvcs, .. } = action {
        let rejected = failure.iter().flat_map(ExecuteError::rejected_expansions);
        memory.expansion_failures.requested(pvcs.iter().map(|pvc| pvc.uid.as_str()), rejected);
    }
    if let Some(error) = &failure {
        tracing::warn!(%error, ?action, "failed to carry out the action");
    }
    memory.history.record(now(), action);
    Ok(failure.map(|error| error.to_string()))
}

/// Checks that the servers have loaded their configuration, while nothing is in progress. Returns a notice for users if
/// a server is late.
async fn check_reloads(
    context: &Context,
    memory: &mut Memory,
    observed: &Observed,
    cluster: &ResolvedCluster,
    account: Option<&SystemAccount>,
    planned: &Planned,
) -> Option<String> {
    let plan = &planned.plan;
    let is_at_rest =
        plan.operation.is_none() && plan.is_consistent && memory.polls.is_healthy() && context.polls.is_enabled();
    let credentials = account.filter(|_| is_at_rest).and_then(SystemAccount::sole_user)?;
    let late = memory.reloads.check(cluster, plan, &credentials, &targets(observed), Instant::now()).await;
    memory.set_late_reloads(&late.to_reload, &planned.polled);
    late.notice
}

/// Lists the events about volumes that do not grow, for the next plan.
async fn list_expansion_failures(context: &Context, memory: &mut Memory, id: &NamespacedName, observed: &Observed) {
    let Some(since) = memory.expansion_failures.due(&observed.actual, Timestamp::now()) else { return };
    match failed_expansions(&context.client, id, since).await {
        Ok(causes) => memory.expansion_failures.report(causes),
        Err(error) => tracing::warn!(%error, "failed to list events of PVCs"),
    }
}

/// Returns the apiserver's message about Pods whose creation it rejects.
async fn pods_not_created(
    context: &Context,
    memory: &mut Memory,
    id: &NamespacedName,
    observed: &Observed,
) -> Option<String> {
    let set = observed.actual.stateful_set.as_ref();
    let is_missing = match set {
        // The counts belong to an older spec.
        Some(set) if !set.is_observed => return memory.missing.cause.clone(),
        set => set.is_some_and(|set| set.counts.present < set.replicas),
    };
    let now = Timestamp::now();
    if let Some(since) = memory.missing.record(is_missing, now) {
        match failed_create(&context.client, id, since).await {
            Ok(cause) => memory.missing.cause = cause,
            Err(error) => tracing::warn!(%error, "failed to list events of the StatefulSet"),
        }
    }
    memory.missing.cause.clone()
}
