//! What a group of watches has in common.

use std::collections::BTreeSet;

use tokio::sync::{broadcast, watch};

use super::{Trigger, task::WatchTask};
use crate::telemetry::{Metrics, Readiness};

/// Whom the watches of a group wake, and which of them have not delivered their first list.
#[derive(Clone, Debug)]
pub(crate) struct WatchGroup {
    wake: broadcast::Sender<Trigger>,
    unfilled: watch::Sender<BTreeSet<&'static str>>,
}

/// Enough for a burst; whoever falls behind looks at everything.
const WAKES: usize = 256;

impl WatchGroup {
    pub(crate) fn new() -> Self {
        Self { wake: broadcast::Sender::new(WAKES), unfilled: watch::Sender::default() }
    }

    /// A watch of this group, with a check in `readiness` that passes with its first list.
    pub(crate) fn task(
        &self,
        (resource, cache): (&'static str, &'static str),
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

    /// Whom events concern from now on.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Trigger> {
        self.wake.subscribe()
    }

    /// Resolves when every watch has delivered its first list.
    pub(crate) async fn filled(&self) {
        // The sender is ours, so this cannot fail.
        let _ = self.unfilled.subscribe().wait_for(BTreeSet::is_empty).await;
    }
}
