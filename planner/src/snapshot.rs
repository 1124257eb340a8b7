//! Answers of all servers to one poll of their monitoring ports, as values.
//!
//! Only the leader of a Raft group reports the progress of the other members, and only the meta leader lists the peers
//! of the meta group. A dead leader's name stays for up to 10 s (measured with NATS 2.14.2).

use std::{collections::BTreeMap, fmt};

use sha2::{Digest, Sha256};

use crate::{time::Time, version::Version};

/// The account of clients without credentials.
pub const DEFAULT_ACCOUNT: &str = "$G";

/// The result of one poll of all servers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JetStreamSnapshot {
    /// The time at which the poll began. Everything in it is at least as recent.
    pub taken_at: Time,
    /// The answer of each server, or the cause of its absence, by the name of the server and its Pod.
    pub servers: BTreeMap<String, Result<ServerSnapshot, Unreachable>>,
}

/// The cause for which a server gave no usable answer. Such a server may hold any streams.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreachable(pub String);

/// The answer of one server to all requests of a poll.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerSnapshot {
    /// The server's identity until it restarts (`server_id`); the system account addresses it by this.
    pub id: String,
    /// The version that runs, where it was asked for.
    pub version: Option<Version>,
    /// The server has disabled JetStream by itself, mostly because its volume was full.
    pub disabled: bool,
    /// The answer to the full `/healthz`.
    pub healthz: Healthz,
    /// Usage of the file store.
    pub file: StoreUsage,
    /// Usage of the memory store.
    pub memory: StoreUsage,
    /// The meta group as this server sees it; `None` for a standalone server.
    pub meta: Option<RaftGroup>,
    /// The stream replicas of this server, of every account.
    pub streams: Vec<StreamReplica>,
}

/// The answer to `/healthz` without parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Healthz {
    /// HTTP status 200.
    Ok,
    /// HTTP status 503, with the text of the error.
    Failing(String),
    /// Not asked, or no usable answer, with the cause. Counts as failing.
    #[default]
    Unknown,
}

/// Usage of one store of a server, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreUsage {
    /// Bytes of live messages.
    pub used: u64,
    /// Bytes that streams with `max_bytes` reserve.
    pub reserved: u64,
    /// The limit in bytes; 0 is off.
    pub limit: u64,
}

/// A Raft group as one of its members sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RaftGroup {
    /// The leader's name, if this member reports one.
    pub leader: Option<String>,
    /// The number of members; reported for the meta group only.
    pub size: Option<u32>,
    /// The other members. Only the leader's list is reliable.
    pub peers: Vec<Peer>,
}

/// Another member of a Raft group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// The server's name; a placeholder text when the meta leader does not have it.
    pub name: String,
    /// The stable identity; empty where the answer has none.
    pub id: PeerId,
    /// The log is persisted up to the leader's. The messages of a stream may still be missing.
    pub current: bool,
    /// The server announced its shutdown; one that died did not.
    pub offline: bool,
    /// Number of Raft entries that are missing.
    pub lag: u64,
    /// The replica is about to be added or removed (NATS 2.15 and later).
    pub pending: bool,
}

/// Identity of a server in Raft groups: the first eight characters of a hash of its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub String);

/// A server's replica of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamReplica {
    /// Identity of the stream.
    pub stream: StreamId,
    /// The configured number of replicas.
    pub replicas: u32,
    /// The messages are kept in memory.
    pub in_memory: bool,
    /// Size of this replica in bytes.
    pub bytes: u64,
    /// Number of messages in this replica.
    pub messages: u64,
    /// Limits at which the stream rejects new messages.
    pub limits: StreamLimits,
    /// Sequence of the last message that this replica has.
    pub last_seq: u64,
    /// Number of consumers of the stream, as this server reports it.
    pub consumers: u64,
    /// The stream's Raft group; `None` for a standalone server, and while the group is not started.
    pub group: Option<RaftGroup>,
    /// A move was requested and is not complete (NATS 2.15 and later, `cluster.desired`).
    pub moving: bool,
}

/// Limits at which a stream rejects new messages, because it is configured with `discard: new`. A stream that discards
/// old messages has none. 0 is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamLimits {
    /// `max_bytes`: size of a replica in bytes.
    pub bytes: u64,
    /// `max_msgs`: number of messages.
    pub messages: u64,
}

/// Identity of a stream: its account and its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    /// The account; [`DEFAULT_ACCOUNT`] is that of clients without credentials.
    pub account: String,
    /// Name of the stream, unique in its account.
    pub name: String,
}

impl StreamId {
    /// Builds the identity of the stream `name` in `account`.
    pub fn new(account: impl Into<String>, name: impl Into<String>) -> Self {
        Self { account: account.into(), name: name.into() }
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.account == DEFAULT_ACCOUNT {
            f.write_str(&self.name)
        } else {
            write!(f, "{} of account {}", self.name, self.account)
        }
    }
}

impl PeerId {
    /// Computes the id of the server with this name (`getHash` in `server/accounts.go` of NATS 2.14).
    pub fn of(server: &str) -> Self {
        const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        const LENGTH: usize = 8;
        let hash = Sha256::digest(server.as_bytes());
        Self(hash.iter().take(LENGTH).map(|byte| char::from(DIGITS[usize::from(*byte) % DIGITS.len()])).collect())
    }
}

impl Peer {
    /// Returns whether this peer is the server with this name. A placeholder name is ignored where the id matches.
    pub fn is(&self, server: &str) -> bool {
        self.name == server || (!self.id.0.is_empty() && self.id == PeerId::of(server))
    }
}

impl StoreUsage {
    /// Computes the share of the limit that is used, in percent; 0 without a limit.
    pub fn percent(&self) -> u64 {
        percent(self.used, self.limit)
    }

    /// Computes the share of the limit that streams have reserved, in percent; 0 without a limit.
    pub fn reserved_percent(&self) -> u64 {
        percent(self.reserved, self.limit)
    }
}

/// Computes the share of `limit` that is used, in percent, rounded down; 0 without a limit.
pub fn percent(used: u64, limit: u64) -> u64 {
    let percent = (u128::from(used) * 100).checked_div(u128::from(limit));
    percent.and_then(|percent| u64::try_from(percent).ok()).unwrap_or(0)
}

impl JetStreamSnapshot {
    /// Returns the servers that answered, by name.
    pub fn answers(&self) -> impl Iterator<Item = (&str, &ServerSnapshot)> + Clone {
        self.servers.iter().filter_map(|(name, answer)| Some((name.as_str(), answer.as_ref().ok()?)))
    }

    /// Returns the answer of a server; `None` if it is unreachable or was not polled.
    pub fn answer(&self, server: &str) -> Option<&ServerSnapshot> {
        self.servers.get(server)?.as_ref().ok()
    }

    /// Returns every replica, with the server that has it.
    pub fn replicas(&self) -> impl Iterator<Item = (&str, &StreamReplica)> + Clone {
        self.answers().flat_map(|(name, server)| server.streams.iter().map(move |replica| (name, replica)))
    }

    /// Returns the meta leader and the meta group that it reports. If several servers name themselves leader (an old
    /// leader does for up to 10 s), the one with most peers in sync is returned.
    pub fn meta_group(&self) -> Option<(&str, &RaftGroup)> {
        let leaders = self.answers().filter_map(|(name, server)| {
            let meta = server.meta.as_ref().filter(|meta| meta.leader.as_deref() == Some(name))?;
            Some((name, meta))
        });
        leaders.max_by_key(|(_, meta)| meta.peers.iter().filter(|peer| peer.current && !peer.offline).count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peer_id_is_the_one_that_servers_report() {
        // `/jsz` `replicas[].peer` of nats-server 2.14.2, 2.14.10 and 2.15.3 for servers with these names.
        for (server, id) in [("n-0", "tIys2WKX"), ("n-1", "JomJ25Oa"), ("n-2", "L2hpLS7X")] {
            assert_eq!(PeerId::of(server).0, id);
        }
    }

    #[test]
    fn peer_without_name_is_recognised_by_its_id() {
        let name = "Server name unknown at this time (peerID: L2hpLS7X)".to_owned();
        let unnamed = Peer { id: PeerId("L2hpLS7X".to_owned()), name, ..Peer::default() };
        assert!(unnamed.is("n-2") && !unnamed.is("n-3"));
    }
}
