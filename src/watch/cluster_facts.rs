//! Cluster facts from watches: zones of the nodes, and presence of Istio.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::future::{Either, select};
use k8s_openapi::{
    api::core::v1::Node, apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DynamicObject, GroupVersionKind, PartialObjectMeta},
    runtime::watcher::{self, Event},
};
use nats_manager_api::NamespacedName;
use tokio::sync::watch;

use super::{
    CachedObject, Caches, Trigger,
    task::{WatchTask, by_name, mostly_others, without_managed_fields},
};

pub(super) const SHOOT_INFO: &str = "shoot-info";
pub(super) const SHOOT_INFO_NAMESPACE: &str = "kube-system";

/// Well-known label of a node's zone (<https://kubernetes.io/docs/reference/labels-annotations-taints/>).
const ZONE_LABEL: &str = "topology.kubernetes.io/zone";
const DESTINATION_RULES: &str = "destinationrules.networking.istio.io";

/// Zone by the name of a node, `None` for a node without the label.
pub(crate) type ZonesByNode = BTreeMap<String, Option<String>>;

/// Zones of all nodes. They hardly ever change, so they are counted then: the cost of reading them, which each reconcile
/// and each review does, does not grow with the nodes.
#[derive(Debug, Default)]
pub struct Zones(Mutex<CountedZones>);

#[derive(Debug, Default)]
struct CountedZones {
    by_node: Arc<ZonesByNode>,
    /// Number of different zones.
    count: usize,
}

impl Zones {
    /// Returns the zones of all nodes, which the snapshot shares.
    pub fn snapshot(&self) -> Arc<ZonesByNode> {
        self.zones().by_node.clone()
    }

    /// Returns the number of different zones.
    pub fn count(&self) -> usize {
        self.zones().count
    }

    /// Sets the zone of a node, and returns whether it differs: nodes report every few minutes, and their zones hardly
    /// ever change.
    fn set(&self, node: &str, zone: Option<&String>) -> bool {
        let mut zones = self.zones();
        let is_different = zones.by_node.get(node).map(Option::as_ref) != Some(zone);
        if is_different {
            Arc::make_mut(&mut zones.by_node).insert(node.to_owned(), zone.cloned());
            zones.recount();
        }
        is_different
    }

    /// Removes a node, and returns whether it was there.
    fn remove(&self, node: &str) -> bool {
        let mut zones = self.zones();
        let is_known = zones.by_node.contains_key(node);
        if is_known {
            Arc::make_mut(&mut zones.by_node).remove(node);
            zones.recount();
        }
        is_known
    }

    /// Replaces all nodes, and returns whether they differ.
    fn replace(&self, listed: ZonesByNode) -> bool {
        let mut zones = self.zones();
        let is_different = *zones.by_node != listed;
        if is_different {
            zones.by_node = Arc::new(listed);
            zones.recount();
        }
        is_different
    }

    fn zones(&self) -> MutexGuard<'_, CountedZones> {
        // Each change is complete in itself, so the zones are consistent even after a panic elsewhere.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CountedZones {
    fn recount(&mut self) {
        // `collect` would keep the zone of each node until it knows which are equal.
        let mut distinct = BTreeSet::new();
        self.by_node.values().flatten().for_each(|zone| _ = distinct.insert(zone));
        self.count = distinct.len();
    }
}

pub(super) async fn watch_nodes(task: WatchTask, client: Client, caches: Arc<Caches>) {
    let events = without_managed_fields(watcher::watcher(Api::<PartialObjectMeta<Node>>::all(client), mostly_others()));
    let zone = |node: &PartialObjectMeta<Node>| node.labels().get(ZONE_LABEL).cloned();
    let mut listed = ZonesByNode::new();
    task.run(events, |event| {
        let changed = match event {
            Event::Apply(node) => caches.zones.set(&node.name_any(), zone(&node).as_ref()),
            Event::Delete(node) => caches.zones.remove(&node.name_any()),
            Event::Init => {
                listed.clear();
                false
            }
            Event::InitApply(node) => {
                listed.insert(node.name_any(), zone(&node));
                false
            }
            Event::InitDone => caches.zones.replace(std::mem::take(&mut listed)),
        };
        changed.then_some(Trigger::All)
    })
    .await;
}

/// Istio's DestinationRules: presence of their CRD, and the one of the served resource.
#[derive(Debug)]
pub struct Istio {
    installed: watch::Sender<bool>,
    /// DestinationRule of the served resource, if the CRD exists.
    pub destination_rule: CachedObject<DynamicObject>,
}

impl Default for Istio {
    fn default() -> Self {
        Self { installed: watch::Sender::new(false), destination_rule: CachedObject::default() }
    }
}

impl Istio {
    /// Returns group, version and kind of DestinationRules.
    pub fn resource() -> ApiResource {
        ApiResource::from_gvk(&GroupVersionKind::gvk("networking.istio.io", "v1beta1", "DestinationRule"))
    }

    /// Returns whether the cluster has the CRD of DestinationRules.
    pub fn is_installed(&self) -> bool {
        *self.installed.borrow()
    }
}

/// Watches the CRD, which may come and go at runtime, and the object while the CRD exists.
pub(super) async fn watch_istio(task: WatchTask, client: Client, allowed: NamespacedName, caches: Arc<Caches>) {
    let objects = WatchTask { resource: "destinationrules", ..task.clone() };
    let crd = async {
        let api = Api::<PartialObjectMeta<CustomResourceDefinition>>::all(client.clone());
        let events = without_managed_fields(watcher::watcher(api, by_name(DESTINATION_RULES)));
        let mut listed = false;
        task.run(events, |event| {
            let installed = match event {
                Event::Init => {
                    listed = false;
                    return None;
                }
                Event::InitDone if listed => return None,
                Event::InitDone | Event::Delete(_) => false,
                // A CRD in deletion still accepts objects, and stays until they are gone.
                Event::Apply(crd) | Event::InitApply(crd) => {
                    listed = true;
                    crd.metadata.deletion_timestamp.is_none()
                }
            };
            let changed = caches.istio.installed.send_if_modified(|known| {
                let changed = *known != installed;
                *known = installed;
                changed
            });
            changed.then_some(Trigger::All)
        })
        .await;
    };
    let rule = async {
        let mut installed = caches.istio.installed.subscribe();
        loop {
            // The sender lives in `caches`, so these never fail.
            let _ = installed.wait_for(|installed| *installed).await;
            let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &allowed.namespace, &Istio::resource());
            let events = without_managed_fields(watcher::watcher(api, by_name(&allowed.name)));
            let watch_tasks = objects.clone().watch_named(events, &caches.istio.destination_rule);
            let mut removed = installed.clone();
            let gone = removed.wait_for(|installed| !*installed);
            drop(select(pin!(watch_tasks), pin!(gone)).await);
            caches.istio.destination_rule.gone();
        }
    };
    match select(pin!(crd), pin!(rule)).await {
        Either::Left(((), _)) | Either::Right(((), _)) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn count_follows_every_change_of_nodes() {
        let (a, b) = (Some("zone-a".to_owned()), Some("zone-b".to_owned()));
        let zones = Zones::default();
        assert_eq!(zones.count(), 0);
        for (node, zone, count) in [("1", &a, 1), ("2", &a, 1), ("3", &None, 1), ("2", &b, 2)] {
            assert!(zones.set(node, zone.as_ref()));
            assert_eq!(zones.count(), count, "{node} in {zone:?}");
        }
        assert!(!zones.set("2", b.as_ref()));
        assert!(zones.remove("2") && !zones.remove("2"));
        assert_eq!(zones.count(), 1);
        let listed = ZonesByNode::from([("4".to_owned(), a), ("5".to_owned(), b), ("6".to_owned(), None)]);
        assert!(zones.replace(listed.clone()) && !zones.replace(listed));
        assert_eq!((zones.count(), zones.snapshot().len()), (2, 3));
        assert!(zones.replace(ZonesByNode::new()));
        assert_eq!(zones.count(), 0);
    }
}
