//! What the admission server asks about the cluster.

use nats_manager_api::{NamespacedName, rules::ClusterFacts};

/// The cluster as it is known now. Both are asked for every review, so they answer from memory.
pub trait FactSource: Send + Sync + 'static {
    /// What is around the resource of this name.
    fn cluster_facts(&self, id: &NamespacedName) -> ClusterFacts;

    /// The only resource that may be created; none where any may.
    fn allowed(&self) -> Option<NamespacedName>;
}
