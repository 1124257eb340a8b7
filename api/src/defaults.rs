//! Defaults of the NATS resource. The schema of the CRD contains those of the spec, and the contract fixes all of them.

use crate::{
    provider::Provider,
    quantity::Bytes,
    resource::{ClusterSpec, FileStorage, MemStorage},
    resources::ResourceRequirements,
};

impl Default for ClusterSpec {
    fn default() -> Self {
        Self { size: 3 }
    }
}

impl Default for MemStorage {
    fn default() -> Self {
        Self { enabled: true, size: "1Gi".into() }
    }
}

impl Default for FileStorage {
    fn default() -> Self {
        Self { enabled: true, storage_class_name: FileStorage::DEFAULT_CLASS.to_owned(), size: None }
    }
}

/// Default limits: cpu (cores) and memory (bytes).
pub const DEFAULT_LIMITS: [(&str, &str); 2] = [("cpu", "500m"), ("memory", "1Gi")];
/// Default requests: cpu (cores) and memory (bytes).
pub const DEFAULT_REQUESTS: [(&str, &str); 2] = [("cpu", "40m"), ("memory", "64Mi")];

impl Default for ResourceRequirements {
    fn default() -> Self {
        let map = |pairs: [(&str, &str); 2]| {
            Some(pairs.into_iter().map(|(name, amount)| (name.to_owned(), amount.into())).collect())
        };
        Self { limits: map(DEFAULT_LIMITS), requests: map(DEFAULT_REQUESTS), claims: Vec::new() }
    }
}

impl Provider {
    /// Returns the size of a volume if the user sets none.
    pub fn default_file_size(self) -> Bytes {
        match self {
            Self::AliCloud => Bytes::gibi(20),
            Self::Other => Bytes::gibi(1),
        }
    }
}
