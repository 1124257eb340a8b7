//! Facts about the cluster that a review depends on.

use std::sync::Arc;

use nats_manager_api::{NamespacedName, Nats, rules::ClusterFacts};

/// Source of facts about the cluster. Every review calls both methods, so implementations return from memory.
pub trait FactSource: Send + Sync + 'static {
    /// Returns the current facts around the resource of this name. `uid` is that of the stored resource, and `None` for
    /// one that is being created: servers of an earlier resource of the same name are no facts about it.
    fn cluster_facts(&self, id: &NamespacedName, uid: Option<&str>) -> ClusterFacts;

    /// Returns the only resource that may be created, or `None` if any may.
    fn allowed(&self) -> Option<NamespacedName>;

    /// Returns the stored resource of this name, for reviews that do not contain it: those of the subresource `scale`.
    fn stored(&self, _id: &NamespacedName) -> Option<Arc<Nats>> {
        None
    }
}

/// Source without facts about the cluster, for tests.
#[cfg(test)]
#[derive(Default)]
pub(crate) struct NoFacts {
    /// Resource that is stored under every name.
    pub(crate) stored: Option<Arc<Nats>>,
}

#[cfg(test)]
impl FactSource for NoFacts {
    fn cluster_facts(&self, _: &NamespacedName, _: Option<&str>) -> ClusterFacts {
        ClusterFacts::default()
    }

    fn allowed(&self) -> Option<NamespacedName> {
        None
    }

    fn stored(&self, _: &NamespacedName) -> Option<Arc<Nats>> {
        self.stored.clone()
    }
}
