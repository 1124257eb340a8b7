//! Runs reconciles: when something changes, after a pause when one failed, and now and then.

use std::{
    any::Any,
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
        context::{Backoff, Context, Memory, ReconcileDone, ReconcileError, predecessor::PredecessorLog},
        poll::Polls,
        status::StatusWriter,
    },
    settings::Images,
    telemetry::{Metrics, ReconcileOutcome},
    watch::{Caches, GuardedNats, Scope, Trigger},
};

/// What the controller is made of.
pub struct Controller {
    /// For writes, and for the few reads that the watches do not serve.
    pub client: Client,
    /// The caches.
    pub caches: Arc<Caches>,
    /// Where things are.
    pub scope: Scope,
    /// The images of the servers' containers.
    pub images: Images,
    /// Where reconciles are counted.
    pub metrics: Metrics,
    /// The name of this replica, for events.
    pub instance: Option<String>,
    /// Asked about streams instead of the resource's own Service, if given.
    pub nats_url: Option<ServerAddr>,
}

/// Reconciles that run at a time; one object is never reconciled twice at a time.
const CONCURRENCY: u16 = 4;
/// Changes come in bursts: one reconcile for all of a burst.
const DEBOUNCE: Duration = Duration::from_millis(50);

/// Reconciles until `stop`, and then until the reconciles under way are through. Waits for the
/// caches first. May be dropped at any time: the next leader goes on from what is there.
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
            metrics,
            status,
            backoff: Backoff::default(),
            predecessors: PredecessorLog::default(),
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
    applier(one, error_policy, runner.clone(), store, queue, config)
        .for_each(|result| async {
            match result {
                Ok(_) => {}
                Err(controller::Error::ObjectNotFound(gone)) => {
                    runner.context.forget(gone.extra.uid.as_deref().unwrap_or_default());
                }
                Err(controller::Error::ReconcilerFailed(error, object)) => {
                    tracing::debug!(%error, %object, "reconcile failed");
                }
                Err(error) => tracing::warn!(%error, "reconcile queue"),
            }
        })
        .await;
}

struct Runner {
    context: Context,
    last_id: AtomicU64,
}

/// The resources to look at: all of them at first, then whom each change concerns.
fn queue(
    wakes: broadcast::Receiver<Trigger>,
    store: Store<GuardedNats>,
) -> impl Stream<Item = Result<ReconcileRequest<GuardedNats>, Infallible>> {
    let changes = stream::unfold(wakes, |mut wakes| async move {
        let wake = match wakes.recv().await {
            Ok(wake) => wake,
            // Whoever misses one looks at everything.
            Err(broadcast::error::RecvError::Lagged(_)) => Trigger::All,
            Err(broadcast::error::RecvError::Closed) => return None,
        };
        Some((wake, wakes))
    });
    stream::once(async { Trigger::All }).chain(changes).flat_map(move |wake| {
        let (references, reason) = match wake {
            Trigger::One(reference) => (vec![reference], ReconcileReason::ObjectUpdated),
            Trigger::All => {
                let all = store.state().iter().map(|nats| ObjectRef::from_obj(nats.as_ref())).collect();
                (all, ReconcileReason::BulkReconcile)
            }
        };
        stream::iter(references).map(move |obj_ref| Ok(ReconcileRequest { obj_ref, reason: reason.clone() }))
    })
}

/// One reconcile of one resource, measured and traced.
fn one(
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
        let result = Box::pin(caught(reconcile(&nats, context))).await;
        timer.finish(result.as_ref().map_or(ReconcileOutcome::Error, |done| done.outcome));
        if result.is_ok() {
            context.backoff.reset(&key(&nats));
        }
        result.map(|done| done.again)
    }
    .instrument(span)
    .boxed()
}

#[expect(clippy::needless_pass_by_value, reason = "the signature is kube's")]
fn error_policy(nats: Arc<GuardedNats>, error: &ReconcileError, runner: Arc<Runner>) -> Action {
    let pause = runner.context.backoff.next(&key(&nats));
    let pause_seconds = pause.as_secs_f32();
    if runner.context.is_passing(error, &key(&nats)) {
        tracing::debug!(%error, pause_seconds, "trying again");
    } else {
        tracing::warn!(%error, pause_seconds, "reconcile failed, trying again after a pause");
    }
    Action::requeue(pause)
}

fn key(nats: &GuardedNats) -> String {
    nats.meta().uid.clone().unwrap_or_default()
}

/// One resource that hits a mistake in the code does not take the others down.
async fn caught(
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
    use super::*;

    #[tokio::test]
    async fn a_panic_is_a_failure_of_one_reconcile() {
        let error = caught(async { panic!("on purpose: {}", 1) }).await.err().unwrap();
        assert_eq!(error.to_string(), "a mistake in NATS Manager itself: on purpose: 1");
    }
}
