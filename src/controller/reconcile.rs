//! The driver: takes one resource through the stages.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_nats::ServerAddr;
use kube::{Resource, ResourceExt, core::error_boundary::InvalidObject};
use nats_manager_api::{ConditionType, NamespacedName, Nats, SettledCluster, rules, settle};

use super::{
    apply::apply,
    build::{SystemAccount, build},
    context::{Context, Done, ReconcileError, ask_again},
    delete, finalizer,
    guard::{self, Verdict},
    observe::{Observed, observe},
    ownership::Owner,
    recover, rivals, rollout, scaling,
    sight::{Sight, lasting_wait},
    status::{Deployment, Health, Outcome, Rollout},
    watch::GuardedNats,
};
use crate::{jetstream, telemetry};

/// Nothing to do takes no request, so this is only against what no watch shows.
const RESYNC: Duration = Duration::from_mins(10);
/// How often JetStream is looked at while all is well, and while something goes on.
const LOOK_AT_REST: Duration = Duration::from_secs(15);
const LOOK_SOON: Duration = Duration::from_secs(2);

/// Reconciles a resource, unless another manager still writes.
pub(super) async fn reconcile(nats: &GuardedNats, context: &Context) -> Result<Done, ReconcileError> {
    let rival = rivals::running(context.watches.rivals.state().iter().map(AsRef::as_ref));
    context.rivals.note(rival.as_deref());
    if rival.is_some() {
        return Ok(Done { outcome: telemetry::Outcome::Held, ..Done::settled() });
    }
    match &nats.0 {
        Ok(nats) => reconcile_readable(nats, context).await,
        Err(invalid) => reconcile_unreadable(invalid, context).await,
    }
}

async fn reconcile_readable(nats: &Nats, context: &Context) -> Result<Done, ReconcileError> {
    let nats = context.report.freshest(nats);
    let id = NamespacedName::new(nats.namespace().unwrap_or_default(), nats.name_any());
    let is_deleted = nats.meta().deletion_timestamp.is_some();
    match (id == context.places.allowed, is_deleted) {
        (true, false) => {
            let done = deploy(nats.clone(), &id, context).await;
            show_state(&context.report.freshest(&nats), context);
            done
        }
        (true, true) if finalizer::is_on(&nats) => tear_down(nats, &id, context).await,
        (true, true) => Ok(Done::settled()),
        (false, false) => forbid(&nats, context).await,
        // Nothing was made for it, so nothing is to be kept; the finalizer is another manager's.
        (false, true) => finalizer::take_off(&nats, context).await.map(|()| Done::settled()),
    }
}

fn show_state(nats: &Nats, context: &Context) {
    context.metrics.set_state(nats.status.as_ref().map(|status| status.state.as_str()));
}

/// Says that a resource cannot be read; others go on.
async fn reconcile_unreadable(invalid: &InvalidObject, context: &Context) -> Result<Done, ReconcileError> {
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
                    context.tell_of(&error, &nats, &outcome).await;
                    Err(error)
                }
            };
        }
    };
    context.metrics.set_nats_nodes(deployment.size as usize);
    context.metrics.set_availability_zones_used(deployment.zones.count);
    let pause = pause(context, &deployment);
    let is_held = deployment.held.is_some();
    let nats =
        context.report.tell(&nats, &Outcome::Deployed(Box::new(deployment))).await.map_err(ReconcileError::status)?;
    Ok(if is_held {
        Done::after(ask_again(&nats, ConditionType::Progressing), telemetry::Outcome::Held)
    } else {
        Done::after(pause, telemetry::Outcome::Success)
    })
}

/// When to look again: JetStream does not tell by itself how it is.
fn pause(context: &Context, deployment: &Deployment) -> Duration {
    if !context.looker.is_on() {
        RESYNC
    } else if deployment.underway || deployment.jetstream.health == Health::Lacking {
        LOOK_SOON
    } else {
        LOOK_AT_REST
    }
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
        let stateful_set = matches!(self, Self::Reconcile(ReconcileError::Apply(error)) if error.is_stateful_set());
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
    let sight = Sight::take(&context.looker, nats, id, observed).await;
    if let Some(look) = sight.look() {
        context.metrics.set_jetstream(look, sight.is_whole());
    }
    let account = observed.live.secret.as_deref().and_then(SystemAccount::from_secret);
    let credentials = account.as_ref().and_then(SystemAccount::credentials);
    let address = context.jetstream_address(id)?;
    let tools = scaling::Tools {
        client: &context.client,
        address: &address,
        system: credentials.as_ref(),
        look: sight.for_scaling(),
        shown: &sight.shown(account.as_ref()),
        targets: &sight.targets,
    };
    let scaling = scaling::decide(&tools, nats, id, observed, cluster.size).await.map_err(ReconcileError::Observe)?;
    (cluster.size, cluster.resizing) = (scaling.size, scaling.resizing);
    let mut children = build(&cluster, &context.images, &account.clone().unwrap_or_else(SystemAccount::generate));
    let live = observed.live.stateful_set.as_deref();
    let gate = rollout::decide(live, &children.stateful_set, &observed.pods, &sight.for_rollout(nats));
    gate.put_on(&mut children.stateful_set);
    let owner = Owner { id, uid: &cluster.uid };
    let applied = Box::pin(apply(&context.client, &context.watches, &observed.live, &owner, children)).await;
    let applied = applied.map_err(ReconcileError::from)?;
    if let Err(error) = rollout::replace(&context.client, &id.namespace, &observed.pods, &gate).await {
        tracing::warn!(%error, "cannot replace a broken pod");
    }
    let was_ready = nats.status.as_ref().is_some_and(|status| !status.url.is_empty());
    let underway = gate.underway || scaling.waiting.is_some();
    let late = mend(context, &sight, &cluster, underway, (&address, account.as_ref())).await;
    if !underway {
        restart(context, &sight, id, observed).await;
    }
    let waiting = scaling.waiting.or(gate.waiting).or_else(|| observed.broken_server());
    let waiting = lasting_wait(&context.looker, waiting);
    let deployed = observed.surroundings.deployed.as_ref().map(|deployed| deployed.size);
    let rollout = Rollout::of(&applied.stateful_set);
    Ok(Deployment {
        members: context.members.count(deployed, rollout),
        starts_anew: deployed.is_some_and(|deployed| scaling::needs_empty_store(deployed, cluster.size)),
        servers_started: record_start(observed, recorded),
        held: scaling.held,
        waiting: waiting.or(late),
        underway: underway || scaling.until.is_some(),
        policy: rules::check(&nats.spec, &observed.surroundings).policy().cloned().collect(),
        jetstream: sight.view(&context.looker, id, observed, (was_ready, underway)),
        ..Deployment::of(rollout, observed, id, cluster.size)
    })
}

/// Has servers reload that JetStream was switched off on, or that are late with their configuration;
/// what is to be told of the late ones.
async fn mend(
    context: &Context,
    sight: &Sight,
    cluster: &SettledCluster,
    underway: bool,
    (address, account): (&ServerAddr, Option<&SystemAccount>),
) -> Option<String> {
    let (look, now) = (sight.look()?, Instant::now());
    let mut servers = context.recovery.due(look, now);
    let mut notice = None;
    let is_calm = !underway && sight.is_whole();
    if let Some(user) = account.filter(|_| is_calm).and_then(SystemAccount::sole_user) {
        let late = context.reloads.check(cluster, &user, &sight.targets, now).await;
        servers.extend(late.nudge);
        notice = late.notice;
    }
    if servers.is_empty() {
        return notice;
    }
    let credentials = account.and_then(SystemAccount::credentials);
    if let Err(error) = recover::reload(address, credentials.as_ref(), look, &servers).await {
        tracing::warn!(%error, ?servers, "cannot have servers reload");
    }
    notice
}

/// Restarts one server that has given up writing to a stream.
async fn restart(context: &Context, sight: &Sight, id: &NamespacedName, observed: &Observed) {
    let now = Instant::now();
    for server in context.restarts.suspects(&sight.lacks, &sight.expected, now) {
        let target = sight.targets.iter().find(|target| target.name == server);
        let pod = observed.pods.iter().find(|pod| pod.name == server);
        let (Some(target), Some(pod)) = (target, pod) else { continue };
        if jetstream::has_write_error(target).await {
            tracing::warn!(server, "restarting the server: it has given up writing to a stream");
            context.restarts.note(&server, now);
            if let Err(error) = rollout::delete(&context.client, &id.namespace, pod).await {
                tracing::warn!(%error, server, "cannot restart the server");
            }
            return;
        }
    }
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
            context.metrics.forget_jetstream();
            context.metrics.set_availability_zones_used(0);
            context.metrics.set_state(None);
            return Ok(Done::settled());
        }
        Ok(Verdict::Blocked(reason)) => Outcome::DeletionBlocked { reason },
        Err(error) => {
            let outcome = Outcome::DeletionFailed { cause: error.to_string() };
            context.tell_of(&error, &nats, &outcome).await;
            return Err(error);
        }
    };
    let nats = context.report.tell(&nats, &outcome).await.map_err(ReconcileError::status)?;
    show_state(&nats, context);
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
    let verdict = guard::decide(context, nats, id, &observed).await?;
    if verdict == Verdict::Delete {
        let outcome = Outcome::Deleting;
        *nats = context.report.tell(nats, &outcome).await.map_err(ReconcileError::status)?;
        let uid = nats.uid().unwrap_or_default();
        let owner = Owner { id, uid: &uid };
        delete::delete_data(client, &owner).await?;
        delete::delete_children(client, &owner, &observed.live).await?;
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
