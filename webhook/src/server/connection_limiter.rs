//! The connections there are: bounded, and joined at the end.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{
    task::{AbortHandle, Id, JoinSet},
    time::timeout,
};

use super::activity::Activity;

/// Connections, at most so many.
pub(super) struct ConnectionLimiter {
    most: usize,
    tasks: JoinSet<()>,
    members: HashMap<Id, (AbortHandle, Arc<Activity>)>,
}

impl ConnectionLimiter {
    pub(super) fn new(most: usize) -> Self {
        Self { most: most.max(1), tasks: JoinSet::new(), members: HashMap::new() }
    }

    /// Whether another one can come in.
    pub(super) fn has_room(&self) -> bool {
        self.members.len() < self.most || self.longest_waiting().is_some()
    }

    /// Lets one in. When there are too many, the one that has waited longest for its client goes:
    /// clients that say nothing must not keep the others out.
    pub(super) fn add(&mut self, activity: Arc<Activity>, connection: impl Future<Output = ()> + Send + 'static) {
        if self.members.len() >= self.most
            && let Some(id) = self.longest_waiting()
            && let Some((handle, _)) = self.members.remove(&id)
        {
            tracing::debug!("too many connections: the one that waited longest has to go");
            handle.abort();
        }
        let handle = self.tasks.spawn(connection);
        self.members.insert(handle.id(), (handle, activity));
    }

    /// Waits for the next one to end; for ever when there is none.
    pub(super) async fn ended(&mut self) {
        let id = match self.tasks.join_next_with_id().await {
            Some(Ok((id, ()))) => id,
            Some(Err(error)) => error.id(),
            None => return std::future::pending().await,
        };
        self.members.remove(&id);
    }

    /// Waits until all have ended, and gives up those that have not by then.
    pub(super) async fn leave(mut self, limit: Duration) {
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(limit, all).await.is_err() {
            tracing::debug!(count = self.tasks.len(), "connections cut off");
        }
        self.tasks.shutdown().await;
    }

    fn longest_waiting(&self) -> Option<Id> {
        let waiting = self.members.iter().filter_map(|(id, (_, activity))| Some((activity.waiting_since()?, *id)));
        waiting.min_by_key(|(since, _)| *since).map(|(_, id)| id)
    }
}
