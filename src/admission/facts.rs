//! What the rules ask about the cluster, answered from caches.

use std::sync::Arc;

use nats_manager_api::{NamespacedName, rules::ClusterFacts};
use nats_manager_webhook::FactSource;

use super::watch::WebhookCaches;
use crate::{
    controller::observe,
    watch::{Caches, Scope},
};

/// The facts of this cluster.
#[derive(Debug)]
pub(crate) struct CachedFacts {
    /// Where things are.
    pub scope: Scope,
    /// The controller's caches.
    pub caches: Arc<Caches>,
    /// The webhook's own.
    pub webhook_caches: Arc<WebhookCaches>,
}

impl FactSource for CachedFacts {
    fn cluster_facts(&self, id: &NamespacedName) -> ClusterFacts {
        let mut cluster_facts = observe::cached_cluster_facts(&self.caches);
        if *id != self.scope.allowed {
            cluster_facts.deployed = None;
        }
        cluster_facts.storage_classes = Some(self.webhook_caches.storage_classes());
        cluster_facts
    }

    fn allowed(&self) -> Option<NamespacedName> {
        Some(self.scope.allowed.clone())
    }
}
