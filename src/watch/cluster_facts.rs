//! What around a NATS resource matters: zones of nodes, and whether Istio is there.

use std::{
    collections::BTreeMap,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
};

use futures::future::{Either, select};
use k8s_openapi::{
    api::core::v1::Node, apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DynamicObject, GroupVersionKind, PartialObjectMeta},
    runtime::watcher::{self, Config, Event},
};
use nats_manager_api::NamespacedName;
use tokio::sync::watch;

use super::{
    CachedObject, Caches, Trigger,
    task::{WatchTask, by_name, without_managed_fields},
};

pub(super) const SHOOT_INFO: &str = "shoot-info";
pub(super) const SHOOT_INFO_NAMESPACE: &str = "kube-system";

/// The well-known label (<https://kubernetes.io/docs/reference/labels-annotations-taints/>).
const ZONE_LABEL: &str = "topology.kubernetes.io/zone";
const DESTINATION_RULES: &str = "destinationrules.networking.istio.io";

/// The zone of each node; `None` for a node without the label.
#[derive(Debug, Default)]
pub struct Zones(Mutex<BTreeMap<String, Option<String>>>);

impl Zones {
    /// The zones as they are now.
    pub fn snapshot(&self) -> BTreeMap<String, Option<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes the map, and tells whether that made a difference: nodes report every few minutes,
    /// and their zones hardly ever change.
    fn change(&self, change: impl FnOnce(&mut BTreeMap<String, Option<String>>)) -> bool {
        let mut zones = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = zones.clone();
        change(&mut zones);
        *zones != before
    }
}

pub(super) async fn watch_nodes(task: WatchTask, client: Client, caches: Arc<Caches>) {
    let events =
        without_managed_fields(watcher::watcher(Api::<PartialObjectMeta<Node>>::all(client), Config::default()));
    let zone = |node: &PartialObjectMeta<Node>| (node.name_any(), node.labels().get(ZONE_LABEL).cloned());
    let mut listed = BTreeMap::new();
    task.run(events, |event| {
        let changed = match event {
            Event::Apply(node) => caches.zones.change(|zones| {
                zones.extend([zone(&node)]);
            }),
            Event::Delete(node) => caches.zones.change(|zones| {
                zones.remove(&node.name_any());
            }),
            Event::Init => {
                listed.clear();
                false
            }
            Event::InitApply(node) => {
                listed.extend([zone(&node)]);
                false
            }
            Event::InitDone => caches.zones.change(|zones| *zones = std::mem::take(&mut listed)),
        };
        changed.then_some(Trigger::All)
    })
    .await;
}

/// Istio's DestinationRules: whether the cluster knows them, and the one of our resource.
#[derive(Debug)]
pub struct Istio {
    installed: watch::Sender<bool>,
    /// The DestinationRule, where the cluster knows them.
    pub destination_rule: CachedObject<DynamicObject>,
}

impl Default for Istio {
    fn default() -> Self {
        Self { installed: watch::Sender::new(false), destination_rule: CachedObject::default() }
    }
}

impl Istio {
    /// The kind.
    pub fn resource() -> ApiResource {
        ApiResource::from_gvk(&GroupVersionKind::gvk("networking.istio.io", "v1beta1", "DestinationRule"))
    }

    /// Whether the cluster has DestinationRules.
    pub fn is_installed(&self) -> bool {
        *self.installed.borrow()
    }
}

/// Caches for the definition, which may come and go while we run, and while it is there for the
/// object.
pub(super) async fn watch_istio(task: WatchTask, client: Client, allowed: NamespacedName, caches: Arc<Caches>) {
    let objects = WatchTask { resource: "destinationrules", ..task.clone() };
    let definition = async {
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
                // One that is on its way out still lets its objects be applied, and waits for
                // them to be gone.
                Event::Apply(definition) | Event::InitApply(definition) => {
                    listed = true;
                    definition.metadata.deletion_timestamp.is_none()
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
            // The sender lives in `watches`, so these never fail.
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
    match select(pin!(definition), pin!(rule)).await {
        Either::Left(((), _)) | Either::Right(((), _)) => {}
    }
}
