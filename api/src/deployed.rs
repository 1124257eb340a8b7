//! Deployed state of a NATS resource, as far as it limits the next deployment.

use crate::quantity::Bytes;

/// Minimum number of servers of a cluster: a majority remains if one server is lost. Fewer servers must have no cluster
/// block in their configuration, or they would never elect a leader.
pub const SMALLEST_CLUSTER: u32 = 3;

/// Actual state of a deployed NATS cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeployedCluster {
    /// Number of servers: the replicas of the StatefulSet or, while it is missing, the number of servers that the
    /// volumes were created for.
    pub size: u32,
    /// File store of each server. Immutable in a StatefulSet.
    pub file_store: FileStore,
    /// Spread of the Pods. It never changes, because PVCs pin Pods to zones.
    pub spread: Spread,
    /// Memory store in the latest configuration of the servers; `None` if unknown.
    pub memory_store: Option<Bytes>,
    /// Memory store that the Pods were last restarted for; `None` if they never were.
    pub restarted_for_memory_store: Option<Bytes>,
}

/// File store of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileStore {
    /// Volume of a given size and StorageClass.
    Volume {
        /// Size of each server's volume.
        size: Bytes,
        /// Name of the StorageClass; `None` is the cluster's default.
        class: Option<String>,
    },
    /// No volume: JetStream keeps streams in memory, and its own records in a directory that is removed with the Pod.
    MemoryOnly,
}

impl FileStore {
    /// Returns the size of each server's volume; `None` without volumes.
    pub fn volume_size(&self) -> Option<Bytes> {
        match self {
            Self::Volume { size, .. } => Some(*size),
            Self::MemoryOnly => None,
        }
    }
}

/// Strictness of the topology spread of Pods over zones and nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// Required: a Pod that cannot be spread stays pending.
    Hard,
    /// Preferred: Pods are spread where possible.
    Soft,
}

impl Spread {
    /// Returns the value for the annotation [`crate::naming::SPREAD`].
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hard => "hard",
            Self::Soft => "soft",
        }
    }

    /// Parses the value of that annotation. Any value other than `hard` means [`Soft`](Self::Soft), which never leaves
    /// a Pod pending.
    pub fn parse(value: Option<&str>) -> Self {
        if value == Some("hard") { Self::Hard } else { Self::Soft }
    }
}
