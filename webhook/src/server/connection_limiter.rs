//! Connection limiter: a bounded set of connections, joined at the end.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{
    task::{AbortHandle, Id, JoinSet},
    time::timeout,
};

use super::activity::Activity;

/// Set of connections with an upper bound.
pub(super) struct ConnectionLimiter {
    max: usize,
    tasks: JoinSet<()>,
    members: HashMap<Id, (AbortHandle, Arc<Activity>)>,
}

impl ConnectionLimiter {
    /// Creates an empty set for `max` connections, at least 1.
    pub(super) fn new(max: usize) -> Self {
        Self { max: max.max(1), tasks: JoinSet::new(), members: HashMap::new() }
    }

    /// Returns whether another connection can be accepted, if necessary in place of a waiting one.
    pub(super) fn has_capacity(&self) -> bool {
        self.members.len() < self.max || self.longest_waiting().is_some()
    }

    /// Adds a connection. At the limit it replaces the one that has waited longest for its client, so that idle clients
    /// cannot exclude others.
    pub(super) fn add(&mut self, activity: Arc<Activity>, connection: impl Future<Output = ()> + Send + 'static) {
        if self.members.len() >= self.max
            && let Some(id) = self.longest_waiting()
            && let Some((handle, _)) = self.members.remove(&id)
        {
            tracing::debug!("closing the connection that waited longest, to accept another");
            handle.abort();
        }
        let handle = self.tasks.spawn(connection);
        self.members.insert(handle.id(), (handle, activity));
    }

    /// Waits for the next connection to end, forever if there is none.
    pub(super) async fn ended(&mut self) {
        let id = match self.tasks.join_next_with_id().await {
            Some(Ok((id, ()))) => id,
            Some(Err(error)) => error.id(),
            None => return std::future::pending().await,
        };
        self.members.remove(&id);
    }

    /// Waits until all connections have ended, and aborts the others after `limit`.
    pub(super) async fn drain(mut self, limit: Duration) {
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(limit, all).await.is_err() {
            tracing::debug!(count = self.tasks.len(), "aborted connections after the drain");
        }
        self.tasks.shutdown().await;
    }

    fn longest_waiting(&self) -> Option<Id> {
        let waiting = self.members.iter().filter_map(|(id, (_, activity))| Some((activity.waiting_since()?, *id)));
        waiting.min_by_key(|(since, _)| *since).map(|(_, id)| id)
    }
}
