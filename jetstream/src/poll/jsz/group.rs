//! Parser of Raft groups in `/jsz`.

use nats_manager_planner::snapshot::{Peer, PeerId, RaftGroup};
use serde::{Deserialize, de::IgnoredAny};

use super::super::object::AtMost;

/// Highest number of peers of a group. A cluster has at most 99 servers.
const MOST_PEERS: usize = 256;

/// Raft group of the meta leader or of a stream (`MetaClusterInfo`, `ClusterInfo`).
#[derive(Deserialize)]
pub(super) struct RaftGroupInfo {
    #[serde(default)]
    leader: String,
    /// Empty without a Raft node. The server then names itself as leader, whichever server leads.
    #[serde(default)]
    raft_group: String,
    #[serde(rename = "cluster_size")]
    size: Option<u32>,
    #[serde(default)]
    replicas: AtMost<MOST_PEERS, RaftReplica>,
    /// A requested move (NATS 2.14.7 and later).
    desired: Option<IgnoredAny>,
}

/// Peer of a Raft group (`PeerInfo`).
#[derive(Debug, Deserialize)]
struct RaftReplica {
    name: String,
    #[serde(default)]
    current: bool,
    #[serde(default)]
    offline: bool,
    #[serde(default)]
    lag: u64,
    #[serde(default)]
    peer: String,
    #[serde(default)]
    pending: bool,
}

impl RaftGroupInfo {
    /// Returns whether a Raft node of the group runs on the server.
    pub(super) fn has_node(&self) -> bool {
        !self.raft_group.is_empty()
    }

    /// Returns whether a move was requested and is not complete.
    pub(super) fn is_moving(&self) -> bool {
        self.desired.is_some()
    }
}

impl From<RaftGroupInfo> for RaftGroup {
    fn from(cluster: RaftGroupInfo) -> Self {
        Self {
            leader: Some(cluster.leader).filter(|leader| !leader.is_empty()),
            size: cluster.size,
            peers: cluster.replicas.0.into_iter().map(Peer::from).collect(),
        }
    }
}

impl From<RaftReplica> for Peer {
    fn from(replica: RaftReplica) -> Self {
        let id = if replica.peer.is_empty() { id_in(&replica.name).unwrap_or_default() } else { &replica.peer };
        Self {
            id: PeerId(id.to_owned()),
            current: replica.current,
            offline: replica.offline,
            lag: replica.lag,
            pending: replica.pending,
            name: replica.name,
        }
    }
}

/// Extracts the id from a placeholder such as `Server name unknown at this time (peerID: yrzKKRBu)`.
fn id_in(name: &str) -> Option<&str> {
    let (_, rest) = name.split_once("(peerID: ")?;
    rest.strip_suffix(')')
}
