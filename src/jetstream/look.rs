//! What the servers say of themselves at one moment: values, no I/O.
//!
//! Which answers can be trusted is measured (NATS 2.14.2): of a group, only its leader knows how far
//! the others are; only the meta leader lists the meta group's peers; a dead leader's name stays for
//! some seconds.

use std::collections::BTreeMap;

use nats_manager_api::Bytes;

/// One look at all servers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// What each server answered, or why it did not, by its name (which is its pod's).
    pub servers: BTreeMap<String, Result<Server, Silence>>,
}

/// Why a server did not answer. It may hold anything.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Silence(pub String);

/// What a server says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Server {
    /// Its identity until it restarts, by which the system account addresses it.
    pub id: String,
    /// It switched JetStream off by itself, mostly since its volume was full.
    pub disabled: bool,
    /// Its file store.
    pub file: Store,
    /// Its memory store.
    pub memory: Store,
    /// The group that places streams; none where a server runs alone.
    pub meta: Option<Group>,
    /// The streams of which it has a copy, of every account.
    pub streams: Vec<Stream>,
}

/// How full a store of a server is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Store {
    /// What messages take.
    pub used: Bytes,
    /// What streams have been promised.
    pub reserved: Bytes,
    /// What there is; 0 is off.
    pub limit: Bytes,
}

/// A group of servers that agree on something (Raft), as one of them sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// Its leader, if this server knows one.
    pub leader: Option<String>,
    /// How many servers it has; given for the meta group only.
    pub size: Option<u32>,
    /// The others in it: to be believed from its leader only.
    pub peers: Vec<Peer>,
}

/// Another member of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// The server's name.
    pub name: String,
    /// Whether it has all that the leader has.
    pub current: bool,
    /// Whether it said goodbye; one that died did not.
    pub offline: bool,
    /// Operations that it has yet to catch up with.
    pub lag: u64,
}

/// A server's copy of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stream {
    /// The account that it belongs to; `$G` is that of clients without credentials.
    pub account: String,
    /// Its name.
    pub name: String,
    /// How many copies it asks for.
    pub replicas: u32,
    /// Whether it is kept in memory, not in files.
    pub in_memory: bool,
    /// What one copy takes.
    pub size: Bytes,
    /// Who has copies; none where a server runs alone.
    pub group: Option<Group>,
    /// Its consumers that this server has a copy of.
    pub consumers: Vec<Consumer>,
    /// How many consumers it has in all, as this server knows it.
    pub consumer_count: u64,
}

/// A server's copy of a consumer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Consumer {
    /// Its name.
    pub name: String,
    /// Who has copies; none where a server runs alone.
    pub group: Option<Group>,
}
