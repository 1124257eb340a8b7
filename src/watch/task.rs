//! One watch: it never ends, backs off while it fails, and says once why.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use futures::{Stream, StreamExt, pin_mut};
use kube::{
    Api, Resource,
    runtime::{
        WatchStreamExt,
        utils::Backoff,
        watcher::{self, Config, Event, ExponentialBackoff},
    },
};
use serde::de::DeserializeOwned;
use tokio::sync::{broadcast, watch};

use super::{CachedObject, Trigger};
use crate::{
    error_message::with_causes,
    telemetry::{Check, Metrics},
};

/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
const SHORTEST_PAUSE: Duration = Duration::from_millis(200);
/// After so long without a failure the next one is a new one.
const CALM: Duration = Duration::from_mins(1);

/// What all watches share, and what one is called.
#[derive(Clone, Debug)]
pub(crate) struct WatchTask {
    /// The plural of what is watched.
    pub(crate) resource: &'static str,
    /// The name of the cache, which no other has.
    pub(crate) cache: &'static str,
    /// What it takes to be ready: passed when the first list is in.
    pub(crate) check: Check,
    pub(crate) metrics: Metrics,
    pub(crate) wake: broadcast::Sender<Trigger>,
    /// The caches that still wait for their first list.
    pub(crate) unfilled: watch::Sender<BTreeSet<&'static str>>,
}

/// The events of a watch, without the fields that nobody here reads.
pub(crate) fn events<K>(api: Api<K>, config: Config) -> impl Stream<Item = watcher::Result<Event<K>>> + Send
where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    without_managed_fields(watcher::watcher(api, config))
}

/// As [`events`], for a stream of any kind of watch.
pub(crate) fn without_managed_fields<K: Resource>(
    stream: impl Stream<Item = watcher::Result<Event<K>>> + Send,
) -> impl Stream<Item = watcher::Result<Event<K>>> + Send {
    stream.backoff(WatchBackoff::new()).modify(|object| object.meta_mut().managed_fields = None)
}

/// Ever longer pauses between failures, with jitter.
struct WatchBackoff {
    pauses: ExponentialBackoff,
    last_failure: Option<Instant>,
}

impl WatchBackoff {
    fn new() -> Self {
        let pauses = backon::ExponentialBuilder::default()
            .with_min_delay(SHORTEST_PAUSE)
            .with_max_delay(LONGEST_PAUSE)
            .without_max_times()
            .with_jitter();
        Self { pauses: pauses.into(), last_failure: None }
    }
}

impl Iterator for WatchBackoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        if self.last_failure.replace(Instant::now()).is_some_and(|last| last.elapsed() > CALM) {
            self.pauses.reset();
        }
        self.pauses.next()
    }
}

impl Backoff for WatchBackoff {
    /// Not at every event: the first one of each attempt only says that a list begins.
    fn reset(&mut self) {}
}

/// Only the object of this name.
pub(crate) fn by_name(name: &str) -> Config {
    Config::default().fields(&format!("metadata.name={name}"))
}

impl WatchTask {
    /// Follows a watch for ever; `take` says whom an event concerns.
    pub(crate) async fn run<K>(
        self,
        events: impl Stream<Item = watcher::Result<Event<K>>>,
        mut take: impl FnMut(Event<K>) -> Option<Trigger>,
    ) {
        let mut last_error = None;
        pin_mut!(events);
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    if !matches!(event, Event::Init) && last_error.take().is_some() {
                        tracing::info!(resource = self.resource, "watching again");
                    }
                    let listed = matches!(event, Event::InitDone);
                    if let Some(wake) = take(event) {
                        // Nobody listens while another replica leads.
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

    /// Follows the watch of one object.
    pub(crate) async fn watch_named<K: Resource>(
        self,
        events: impl Stream<Item = watcher::Result<Event<K>>>,
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

    /// A watch that fails is no reason to become unready later: what is cached still serves.
    fn failed(&self, error: &watcher::Error, last_error: &mut Option<String>) {
        self.metrics.watch_restarted(self.resource);
        let reason = explain(self.resource, error);
        self.check.still_waiting(reason.clone());
        if last_error.as_ref() == Some(&reason) {
            tracing::debug!(resource = self.resource, reason, "still cannot watch");
        } else {
            tracing::warn!(resource = self.resource, reason, "cannot watch, trying again");
            *last_error = Some(reason);
        }
    }
}

/// What stands in the way, with the permission or the definition that is missing.
fn explain(resource: &str, error: &watcher::Error) -> String {
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
