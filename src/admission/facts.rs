//! What the rules ask about the cluster, answered from caches.

use std::sync::Arc;

use nats_manager_api::{NamespacedName, rules::ClusterFacts};
use nats_manager_webhook::Facts;

use super::watch::Caches;
use crate::controller::{
    observe,
    watch::{Places, Watches},
};

/// The facts of this cluster.
#[derive(Debug)]
pub struct CachedFacts {
    /// Where things are.
    pub places: Places,
    /// The controller's caches.
    pub watches: Arc<Watches>,
    /// The webhook's own.
    pub caches: Arc<Caches>,
}

impl Facts for CachedFacts {
    fn cluster_facts(&self, id: &NamespacedName) -> ClusterFacts {
        let mut cluster_facts = observe::cached_surroundings(&self.watches);
        if *id != self.places.allowed {
            cluster_facts.deployed = None;
        }
        cluster_facts.storage_classes = Some(self.caches.storage_classes());
        cluster_facts
    }

    fn allowed(&self) -> Option<NamespacedName> {
        Some(self.places.allowed.clone())
    }
}
