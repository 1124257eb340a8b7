//! One watch, which never ends, backs off while it fails, and logs the reason once.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use futures::{Stream, StreamExt, stream::BoxStream};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{FieldsV1, ManagedFieldsEntry, ObjectMeta};
use kube::{
    Api, Resource,
    runtime::{
        WatchStreamExt,
        utils::Backoff,
        watcher::{self, Config, Event, ExponentialBackoff},
    },
};
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::sync::{broadcast, watch};

use super::{CachedObject, Trigger};
use crate::{
    error_message::with_causes,
    telemetry::{Check, Metrics},
};

/// Longest delay between two attempts.
const MAX_DELAY: Duration = Duration::from_secs(10);
const MIN_DELAY: Duration = Duration::from_millis(200);
/// Objects of others in one page of a list.
const OTHERS_PER_PAGE: u32 = 50;
/// Time without a failure after which the backoff starts again.
const RESET_AFTER: Duration = Duration::from_mins(1);

/// State that all watches of a group share, and the name of one.
#[derive(Clone, Debug)]
pub(crate) struct WatchTask {
    /// Plural of the watched resource, for metrics and messages.
    pub(crate) resource: &'static str,
    /// Name of the cache, unique in the process.
    pub(crate) cache: &'static str,
    /// Readiness check that passes with the first list.
    pub(crate) check: Check,
    pub(crate) metrics: Metrics,
    pub(crate) wake: broadcast::Sender<Trigger>,
    /// Caches that still wait for their first list.
    pub(crate) unfilled: watch::Sender<BTreeSet<&'static str>>,
}

/// Returns the events of a watch with backoff. Of `managedFields`, only the owners of replicas are kept.
pub(crate) fn events<K>(
    api: Api<K>,
    config: Config,
) -> impl Stream<Item = watcher::Result<Event<K>>> + Send + Unpin + 'static
where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    without_managed_fields(watcher::watcher(api, config))
}

/// Adds backoff to a stream of any kind of watch, and reduces `managedFields`, as [`events`] does.
pub(crate) fn without_managed_fields<K: Resource + 'static>(
    stream: impl Stream<Item = watcher::Result<Event<K>>> + Send + 'static,
) -> impl Stream<Item = watcher::Result<Event<K>>> + Send + Unpin + 'static {
    with_backoff(stream).modify(|object| keep_owners_of_replicas(object.meta_mut()))
}

/// Removes `managedFields` but for the entries that own `spec.replicas`. They are most of the size of an object.
fn keep_owners_of_replicas(meta: &mut ObjectMeta) {
    let mut entries = meta.managed_fields.take().unwrap_or_default();
    entries.retain(owns_replicas);
    for entry in &mut entries {
        entry.fields_v1 = Some(FieldsV1(json!({"f:spec": {"f:replicas": {}}})));
    }
    meta.managed_fields = (!entries.is_empty()).then_some(entries);
}

/// Returns whether an entry of `managedFields` owns `spec.replicas`.
pub(crate) fn owns_replicas(entry: &ManagedFieldsEntry) -> bool {
    entry.fields_v1.as_ref().is_some_and(|fields| fields.0.pointer("/f:spec/f:replicas").is_some())
}

/// Adds backoff to a stream of any kind of watch. Boxed, since a future that contains the 3 KB of a stream has room for
/// several copies of it.
pub(super) fn with_backoff<K: Resource + 'static>(
    stream: impl Stream<Item = watcher::Result<Event<K>>> + Send + 'static,
) -> BoxStream<'static, watcher::Result<Event<K>>> {
    stream.backoff(WatchBackoff::new()).boxed()
}

/// Returns the trigger of a change to a cache that all resources read. A list is one change, at its end.
pub(super) fn trigger_of_change<K>(event: &Event<K>) -> Option<Trigger> {
    matches!(event, Event::Apply(_) | Event::Delete(_) | Event::InitDone).then_some(Trigger::All)
}

/// Exponential backoff between failures, with jitter.
struct WatchBackoff {
    delays: ExponentialBackoff,
    last_failure: Option<Instant>,
}

impl WatchBackoff {
    fn new() -> Self {
        let delays = backon::ExponentialBuilder::default()
            .with_min_delay(MIN_DELAY)
            .with_max_delay(MAX_DELAY)
            .without_max_times()
            .with_jitter();
        Self { delays: delays.into(), last_failure: None }
    }
}

impl Iterator for WatchBackoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        if self.last_failure.replace(Instant::now()).is_some_and(|last| last.elapsed() > RESET_AFTER) {
            self.delays.reset();
        }
        self.delays.next()
    }
}

impl Backoff for WatchBackoff {
    /// Does nothing, because the first event of each attempt only marks the beginning of a list.
    fn reset(&mut self) {}
}

/// Selects all objects, most of which are dropped when they arrive. Small pages bound the memory of a list: the memory of
/// a page is not returned to the system.
pub(super) fn mostly_others() -> Config {
    Config::default().page_size(OTHERS_PER_PAGE)
}

/// Selects the object of this name.
pub(crate) fn by_name(name: &str) -> Config {
    Config::default().fields(&format!("metadata.name={name}"))
}

impl WatchTask {
    /// Follows a watch forever. `take` applies an event, and returns the resources that it concerns.
    pub(crate) async fn run<K>(
        self,
        mut events: impl Stream<Item = watcher::Result<Event<K>>> + Unpin,
        mut take: impl FnMut(Event<K>) -> Option<Trigger>,
    ) {
        let mut last_error = None;
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    if !matches!(event, Event::Init) && last_error.take().is_some() {
                        tracing::info!(resource = self.resource, "watching again");
                    }
                    let listed = matches!(event, Event::InitDone);
                    if let Some(wake) = take(event) {
                        // There is no receiver while another replica leads.
                        let _ = self.wake.send(wake);
                    }
                    if listed {
                        self.filled();
                    }
                }
                Err(error) => self.failed(&error, &mut last_error),
            }
        }
    }

    /// Follows the watch of one object into its cache.
    pub(crate) async fn watch_named<K: Resource>(
        self,
        events: impl Stream<Item = watcher::Result<Event<K>>> + Unpin,
        named: &CachedObject<K>,
    ) {
        let mut listed = false;
        self.run(events, |event| {
            match event {
                Event::Apply(object) => named.observed(object),
                Event::Init => {
                    listed = false;
                    return None;
                }
                Event::InitApply(object) => {
                    listed = true;
                    named.observed(object);
                }
                Event::InitDone if listed => return None,
                Event::Delete(object) => named.deleted(&object),
                Event::InitDone => named.gone(),
            }
            Some(Trigger::All)
        })
        .await;
    }

    fn filled(&self) {
        self.check.pass();
        self.unfilled.send_if_modified(|unfilled| unfilled.remove(self.cache));
    }

    /// Records a failure. A check that passed before stays passed, because the cache is still usable.
    fn failed(&self, error: &watcher::Error, last_error: &mut Option<String>) {
        self.metrics.watch_restarted(self.resource);
        let reason = failure_reason(self.resource, error);
        self.check.still_waiting(reason.clone());
        if last_error.as_ref() == Some(&reason) {
            tracing::debug!(resource = self.resource, reason, "still cannot watch");
        } else {
            tracing::warn!(resource = self.resource, reason, "cannot watch, trying again");
            *last_error = Some(reason);
        }
    }
}

/// Returns the reason of a failure, with the permission or the CRD that is missing.
fn failure_reason(resource: &str, error: &watcher::Error) -> String {
    let (watcher::Error::InitialListFailed(kube::Error::Api(status))
    | watcher::Error::WatchStartFailed(kube::Error::Api(status))
    | watcher::Error::WatchError(status)
    | watcher::Error::WatchFailed(kube::Error::Api(status))) = error
    else {
        return format!("{resource}: {}", with_causes(error));
    };
    match status.code {
        403 => format!("missing permission to list and watch {resource}: {}", status.message),
        404 if resource == "nats" => {
            format!("waiting for the CustomResourceDefinition {}", nats_manager_api::crd::NAME)
        }
        _ => format!("{resource}: {}", status.message),
    }
}
