//! Builders of JetStream snapshots for the tests of this crate and, with the feature `testing`, of others.
//!
//! Servers are named `n-0`, `n-1` and so on. `n-0` leads the meta group.
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    clippy::return_self_not_must_use,
    reason = "the functions that tests share are tests too"
)]

use crate::{
    actual::{ActualState, ServerMode, StatefulSetState},
    snapshot::{
        DEFAULT_ACCOUNT, Healthz, JetStreamSnapshot, Peer, PeerId, RaftGroup, ServerSnapshot, StreamId, StreamReplica,
        Unreachable,
    },
    time::Time,
};

/// Result of the poll of one server.
pub type Answer = Result<ServerSnapshot, Unreachable>;

/// Builds the name of a server and its Pod.
pub fn name(ordinal: u32) -> String {
    format!("n-{ordinal}")
}

/// Builds the names of the first `servers` servers.
pub fn names(servers: u32) -> Vec<String> {
    (0..servers).map(name).collect()
}

/// Builds the time that is `second` seconds after the Unix epoch.
pub const fn at(second: i64) -> Time {
    Time::from_millis(second * 1000)
}

/// Builds the state of the StatefulSet `n` with so many replicas, without Pods.
pub fn actual(replicas: u32) -> ActualState {
    let set = StatefulSetState { replicas, ..StatefulSetState::default() };
    ActualState { name: "n".to_owned(), stateful_set: Some(set), ..ActualState::default() }
}

/// Builds the answer of a healthy standalone server without streams.
pub fn server() -> ServerSnapshot {
    ServerSnapshot { healthz: Healthz::Ok, ..ServerSnapshot::default() }
}

/// Builds the result of a poll without an answer.
pub fn unreachable() -> Answer {
    Err(Unreachable("no route".to_owned()))
}

/// Builds a snapshot of `n-0`, `n-1` and so on from their answers, taken at second 0.
pub fn snapshot(answers: impl IntoIterator<Item = Answer>) -> JetStreamSnapshot {
    JetStreamSnapshot { taken_at: at(0), servers: (0..).map(name).zip(answers).collect() }
}

/// Builds a snapshot of healthy servers without streams: standalone ones if they are too few for a cluster.
pub fn healthy_cluster(size: u32) -> JetStreamSnapshot {
    let members = names(size);
    let is_clustered = ServerMode::of(size) == ServerMode::Clustered;
    let meta = |own: &str| RaftGroup { size: Some(size), ..group(own, &members) };
    snapshot(
        members.iter().map(|own| {
            Ok(ServerSnapshot { id: format!("id-{own}"), meta: is_clustered.then(|| meta(own)), ..server() })
        }),
    )
}

/// Builds a replica of a stream with one replica, in the default account, without messages.
pub fn stream(name: &str) -> StreamReplica {
    StreamReplica { stream: StreamId::new(DEFAULT_ACCOUNT, name), replicas: 1, ..StreamReplica::default() }
}

/// Builds the group that a member reports which lists no other members.
pub fn led_by(leader: &str) -> RaftGroup {
    RaftGroup { leader: Some(leader.to_owned()), ..RaftGroup::default() }
}

/// Builds a member that is in sync.
pub fn peer(name: &str) -> Peer {
    Peer { name: name.to_owned(), id: PeerId::of(name), current: true, ..Peer::default() }
}

/// Builds the group that `own` reports. The first member leads. Followers report only the leader as in sync (measured).
fn group(own: &str, members: &[String]) -> RaftGroup {
    let leader = &members[0];
    let others = members.iter().filter(|other| *other != own);
    let peers = others.map(|other| Peer { current: own == leader || other == leader, ..peer(other) }).collect();
    RaftGroup { peers, ..led_by(leader) }
}

impl JetStreamSnapshot {
    /// Sets the time of the poll, in seconds.
    pub fn at(self, second: i64) -> Self {
        Self { taken_at: at(second), ..self }
    }

    /// Applies a change.
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// Adds a replica of a stream to every server.
    pub fn with_stream(self, replica: &StreamReplica) -> Self {
        let all: Vec<u32> = (0..).take(self.servers.len()).collect();
        self.with(|snapshot| snapshot.add_stream(replica, &all))
    }

    /// Adds a replica of a stream to each of these servers. The first one leads.
    pub fn add_stream(&mut self, replica: &StreamReplica, on: &[u32]) {
        let members: Vec<String> = on.iter().copied().map(name).collect();
        for own in &members {
            let server = self.server_mut(own);
            let group = server.meta.is_some().then(|| group(own, &members));
            let replicas = u32::try_from(members.len()).unwrap();
            server.streams.push(StreamReplica { replicas, group, ..replica.clone() });
        }
    }

    /// Replaces the streams of a server.
    pub fn with_streams(self, server: &str, streams: impl Into<Vec<StreamReplica>>) -> Self {
        self.with(|snapshot| snapshot.server_mut(server).streams = streams.into())
    }

    /// Makes these servers unreachable. The answers of the others stay.
    pub fn lose(&mut self, servers: &[&str]) {
        for server in servers {
            *self.servers.get_mut(*server).unwrap() = unreachable();
        }
    }

    /// Returns all answers.
    pub fn answers_mut(&mut self) -> impl Iterator<Item = &mut ServerSnapshot> {
        self.servers.values_mut().filter_map(|answer| answer.as_mut().ok())
    }

    /// Returns the answer of a server.
    pub fn server_mut(&mut self, name: &str) -> &mut ServerSnapshot {
        self.servers.get_mut(name).unwrap().as_mut().unwrap()
    }

    /// Returns the first stream replica of a server.
    pub fn replica_mut(&mut self, name: &str) -> &mut StreamReplica {
        &mut self.server_mut(name).streams[0]
    }
}

impl ServerSnapshot {
    /// Returns the meta group of a clustered server.
    pub fn meta_mut(&mut self) -> &mut RaftGroup {
        self.meta.as_mut().unwrap()
    }

    /// Sets the meta group, as a clustered server reports it.
    pub fn in_meta_group(self, meta: RaftGroup) -> Self {
        Self { meta: Some(meta), ..self }
    }
}

impl StreamReplica {
    /// Returns the Raft group of a clustered stream.
    pub fn group_mut(&mut self) -> &mut RaftGroup {
        self.group.as_mut().unwrap()
    }

    /// Sets the configured number of replicas.
    pub fn with_replicas(self, replicas: u32) -> Self {
        Self { replicas, ..self }
    }

    /// Sets the size of the replica in bytes.
    pub fn with_bytes(self, bytes: u64) -> Self {
        Self { bytes, ..self }
    }

    /// Sets the number of consumers.
    pub fn with_consumers(self, consumers: u64) -> Self {
        Self { consumers, ..self }
    }

    /// Keeps the messages in memory.
    pub fn kept_in_memory(self) -> Self {
        Self { in_memory: true, ..self }
    }
}
