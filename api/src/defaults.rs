//! Defaults of the NATS resource. The schema of the CRD contains those of the spec, and the contract fixes all of them.

use crate::{provider::Provider, quantity::Bytes};

/// Number of servers.
pub const SIZE: i64 = 3;
/// Size of the memory store of each server, in bytes.
pub const MEM_STORAGE_SIZE: &str = "1Gi";
/// Name that selects the default StorageClass of the Kubernetes cluster.
pub const STORAGE_CLASS: &str = "default";
/// Memory limit of a server, in bytes.
pub const MEMORY_LIMIT: &str = "1Gi";
/// Limits: cpu (cores) and memory (bytes).
pub const LIMITS: [(&str, &str); 2] = [("cpu", "500m"), ("memory", MEMORY_LIMIT)];
/// Requests: cpu (cores) and memory (bytes).
pub const REQUESTS: [(&str, &str); 2] = [("cpu", "40m"), ("memory", "64Mi")];

impl Provider {
    /// Returns the size of a volume if the user sets none.
    pub fn default_file_size(self) -> Bytes {
        match self {
            Self::AliCloud => Bytes::gibi(20),
            Self::Other => Bytes::gibi(1),
        }
    }
}
