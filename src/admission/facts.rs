//! What the rules ask about the cluster, answered from caches.

use std::sync::Arc;

use nats_manager_api::{NamespacedName, rules::Surroundings};
use nats_manager_webhook::Facts;

use super::watch::Caches;
use crate::controller::{
    observe,
    watch::{Places, Watches},
};

/// The facts of this cluster.
#[derive(Debug)]
pub struct ClusterFacts {
    /// Where things are.
    pub places: Places,
    /// The controller's caches.
    pub watches: Arc<Watches>,
    /// The webhook's own.
    pub caches: Arc<Caches>,
}

impl Facts for ClusterFacts {
    fn surroundings(&self, id: &NamespacedName) -> Surroundings {
        let mut surroundings = observe::cached_surroundings(&self.watches);
        if *id != self.places.allowed {
            surroundings.deployed = None;
        }
        surroundings.storage_classes = Some(self.caches.storage_classes());
        surroundings
    }

    fn allowed(&self) -> Option<NamespacedName> {
        Some(self.places.allowed.clone())
    }
}
