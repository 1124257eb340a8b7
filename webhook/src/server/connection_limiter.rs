//! Connection limiter: a bounded set of connections, joined at the end.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use tokio::{
    task::{AbortHandle, Id, JoinSet},
    time::timeout,
};

use super::{
    activity::Activity,
    peers::{Network, Peer},
};

/// Set of connections with an upper bound.
pub(super) struct ConnectionLimiter {
    max: usize,
    tasks: JoinSet<()>,
    members: HashMap<Id, Member>,
    /// Number of connections of each peer that has some.
    counts: HashMap<Peer, usize>,
}

struct Member {
    handle: AbortHandle,
    activity: Arc<Activity>,
    peer: Peer,
}

impl ConnectionLimiter {
    /// Creates an empty set for `max` connections, at least 1.
    pub(super) fn new(max: usize) -> Self {
        Self { max: max.max(1), tasks: JoinSet::new(), members: HashMap::new(), counts: HashMap::new() }
    }

    /// Adds a connection. At the limit it replaces one of the network with the most connections, itself included, and
    /// there one of the peer with the most: the one that has waited longest for its client, else the one whose request
    /// has lasted longest. So one peer cannot exclude others, whatever it does with its connections, and a host that
    /// uses many addresses excludes none outside of its network.
    pub(super) fn add(
        &mut self,
        peer: Peer,
        activity: Arc<Activity>,
        connection: impl Future<Output = ()> + Send + 'static,
    ) {
        *self.counts.entry(peer).or_default() += 1;
        if self.members.len() >= self.max
            && let Some(id) = self.victim(peer)
            && let Some(member) = self.remove(id)
        {
            tracing::debug!(peer = ?member.peer, "closing a connection to accept another");
            member.handle.abort();
        }
        let handle = self.tasks.spawn(connection);
        self.members.insert(handle.id(), Member { handle, activity, peer });
    }

    /// Waits for the next connection to end, forever if there is none.
    pub(super) async fn ended(&mut self) {
        let id = match self.tasks.join_next_with_id().await {
            Some(Ok((id, ()))) => id,
            Some(Err(error)) => error.id(),
            None => return std::future::pending().await,
        };
        self.remove(id);
    }

    /// Waits until all connections have ended, and aborts the others after `limit`.
    pub(super) async fn drain(mut self, limit: Duration) {
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(limit, all).await.is_err() {
            tracing::debug!(count = self.tasks.len(), "aborted connections after the drain");
        }
        self.tasks.shutdown().await;
    }

    fn remove(&mut self, id: Id) -> Option<Member> {
        let member = self.members.remove(&id)?;
        if let Some(count) = self.counts.get_mut(&member.peer) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&member.peer);
            }
        }
        Some(member)
    }

    /// Returns the connection to close for one of the peer `new`, which is counted but not a member yet.
    fn victim(&self, new: Peer) -> Option<Id> {
        let mut networks: HashMap<Network, usize> = HashMap::new();
        for (peer, count) in &self.counts {
            *networks.entry(peer.network()).or_default() += count;
        }
        let has_members = |peer: Peer, count: usize| peer != new || count > 1;
        let sizes = self.counts.iter().filter(|(peer, count)| has_members(**peer, **count));
        let sizes = sizes.map(|(peer, count)| (*peer, (networks.get(&peer.network()), *count)));
        let largest = sizes.clone().map(|(_, size)| size).max()?;
        let largest: HashSet<Peer> = sizes.filter(|(_, size)| *size == largest).map(|(peer, _)| peer).collect();
        let of_largest = self.members.iter().filter(|(_, member)| largest.contains(&member.peer));
        let order = |member: &Member| (member.activity.waiting_since().is_none(), member.activity.since());
        of_largest.min_by_key(|(_, member)| order(member)).map(|(id, _)| *id)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn peer(last: u8) -> Peer {
        Peer::of(SocketAddr::from(([10, 0, 0, last], 1)))
    }

    #[tokio::test]
    async fn peer_with_the_most_connections_loses_one() {
        let mut limiter = ConnectionLimiter::new(5);
        let mut add = |last: u8, is_answering: bool| {
            let activity = Arc::new(Activity::new());
            if is_answering {
                activity.set_answering();
            }
            limiter.add(peer(last), activity, std::future::pending());
        };
        // A busy peer, and one with a single idle connection that is older than all.
        add(1, false);
        for _ in 0..4 {
            add(2, true);
        }
        for last in [3, 4, 2, 2] {
            add(last, false);
        }
        let mut counts: Vec<_> = limiter.counts.iter().map(|(peer, count)| (*peer, *count)).collect();
        counts.sort_by_key(|(peer, _)| format!("{peer:?}"));
        assert_eq!(counts, [(peer(1), 1), (peer(2), 2), (peer(3), 1), (peer(4), 1)]);
        assert_eq!(limiter.members.len(), 5);
    }
    #[tokio::test]
    async fn network_of_many_addresses_excludes_only_itself() {
        let address = |network: u16, host: u16| Peer::of(SocketAddr::from(([0xfd00, 0, 0, network, 0, 0, 0, host], 1)));
        let mut limiter = ConnectionLimiter::new(8);
        let mut add = |peer: Peer| limiter.add(peer, Arc::new(Activity::new()), std::future::pending());
        // A busy peer and a neighbour in its network, then a flood from many addresses of another one.
        for host in [1, 1, 1, 2] {
            add(address(1, host));
        }
        for host in 1..100 {
            add(address(2, host));
        }
        let count = |peer: Peer| limiter.counts.get(&peer).copied().unwrap_or_default();
        assert_eq!((count(address(1, 1)), count(address(1, 2))), (3, 1));
        assert_eq!((96..100).map(|host| count(address(2, host))).collect::<Vec<_>>(), [1, 1, 1, 1]);
    }
}
