//! Cluster facts for the rules, from caches.

use std::{collections::BTreeSet, sync::Arc};

use kube::runtime::reflector::ObjectRef;
use nats_manager_api::{NamespacedName, Nats, rules::ClusterFacts};
use nats_manager_webhook::FactSource;

use super::watch::WebhookCaches;
use crate::{
    controller::{observe, ownership::Owner},
    watch::{Caches, Scope},
};

/// Cluster facts from the caches of the manager.
#[derive(Debug)]
pub(crate) struct CachedFacts {
    pub scope: Scope,
    /// Caches that the controller reconciles from.
    pub caches: Arc<Caches>,
    /// Caches that only the webhook uses.
    pub webhook_caches: Arc<WebhookCaches>,
}

/// Returns the StorageClasses of the servers' PVCs.
fn volume_classes(caches: &Caches) -> BTreeSet<String> {
    let pvcs = caches.pvcs.state();
    pvcs.iter().filter_map(|pvc| pvc.spec.as_ref()?.storage_class_name.clone()).collect()
}

impl FactSource for CachedFacts {
    fn cluster_facts(&self, id: &NamespacedName, uid: Option<&str>) -> ClusterFacts {
        let owner = Owner { id, uid: uid.unwrap_or_default() };
        let mut cluster_facts = observe::cached_cluster_facts(&self.caches, &owner);
        if *id != self.scope.allowed {
            cluster_facts.deployed = None;
        }
        cluster_facts.volume_classes = volume_classes(&self.caches);
        cluster_facts.storage_classes = Some(self.webhook_caches.storage_classes());
        cluster_facts
    }

    fn allowed(&self) -> Option<NamespacedName> {
        Some(self.scope.allowed.clone())
    }

    fn stored(&self, id: &NamespacedName) -> Option<Arc<Nats>> {
        let reference = ObjectRef::new(&id.name).within(&id.namespace);
        let cached = self.caches.nats.get(&reference)?;
        cached.0.as_ref().ok().map(|nats| Arc::new(nats.clone()))
    }
}
