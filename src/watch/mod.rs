//! Watches of the apiserver: every fact that a reconcile needs is in memory before it.
//!
//! Watches are narrow. The children of a NATS resource have fixed names, so each is watched by its name. That requires
//! the least permission, and covers a child that lost its labels or was created by others.

mod cached_object;
mod cluster_facts;
mod group;
mod own_writes;
mod pods;
mod predecessor;
mod pvcs;
mod task;

use std::sync::Arc;

use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::StatefulSet,
        core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret, Service},
        networking::v1::NetworkPolicy,
        policy::v1::PodDisruptionBudget,
    },
};
use kube::{
    Api, Client, Resource,
    core::DeserializeGuard,
    runtime::{
        WatchStreamExt,
        reflector::{self, ObjectRef, Store},
        watcher::{self, Config, Event},
    },
};
use nats_manager_api::{ClusterDomain, NamespacedName, Nats, applied};
use serde::de::DeserializeOwned;
use tokio::sync::broadcast;

pub(crate) use self::group::WatchGroup;
#[cfg(test)]
pub(crate) use self::pods::keep_needed_fields;
use self::task::with_backoff;
pub(crate) use self::task::{WatchTask, by_name, events, owns_replicas, without_managed_fields};
pub(crate) use self::{
    cached_object::{CachedObject, is_older},
    cluster_facts::{Istio, Zones, ZonesByNode},
    own_writes::OwnStatusWrites,
};
use crate::telemetry::{Metrics, Readiness};

/// NATS resource, readable or not: an unreadable one must not hide the others.
pub(crate) type GuardedNats = DeserializeGuard<Nats>;

/// Resources that an event concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trigger {
    One(ObjectRef<GuardedNats>),
    /// Every NATS resource, after a change of a child, a node, or any other cluster fact.
    All,
}

/// Scope of the manager in the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// The one NATS resource that is deployed.
    pub allowed: NamespacedName,
    /// Namespace of the manager itself.
    pub own_namespace: String,
    /// DNS domain of the Kubernetes cluster.
    pub domain: ClusterDomain,
}

/// Caches, each filled by a watch.
#[derive(Debug)]
pub struct Caches {
    /// DNS domain of the Kubernetes cluster, a setting.
    pub domain: ClusterDomain,
    /// NATS resources of the whole cluster.
    pub nats: Store<GuardedNats>,
    /// Secret with the system account.
    pub secret: CachedObject<Secret>,
    /// ConfigMap with `nats.conf`.
    pub config_map: CachedObject<ConfigMap>,
    /// Headless Service of the servers.
    pub service: CachedObject<Service>,
    /// NetworkPolicy of the servers.
    pub network_policy: CachedObject<NetworkPolicy>,
    pub stateful_set: CachedObject<StatefulSet>,
    pub pod_disruption_budget: CachedObject<PodDisruptionBudget>,
    /// Pods of the servers, by their labels.
    pub pods: Store<Pod>,
    /// PVCs of the servers, by their exact names.
    pub pvcs: Store<PersistentVolumeClaim>,
    pub zones: Zones,
    /// Gardener's `shoot-info`, which names the cloud provider.
    pub shoot_info: CachedObject<ConfigMap>,
    /// Istio's DestinationRules, if Istio is installed.
    pub istio: Istio,
    /// Pods of the predecessor.
    pub predecessors: Store<Pod>,
    pub own_status_writes: OwnStatusWrites,
    group: WatchGroup,
}

/// Future of all watches, which never ends by itself.
pub(crate) type WatchTasks = BoxFuture<'static, ()>;

/// Prepares all watches. Nothing is cached until the future is polled. Each watch adds a check to `readiness` that
/// passes with its first list.
pub(crate) fn watch_all(
    client: &Client,
    scope: &Scope,
    metrics: &Metrics,
    readiness: &Readiness,
) -> (Arc<Caches>, WatchTasks) {
    let group = WatchGroup::new();
    let task = |resource, cache| group.task(resource, cache, metrics, readiness);
    let (nats, nats_writer) = reflector::store();
    let (pods, pods_writer) = reflector::store();
    let (pvcs, pvcs_writer) = reflector::store();
    let (predecessors, predecessors_writer) = reflector::store();
    let caches = Arc::new(Caches {
        domain: scope.domain.clone(),
        nats,
        secret: CachedObject::default(),
        config_map: CachedObject::default(),
        service: CachedObject::default(),
        network_policy: CachedObject::default(),
        stateful_set: CachedObject::default(),
        pod_disruption_budget: CachedObject::default(),
        pods,
        pvcs,
        zones: Zones::default(),
        shoot_info: CachedObject::default(),
        istio: Istio::default(),
        predecessors,
        own_status_writes: OwnStatusWrites::default(),
        group: group.clone(),
    });
    let NamespacedName { namespace, name } = scope.allowed.clone();
    let allowed = &scope.allowed;
    let all = FuturesUnordered::new();
    let nats_api = Api::all(client.clone());
    all.push(watch_nats(task("nats", "nats"), nats_api, nats_writer, caches.clone()).boxed());
    all.push(child(task("secrets", "secret"), client, &namespace, &allowed.secret(), &caches, |all| &all.secret));
    all.push(child(task("configmaps", "configmap"), client, &namespace, &allowed.config_map(), &caches, |all| {
        &all.config_map
    }));
    all.push(child(task("services", "service"), client, &namespace, &name, &caches, |all| &all.service));
    let policy = task("networkpolicies", "networkpolicy");
    all.push(child(policy, client, &namespace, &allowed.network_policy(), &caches, |all| &all.network_policy));
    all.push(child(task("statefulsets", "statefulset"), client, &namespace, &name, &caches, |all| &all.stateful_set));
    all.push(child(task("poddisruptionbudgets", "poddisruptionbudget"), client, &namespace, &name, &caches, |all| {
        &all.pod_disruption_budget
    }));
    all.push(child(
        task("configmaps", "shoot-info"),
        client,
        cluster_facts::SHOOT_INFO_NAMESPACE,
        cluster_facts::SHOOT_INFO,
        &caches,
        |all| &all.shoot_info,
    ));
    let pods_config = Config::default().labels(&allowed.label_query());
    let pods_api = Api::namespaced(client.clone(), &namespace);
    all.push(pods::watch_pods(task("pods", "pods"), pods_api, pods_config, pods_writer).boxed());
    let pvcs_api = Api::namespaced(client.clone(), &namespace);
    let pvcs_task = task("persistentvolumeclaims", "persistentvolumeclaims");
    all.push(pvcs::watch_pvcs(pvcs_task, pvcs_api, allowed.clone(), pvcs_writer).boxed());
    let config = predecessor::selector();
    let api = Api::namespaced(client.clone(), &scope.own_namespace);
    all.push(pods::watch_pods(task("pods", "manager-pods"), api, config, predecessors_writer).boxed());
    all.push(cluster_facts::watch_nodes(task("nodes", "nodes"), client.clone(), caches.clone()).boxed());
    let istio = task("customresourcedefinitions", "istio");
    all.push(cluster_facts::watch_istio(istio, client.clone(), allowed.clone(), caches.clone()).boxed());
    (caches, all.collect::<()>().boxed())
}

impl Caches {
    /// Subscribes to the triggers from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Trigger> {
        self.group.subscribe()
    }

    /// Resolves when every watch has delivered its first list.
    pub async fn filled(&self) {
        self.group.filled().await;
    }
}

fn child<K>(
    task: WatchTask,
    client: &Client,
    namespace: &str,
    name: &str,
    caches: &Arc<Caches>,
    slot: fn(&Caches) -> &CachedObject<K>,
) -> WatchTasks
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned,
    K: std::fmt::Debug + Send + Sync + 'static,
{
    let events = events::<K>(Api::namespaced(client.clone(), namespace), by_name(name));
    let caches = caches.clone();
    async move { task.watch_named(events, slot(&caches)).await }.boxed()
}

async fn watch_nats(
    task: WatchTask,
    api: Api<GuardedNats>,
    mut writer: reflector::store::Writer<GuardedNats>,
    caches: Arc<Caches>,
) {
    let events = with_backoff(watcher::watcher(api, Config::default())).modify(keep_applied_fields);
    task.run(events, move |event| {
        let is_own_write = matches!(&event, Event::Apply(nats) if {
            let before = caches.nats.get(&ObjectRef::from_obj(nats));
            caches.own_status_writes.is_own_write(nats, before.as_deref())
        });
        writer.apply_watcher_event(&event);
        match event {
            Event::Apply(_) if is_own_write => None,
            Event::Apply(nats) | Event::Delete(nats) => Some(Trigger::One(ObjectRef::from_obj(&nats))),
            Event::InitDone => Some(Trigger::All),
            Event::Init | Event::InitApply(_) => None,
        }
    })
    .await;
}

/// Drops the managed fields of updates. Those of applies show which fields users set.
fn keep_applied_fields(nats: &mut GuardedNats) {
    let managed = nats.meta_mut().managed_fields.iter_mut();
    managed.for_each(|all| all.retain(|entry| entry.operation.as_deref() == Some(applied::APPLY)));
}
