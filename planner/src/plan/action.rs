//! Actions of a plan beside the Kubernetes resources: at most one at a time.

use crate::snapshot::{PeerId, StreamId};

/// One action on servers or data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Moves replicas off a scale-down candidate.
    Evacuate {
        /// Name of the server that is evacuated.
        server: String,
        /// Streams of [`crate::snapshot::DEFAULT_ACCOUNT`] that have to be led by another server first.
        step_down: Vec<StreamId>,
        /// Streams whose replica on the server moves to another one.
        moves: Vec<StreamId>,
    },
    /// Lowers the partition, so that the StatefulSet controller replaces the next Pod.
    OpenPartition {
        /// The new partition of the StatefulSet.
        partition: u32,
        /// Name of the server that is restarted by it.
        server: String,
    },
    /// Lowers the replicas: servers beyond them stop.
    StopServers {
        /// The new `spec.replicas` of the StatefulSet.
        replicas: u32,
        /// Names of the servers that stop.
        servers: Vec<String>,
    },
    /// Restarts the standalone server of a change 1 -> N as a member of the cluster: opens the partition and deletes
    /// its Pod. From here on the change cannot be taken back.
    JoinCluster {
        /// Name of the server.
        server: String,
        /// `metadata.uid` of the server's Pod.
        uid: String,
    },
    /// Restarts a server by deleting its Pod.
    RestartServer {
        /// Name of the server.
        server: String,
        /// `metadata.uid` of the server's Pod.
        uid: String,
        /// Reason of the restart, for the log.
        reason: String,
    },
    /// Deletes Pods that cannot run, so that they come back with the new template.
    ReplacePods {
        /// Names and uids of the Pods.
        pods: Vec<PodRef>,
    },
    /// Removes peers that are gone from the meta group.
    RemovePeers {
        /// Names and ids of the peers.
        peers: Vec<PeerRef>,
    },
    /// Replaces a server with one that has a fresh volume: deletes its PVC, then its Pod.
    ReplaceServer {
        /// Name of the server.
        server: String,
        /// Ordinal and uid of its PVC.
        pvc: PvcRef,
        /// `metadata.resourceVersion` of its PVC: the request may have been withdrawn since.
        version: Option<String>,
        /// `metadata.uid` of its Pod; `None` without a Pod.
        pod: Option<String>,
    },
    /// Deletes PVCs of servers that were removed.
    DeletePvcs {
        /// Ordinals and uids of the PVCs.
        pvcs: Vec<PvcRef>,
    },
    /// Raises the size that PVCs request.
    ExpandPvcs {
        /// Ordinals and uids of the PVCs.
        pvcs: Vec<PvcRef>,
        /// The new size in bytes.
        size: u64,
    },
    /// Deletes the StatefulSet without its Pods, and creates it again with the same Pod template: its immutable fields
    /// differ.
    RecreateStatefulSet {
        /// `metadata.uid` of the StatefulSet. `Plan::precondition` is its `resourceVersion`.
        uid: String,
    },
    /// Reloads the configuration of servers.
    Reload {
        /// Names and identities (`server_id`) of the servers.
        servers: Vec<ServerRef>,
    },
}

/// A Pod to delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodRef {
    /// Name of the Pod.
    pub name: String,
    /// `metadata.uid`: only this Pod is deleted.
    pub uid: String,
}

/// A peer to remove from the meta group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerRef {
    /// Name of the peer, as the meta leader reports it.
    pub name: String,
    /// Id by which the peer is removed: a meta leader that restarts drops the names of stopped peers.
    pub id: PeerId,
}

/// A PVC to change or to delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PvcRef {
    /// Ordinal of the server that the PVC belongs to.
    pub ordinal: u32,
    /// `metadata.uid`: the action is for exactly this PVC.
    pub uid: String,
}

/// A running server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerRef {
    /// Name of the server.
    pub name: String,
    /// Identity until the server restarts (`server_id`).
    pub id: String,
}

impl Action {
    /// Returns whether the action takes a server, a peer or data away. Such an action is carried out only after
    /// [`super::confirm`] on a newer snapshot.
    pub fn is_disruptive(&self) -> bool {
        match self {
            // A leader that moves hands over to a replica that may still be empty: the leaders have to be up to date.
            Self::Evacuate { .. }
            | Self::OpenPartition { .. }
            | Self::StopServers { .. }
            | Self::JoinCluster { .. }
            | Self::RestartServer { .. }
            | Self::RemovePeers { .. }
            | Self::ReplaceServer { .. }
            | Self::DeletePvcs { .. } => true,
            // A StatefulSet is recreated without its Pods.
            Self::ReplacePods { .. }
            | Self::ExpandPvcs { .. }
            | Self::RecreateStatefulSet { .. }
            | Self::Reload { .. } => false,
        }
    }

    /// Returns whether the names of all streams are needed to confirm the action.
    pub(super) fn needs_streams(&self) -> bool {
        matches!(
            self,
            Self::StopServers { .. } | Self::RemovePeers { .. } | Self::JoinCluster { .. } | Self::ReplaceServer { .. }
        )
    }
}
