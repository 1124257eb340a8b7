//! Leader election: the replica that holds the Lease `nats-manager` reconciles.
//!
//! [`record`] decides, this module sends requests. A watch of the Lease shows a release, or another holder, at once.

mod record;

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use futures::{StreamExt, stream::BoxStream};
use k8s_openapi::{api::coordination::v1::Lease, jiff::Timestamp};
use kube::{
    Api, Client,
    runtime::{WatchStreamExt, watcher},
};
use tokio::time::{Instant, sleep_until, timeout};

pub(crate) use self::record::Lost;
use self::record::{Candidate, Step};
use crate::{field_manager, telemetry::Metrics};

/// Name of the Lease. The manifest of the installation contains it.
pub(crate) const LEASE_NAME: &str = "nats-manager";

/// Limit of a request: renewals start 11 s before leadership ends, which is time for two attempts that hang, or more that
/// fail.
const REQUEST_LIMIT: Duration = Duration::from_secs(3);
/// Pause after a request that failed. Up to a second is added at random, so that replicas do not retry in step.
const RETRY: Duration = Duration::from_secs(1);
const MAX_JITTER_MILLIS: u64 = 1000;
/// Interval of reads while the Lease does not exist, beside the watch.
const MISSING_POLL: Duration = Duration::from_secs(10);
/// Attempts to release: an answer that was lost outdates the known version once.
const RELEASE_ATTEMPTS: usize = 2;
/// Limit of all attempts.
const RELEASE_LIMIT: Duration = Duration::from_secs(5);

/// A replica in the election.
pub(crate) struct Election {
    api: Api<Lease>,
    events: BoxStream<'static, watcher::Result<Option<Lease>>>,
    candidate: Candidate,
    metrics: Metrics,
    /// No request before this time.
    paused_until: Instant,
    /// A write was sent, and its answer is unknown so far.
    is_writing: bool,
    is_failing: bool,
    is_missing: bool,
}

impl Election {
    /// Returns a candidate for the Lease in `namespace`. Its identity is `name` with a random suffix, so that a process
    /// never counts the Lease of an earlier one as its own. No request is sent before [`Election::acquire`].
    pub(crate) fn new(client: &Client, namespace: &str, name: Option<&str>, metrics: &Metrics) -> Self {
        let random = RandomState::new().hash_one(std::process::id());
        let api: Api<Lease> = Api::namespaced(client.clone(), namespace);
        Self {
            events: watcher::watch_object(api.clone(), LEASE_NAME).default_backoff().boxed(),
            api,
            candidate: Candidate::new(format!("{}_{random:016x}", name.unwrap_or("nats-manager"))),
            metrics: metrics.clone(),
            paused_until: Instant::now(),
            is_writing: false,
            is_failing: false,
            is_missing: false,
        }
    }

    /// Waits until this replica leads. A failing apiserver is retried without limit. Can be dropped at any time.
    pub(crate) async fn acquire(&mut self) {
        tracing::info!(lease = LEASE_NAME, identity = self.candidate.identity(), "waiting for the lease");
        self.candidate.resign();
        while !self.candidate.leads(Instant::now()) {
            self.advance().await;
        }
        tracing::info!(lease = LEASE_NAME, identity = self.candidate.identity(), "leading");
    }

    /// Renews the Lease, and resolves when leadership has ended. Leadership lasts only while this is polled. All writes
    /// have to stop when it resolves: another replica can lead 3 s later.
    pub(crate) async fn lost(&mut self) -> Lost {
        loop {
            let now = Instant::now();
            if let Some(lost) = self.candidate.lost(now) {
                return lost;
            }
            let expires = self.candidate.expires().unwrap_or(now);
            // A request that hangs must not outlast leadership.
            tokio::select! {
                biased;
                () = sleep_until(expires) => {}
                () = self.advance() => {}
            }
        }
    }

    /// Releases the Lease, so that another replica takes it at once. To be called when all work has stopped, also after an
    /// [`Election::acquire`] that was dropped. Takes 5 s at most. If it fails, the Lease expires.
    pub(crate) async fn release(&mut self) {
        if timeout(RELEASE_LIMIT, self.try_release()).await.is_err() {
            tracing::warn!(lease = LEASE_NAME, "failed to release the lease in time: it expires");
        }
    }

    async fn try_release(&mut self) {
        if self.is_writing {
            self.candidate.outdate();
        }
        for _ in 0..RELEASE_ATTEMPTS {
            if self.candidate.next(Instant::now()) == Step::Read {
                self.read().await;
            }
            let Some(lease) = self.candidate.release(Timestamp::now()) else { return };
            match self.replace(&lease).await {
                Ok(_) => {
                    tracing::info!(lease = LEASE_NAME, "released the lease");
                    self.candidate.resign();
                    return;
                }
                Err(error) => {
                    tracing::debug!(%error, "failed to release the lease");
                    self.candidate.outdate();
                }
            }
        }
        tracing::warn!(lease = LEASE_NAME, "failed to release the lease: it expires");
    }

    /// Takes the next step, or a change of the Lease, whichever comes first.
    async fn advance(&mut self) {
        let now = Instant::now();
        let step = self.candidate.next(now);
        let due = match step {
            Step::Read | Step::Write => now,
            Step::Wait(until) => until,
            Step::Missing => now + MISSING_POLL,
        };
        tokio::select! {
            biased;
            () = sleep_until(due.max(self.paused_until)) => match step {
                Step::Read | Step::Missing => self.read().await,
                Step::Write => self.write().await,
                Step::Wait(_) => {}
            },
            event = self.events.next() => match event {
                // A deletion can be that of an earlier Lease.
                Some(Ok(None)) => self.candidate.outdate(),
                Some(Ok(Some(lease))) => {
                    self.report_missing(false);
                    self.candidate.observe(Some(lease), Instant::now());
                }
                Some(Err(error)) => tracing::debug!(%error, "watch of the lease failed"),
                // The stream has no end. Reads and writes do not depend on it.
                None => std::future::pending().await,
            },
        }
    }

    async fn read(&mut self) {
        match timeout(REQUEST_LIMIT, self.api.get_opt(LEASE_NAME)).await {
            Ok(Ok(lease)) => self.observe(lease),
            Ok(Err(error)) => self.failed("read", &error),
            Err(_) => self.failed("read", &"no response in time"),
        }
    }

    async fn write(&mut self) {
        let Some(lease) = self.candidate.claim(Timestamp::now()) else { return };
        let sent = Instant::now();
        self.is_writing = true;
        let answer = self.replace(&lease).await;
        self.is_writing = answer.is_err();
        match answer {
            Ok(lease) => {
                self.is_failing = false;
                self.candidate.answered(lease, sent, Instant::now());
                if !self.candidate.leads(Instant::now()) {
                    self.pause(Duration::ZERO);
                }
            }
            // The version was outdated by another replica, or by an own write whose answer was lost.
            Err(error) if error.has_code(409) => {
                self.candidate.outdate();
                self.pause(Duration::ZERO);
            }
            Err(error) if error.has_code(404) => self.observe(None),
            // The known version may still be the stored one: the next attempt writes at once.
            Err(error) => self.failed("write", &error),
        }
    }

    /// Replaces the version that was read. Another version is a conflict.
    async fn replace(&self, lease: &Lease) -> Result<Lease, WriteError> {
        match timeout(REQUEST_LIMIT, self.api.replace(LEASE_NAME, &field_manager::post(), lease)).await {
            Ok(answer) => answer.map_err(WriteError::Rejected),
            Err(_) => Err(WriteError::Timeout),
        }
    }

    /// Records the Lease as a request has shown it.
    fn observe(&mut self, lease: Option<Lease>) {
        self.report_missing(lease.is_none());
        self.is_failing = false;
        self.candidate.read(lease, Instant::now());
    }

    /// Logs a Lease that does not exist, once, and sets the metric.
    fn report_missing(&mut self, is_missing: bool) {
        if is_missing && !self.is_missing {
            tracing::error!(
                lease = LEASE_NAME,
                "the lease does not exist, no replica can lead; restore it with: kubectl apply --server-side -f nats-manager.yaml"
            );
        }
        self.is_missing = is_missing;
        self.metrics.set_lease_missing(is_missing);
    }

    /// Pauses, and logs the first of a row of failures.
    fn failed(&mut self, what: &'static str, error: &dyn fmt::Display) {
        if std::mem::replace(&mut self.is_failing, true) {
            tracing::debug!(%error, "failed to {what} the lease");
        } else {
            tracing::warn!(%error, "failed to {what} the lease, retrying");
        }
        self.pause(RETRY);
    }

    /// Sends no request for a time, with jitter.
    fn pause(&mut self, time: Duration) {
        let jitter = RandomState::new().hash_one(0) % MAX_JITTER_MILLIS;
        self.paused_until = Instant::now() + time + Duration::from_millis(jitter);
    }
}

/// A write of the Lease that failed.
#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error("{0}")]
    Rejected(kube::Error),
    #[error("no response within {} s", REQUEST_LIMIT.as_secs())]
    Timeout,
}

impl WriteError {
    fn has_code(&self, code: u16) -> bool {
        matches!(self, Self::Rejected(kube::Error::Api(status)) if status.code == code)
    }
}

impl fmt::Debug for Election {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Election").field("candidate", &self.candidate).finish_non_exhaustive()
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Taken => "the lease has another holder",
            Self::Deleted => "the lease was deleted",
            Self::NotRenewed => "the lease was not renewed in time",
        })
    }
}

#[cfg(test)]
mod tests;
