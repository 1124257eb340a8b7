//! State that a group of watches shares.

use std::collections::BTreeSet;

use tokio::sync::{broadcast, watch};

use super::{Trigger, task::WatchTask};
use crate::telemetry::{Metrics, Readiness};

/// Channel of the triggers of a group of watches, and the watches without their first list.
#[derive(Clone, Debug)]
pub(crate) struct WatchGroup {
    wake: broadcast::Sender<Trigger>,
    unfilled: watch::Sender<BTreeSet<&'static str>>,
}

/// Capacity of the channel, whose places take 120 bytes each. A receiver that misses a trigger reconciles all resources.
const WAKES: usize = 16;

impl WatchGroup {
    pub(crate) fn new() -> Self {
        Self { wake: broadcast::Sender::new(WAKES), unfilled: watch::Sender::default() }
    }

    /// Adds a watch to this group, with a check in `readiness` that passes with its first list.
    pub(crate) fn task(
        &self,
        resource: &'static str,
        cache: &'static str,
        metrics: &Metrics,
        readiness: &Readiness,
    ) -> WatchTask {
        self.unfilled.send_modify(|unfilled| {
            unfilled.insert(cache);
        });
        WatchTask {
            resource,
            cache,
            check: readiness.check(cache, "waiting for the first list"),
            metrics: metrics.clone(),
            wake: self.wake.clone(),
            unfilled: self.unfilled.clone(),
        }
    }

    /// Subscribes to the triggers from now on.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Trigger> {
        self.wake.subscribe()
    }

    /// Resolves when every watch has delivered its first list.
    pub(crate) async fn filled(&self) {
        // The sender is ours, so this cannot fail.
        let _ = self.unfilled.subscribe().wait_for(BTreeSet::is_empty).await;
    }
}
