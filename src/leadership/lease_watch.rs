//! Who holds the lease, as the apiserver tells it.

use std::fmt;

use futures::StreamExt;
use futures::stream::BoxStream;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::runtime::{WatchStreamExt, watcher};
use tracing::warn;

/// A watch of one lease, renewed for ever.
pub(super) struct LeaseWatch {
    events: BoxStream<'static, watcher::Result<Option<Lease>>>,
    /// As of the last event.
    holder: Option<String>,
    failing: bool,
}

impl LeaseWatch {
    /// Caches a lease by name; nothing is sent before one of the methods is polled.
    pub(super) fn new(api: Api<Lease>, name: &str) -> Self {
        let events = watcher::watch_object(api, name).default_backoff().boxed();
        Self { events, holder: None, failing: false }
    }

    /// Resolves when a holder gives the lease up.
    pub(super) async fn freed(&mut self) {
        while self.changed().await.is_none() || self.holder.is_some() {}
    }

    /// Resolves when `identity` is followed by another holder, or none. Events from before
    /// `identity` took the lease, which may still be on their way, do not count.
    pub(super) async fn taken_from(&mut self, identity: &str) {
        while self.changed().await.as_deref() != Some(identity) {}
    }

    /// Waits until the holder is another, and returns the one before.
    async fn changed(&mut self) -> Option<String> {
        loop {
            match self.events.next().await {
                Some(Ok(lease)) => {
                    self.failing = false;
                    let holder = lease.and_then(|lease| lease.spec?.holder_identity);
                    let holder = holder.filter(|holder| !holder.is_empty());
                    if holder != self.holder {
                        return std::mem::replace(&mut self.holder, holder);
                    }
                }
                Some(Err(error)) => {
                    if !std::mem::replace(&mut self.failing, true) {
                        warn!(%error, "cannot watch the lease; trying again");
                    }
                }
                // It does not end; if it did, the lease library would still ask by itself.
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
