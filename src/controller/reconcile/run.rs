//! The reconcile loop: runs a reconcile after each change, after the backoff of a failure, and at an interval.

use std::{
    any::Any,
    collections::HashSet,
    convert::Infallible,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_nats::ServerAddr;
use futures::{FutureExt, Stream, StreamExt, stream};
use kube::{
    Client, Resource, ResourceExt,
    runtime::{
        controller::{self, Action, Config, ReconcileReason, ReconcileRequest, applier},
        reflector::{ObjectRef, Store},
    },
};
use tokio::sync::{Mutex, broadcast};
use tracing::Instrument;

use super::reconcile;
use crate::{
    controller::{
        context::{Backoff, Context, Memory, ReconcileDone, ReconcileError, predecessor::Predecessors},
        poll::Polls,
        status::StatusWriter,
    },
    settings::Images,
    telemetry::{Metrics, ReconcileOutcome},
    watch::{Caches, GuardedNats, Scope, Trigger},
};

/// Clients and settings of the controller.
#[derive(Clone)]
pub struct Controller {
    /// Client for writes, and for the few reads that the watch caches do not serve.
    pub client: Client,
    pub caches: Arc<Caches>,
    /// Names and namespaces of the watched objects.
    pub scope: Scope,
    /// Images of the servers' containers.
    pub images: Images,
    pub metrics: Metrics,
    /// Name of this replica of NATS Manager, for events.
    pub instance: Option<String>,
    /// Replacement for the address of the resource's own Service (`--nats-url`).
    pub nats_url: Option<ServerAddr>,
}

/// Number of concurrent reconciles. A single object never has two at the same time.
const CONCURRENCY: u16 = 4;
/// Time for which changes are collected, so that a burst causes one reconcile.
const DEBOUNCE: Duration = Duration::from_millis(50);

/// Reconciles until `stop`, and then finishes the reconciles in progress. Waits for the caches first. May be dropped at
/// any time: the next leader continues from the actual state.
pub async fn run(controller: Controller, stop: impl Future<Output = ()> + Send + 'static) {
    let Controller { client, caches, scope, images, metrics, instance, nats_url } = controller;
    let stop = stop.boxed().shared();
    tokio::select! {
        () = caches.filled() => {}
        () = stop.clone() => return,
    }
    let status = StatusWriter::new(client.clone(), caches.clone(), instance);
    let runner = Arc::new(Runner {
        context: Context {
            client,
            caches: caches.clone(),
            scope,
            images,
            predecessors: Predecessors::new(metrics.clone()),
            metrics,
            status,
            backoff: Backoff::default(),
            // From outside the cluster Pods cannot be reached.
            polls: Polls::new(nats_url.is_none()),
            memory: Mutex::new(Memory::default()),
            nats_url,
        },
        last_id: AtomicU64::new(0),
    });
    let config = Config::default().concurrency(CONCURRENCY).debounce(DEBOUNCE);
    let store = caches.nats.clone();
    let queue = queue(caches.subscribe(), store.clone()).take_until(stop);
    applier(reconcile_one, error_policy, runner.clone(), store, queue, config)
        .for_each(|result| async {
            match result {
                Ok(_) => {}
                Err(controller::Error::ObjectNotFound(gone)) => {
                    runner.context.remove(gone.extra.uid.as_deref().unwrap_or_default());
                }
                Err(controller::Error::ReconcilerFailed(error, object)) => {
                    tracing::debug!(%error, %object, "reconcile failed");
                }
                Err(error) => tracing::warn!(%error, "failed to process the reconcile queue"),
            }
        })
        .await;
}

struct Runner {
    context: Context,
    last_id: AtomicU64,
}

/// Returns the resources to reconcile: first all of them, then those that each trigger names, with those that have left
/// the store since the trigger before. A missed trigger names all.
fn queue(
    triggers: broadcast::Receiver<Trigger>,
    store: Store<GuardedNats>,
) -> impl Stream<Item = Result<ReconcileRequest<GuardedNats>, Infallible>> {
    let changes = stream::unfold(triggers, |mut triggers| async move {
        let trigger = match triggers.recv().await {
            Ok(trigger) => trigger,
            // A missed trigger may concern any resource.
            Err(broadcast::error::RecvError::Lagged(_)) => Trigger::All,
            Err(broadcast::error::RecvError::Closed) => return None,
        };
        Some((trigger, triggers))
    });
    let mut known = HashSet::new();
    stream::once(async { Trigger::All }).chain(changes).flat_map(move |trigger| {
        let stored = store.state().iter().map(|nats| ObjectRef::from_obj(nats.as_ref())).collect();
        let before = std::mem::replace(&mut known, stored);
        let (named, reason) = match trigger {
            Trigger::One(reference) => (HashSet::from([reference]), ReconcileReason::ObjectUpdated),
            Trigger::All => (known.clone(), ReconcileReason::BulkReconcile),
        };
        let references: HashSet<_> = named.into_iter().chain(before.difference(&known).cloned()).collect();
        stream::iter(references).map(move |obj_ref| Ok(ReconcileRequest { obj_ref, reason: reason.clone() }))
    })
}

/// Reconciles one resource, with metrics and a tracing span.
fn reconcile_one(
    nats: Arc<GuardedNats>,
    runner: Arc<Runner>,
) -> futures::future::BoxFuture<'static, Result<Action, ReconcileError>> {
    let span = tracing::info_span!(
        "reconcile",
        nats = %format_args!("{}/{}", nats.namespace().unwrap_or_default(), nats.name_any()),
        reconcile_id = runner.last_id.fetch_add(1, Ordering::Relaxed) + 1,
    );
    async move {
        let context = &runner.context;
        let timer = context.metrics.reconcile_started();
        // Boxed: `catch_panic` has room for two copies of its future.
        let result = catch_panic(Box::pin(reconcile(&nats, context))).await;
        timer.finish(result.as_ref().map_or(ReconcileOutcome::Error, |done| done.outcome));
        if result.is_ok() {
            context.backoff.reset(&key(&nats));
        }
        result.map(|done| done.requeue)
    }
    .instrument(span)
    .boxed()
}

#[expect(clippy::needless_pass_by_value, reason = "the signature is kube's")]
fn error_policy(nats: Arc<GuardedNats>, error: &ReconcileError, runner: Arc<Runner>) -> Action {
    let delay = runner.context.backoff.next(&key(&nats));
    let delay_seconds = delay.as_secs_f32();
    if runner.context.is_transient(error, &key(&nats)) {
        tracing::debug!(%error, delay_seconds, "retrying after a conflict");
    } else {
        tracing::warn!(%error, delay_seconds, "reconcile failed, retrying after the backoff");
    }
    Action::requeue(delay)
}

fn key(nats: &GuardedNats) -> String {
    nats.meta().uid.clone().unwrap_or_default()
}

/// Converts a panic to an error, so that a bug that one resource triggers does not stop the others.
async fn catch_panic(
    work: impl Future<Output = Result<ReconcileDone, ReconcileError>>,
) -> Result<ReconcileDone, ReconcileError> {
    let panicked = |panic: Box<dyn Any + Send>| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        Err(ReconcileError::Panicked(text.unwrap_or_else(|| "without a message".to_owned())))
    };
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(panicked)
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use kube::{
        core::DeserializeGuard,
        runtime::{reflector, watcher::Event},
    };
    use nats_manager_api::{Nats, NatsSpec};

    use super::*;

    #[tokio::test]
    async fn missed_trigger_reconciles_all_resources_and_those_that_are_gone() {
        let nats = |name| {
            let mut nats = Nats::new(name, NatsSpec::default());
            nats.metadata.uid = Some(format!("uid of {name}"));
            DeserializeGuard(Ok(nats))
        };
        let (store, mut writer) = reflector::store();
        let triggers = broadcast::Sender::new(1);
        for name in ["kept", "gone"] {
            writer.apply_watcher_event(&Event::Apply(nats(name)));
        }
        let mut queue = pin!(queue(triggers.subscribe(), store));
        for (is_missed, expected) in [(false, ["gone", "kept"]), (true, ["gone", "kept"])] {
            if is_missed {
                writer.apply_watcher_event(&Event::Delete(nats("gone")));
                for name in ["gone", "kept"] {
                    triggers.send(Trigger::One(ObjectRef::from_obj(&nats(name)))).unwrap();
                }
            }
            let mut uids = Vec::new();
            for _ in expected {
                uids.push(queue.next().await.unwrap().unwrap().obj_ref.extra.uid.unwrap());
            }
            uids.sort();
            assert_eq!(uids, expected.map(|name| format!("uid of {name}")), "missed: {is_missed}");
        }
    }

    #[tokio::test]
    async fn panic_fails_only_its_own_reconcile() {
        let error = catch_panic(async { panic!("on purpose: {}", 1) }).await.err().unwrap();
        assert_eq!(error.to_string(), "internal error in NATS Manager: on purpose: 1");
    }
}
