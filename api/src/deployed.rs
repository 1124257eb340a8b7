//! What is deployed already for a NATS resource, as far as it limits what can be deployed next.

use crate::quantity::Bytes;

/// The fewest servers that form a cluster: a majority is left when one is lost. Fewer must not have a cluster block, or
/// they would never elect a leader.
pub const SMALLEST_CLUSTER: u32 = 3;

/// A NATS cluster as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeployedCluster {
    /// The number of servers: the replicas of the StatefulSet, or (while that is missing) the
    /// number of servers that the volumes were made for.
    pub size: u32,
    /// Where its servers keep files. Immutable in a StatefulSet.
    pub file_store: FileStore,
    /// How its pods are spread. Kept: claims pin pods to zones.
    pub spread: Spread,
    /// The memory store that its servers were last told, if that is known.
    pub memory_store: Option<Bytes>,
    /// The memory store that its pods were last restarted for, if they ever were.
    pub restarted_for_memory_store: Option<Bytes>,
}

/// Where a server keeps files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileStore {
    /// On a volume of this size, from this class (the cluster's default if none).
    Volume {
        /// Size of each server's volume.
        size: Bytes,
        /// The StorageClass; none is the cluster's default.
        class: Option<String>,
    },
    /// Nowhere: JetStream keeps streams in memory, and its own records in a directory that goes
    /// with the pod.
    MemoryOnly,
}

/// How strictly pods are spread over zones and nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// A pod that cannot be spread stays pending.
    Hard,
    /// Spread where possible.
    Soft,
}

impl Spread {
    /// The word for it in the annotation [`crate::naming::SPREAD`].
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hard => "hard",
            Self::Soft => "soft",
        }
    }

    /// The spread by its word; whatever else it says is soft, which never leaves a pod pending.
    pub fn parse(word: Option<&str>) -> Self {
        if word == Some("hard") { Self::Hard } else { Self::Soft }
    }
}
