//! What a plan asks for beside the Kubernetes resources: at most one action at a time.

use crate::snapshot::{PeerId, StreamId};

/// One action on servers or data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Moves replicas off a scale-down candidate.
    Evacuate {
        /// The server that is to be empty.
        server: String,
        /// Streams whose leader has to be another server first, in [`crate::snapshot::DEFAULT_ACCOUNT`].
        step_down: Vec<StreamId>,
        /// Streams whose replica on the server moves to another one.
        moves: Vec<StreamId>,
    },
    /// Lowers the partition, so that the StatefulSet controller replaces the next Pod.
    OpenPartition {
        /// The new partition.
        partition: u32,
        /// The server that is restarted by it.
        server: String,
    },
    /// Lowers the replicas: servers beyond them stop.
    StopServers {
        /// The new number of replicas.
        replicas: u32,
        /// The servers that stop.
        servers: Vec<String>,
    },
    /// Restarts the standalone server of a change 1 -> N as a member of the cluster: opens the partition and deletes
    /// its Pod. From here on the change cannot be taken back.
    JoinCluster {
        /// The server.
        server: String,
        /// Its Pod's uid.
        uid: String,
    },
    /// Restarts a server by deleting its Pod.
    RestartServer {
        /// The server.
        server: String,
        /// Its Pod's uid.
        uid: String,
        /// Why, for the log.
        reason: String,
    },
    /// Deletes Pods that cannot run, so that they come back with the new template.
    ReplacePods {
        /// Name and uid of each.
        pods: Vec<PodRef>,
    },
    /// Removes peers that are gone from the meta group.
    RemovePeers {
        /// The peers.
        peers: Vec<PeerRef>,
    },
    /// Deletes PVCs of servers that were removed.
    DeletePvcs {
        /// The PVCs.
        pvcs: Vec<PvcRef>,
    },
    /// Has servers read their configuration again.
    Reload {
        /// Name and identity (`server_id`) of each.
        servers: Vec<ServerRef>,
    },
}

/// A Pod to delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodRef {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

/// A peer to remove from the meta group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerRef {
    /// Its name, as the meta leader reports it.
    pub name: String,
    /// Its id, by which it is removed: names are forgotten when the meta leader restarts.
    pub id: PeerId,
}

/// A PVC to delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PvcRef {
    /// The server's ordinal.
    pub ordinal: u32,
    /// Its uid.
    pub uid: String,
}

/// A running server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerRef {
    /// Its name.
    pub name: String,
    /// Its identity until it restarts.
    pub id: String,
}

impl Action {
    /// Returns whether it takes a server, a peer or data away. Such an action is carried out only after
    /// [`super::confirm`] on a younger snapshot.
    pub fn is_disruptive(&self) -> bool {
        match self {
            // A leader that moves hands over to a replica that may have nothing yet, so the leaders have to be known.
            Self::Evacuate { .. }
            | Self::OpenPartition { .. }
            | Self::StopServers { .. }
            | Self::JoinCluster { .. }
            | Self::RestartServer { .. }
            | Self::RemovePeers { .. }
            | Self::DeletePvcs { .. } => true,
            Self::ReplacePods { .. } | Self::Reload { .. } => false,
        }
    }

    /// Returns whether it is confirmed by the names of all streams.
    pub(super) fn needs_streams(&self) -> bool {
        matches!(self, Self::StopServers { .. } | Self::RemovePeers { .. } | Self::JoinCluster { .. })
    }
}
