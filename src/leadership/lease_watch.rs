//! Watch of the lease's holder.

use std::fmt;

use futures::{StreamExt, stream::BoxStream};
use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Api,
    runtime::{WatchStreamExt, watcher},
};

/// Watch of one lease, restarted forever.
pub(super) struct LeaseWatch {
    events: BoxStream<'static, watcher::Result<Option<Lease>>>,
    /// Holder as of the last event.
    holder: Option<String>,
    is_failing: bool,
}

impl LeaseWatch {
    /// Builds the watch of a lease. Nothing is sent before one of the other methods is polled.
    pub(super) fn new(api: Api<Lease>, name: &str) -> Self {
        let events = watcher::watch_object(api, name).default_backoff().boxed();
        Self { events, holder: None, is_failing: false }
    }

    /// Resolves when a holder releases the lease.
    pub(super) async fn released(&mut self) {
        while self.changed().await.is_none() || self.holder.is_some() {}
    }

    /// Resolves when the holder changes from `identity` to another, or to none. Events from before `identity` took the
    /// lease, which may arrive late, do not count.
    pub(super) async fn taken_from(&mut self, identity: &str) {
        while self.changed().await.as_deref() != Some(identity) {}
    }

    /// Waits until the holder changes, and returns the previous one.
    async fn changed(&mut self) -> Option<String> {
        loop {
            match self.events.next().await {
                Some(Ok(lease)) => {
                    self.is_failing = false;
                    let holder = lease.and_then(|lease| lease.spec?.holder_identity);
                    let holder = holder.filter(|holder| !holder.is_empty());
                    if holder != self.holder {
                        return std::mem::replace(&mut self.holder, holder);
                    }
                }
                Some(Err(error)) => {
                    if !std::mem::replace(&mut self.is_failing, true) {
                        tracing::warn!(%error, "failed to watch the lease, trying again");
                    }
                }
                // The watch does not end. If it did, the lease library would still poll the lease.
                None => std::future::pending().await,
            }
        }
    }
}

impl fmt::Debug for LeaseWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeaseWatch").field("holder", &self.holder).finish_non_exhaustive()
    }
}
