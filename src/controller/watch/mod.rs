//! What the apiserver tells us by itself: every fact that a reconcile needs is in memory before it.
//!
//! Watches are narrow. A NATS resource has children with fixed names, so each is watched by its
//! name: that needs the least permission, and shows a child too that lost its labels or was made by
//! somebody else.

mod cluster_facts;
mod echo;
mod feed;
mod follow;
mod named;
mod pods;
mod pvcs;

use std::sync::Arc;

use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::StatefulSet,
        core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret, Service},
        policy::v1::PodDisruptionBudget,
    },
};
use kube::{
    Api, Client, Resource,
    core::DeserializeGuard,
    runtime::{
        reflector::{self, ObjectRef, Store},
        watcher::{Config, Event},
    },
};
use nats_manager_api::{NamespacedName, Nats};
use serde::de::DeserializeOwned;
use tokio::sync::broadcast;

pub(crate) use self::feed::Feed;
pub(crate) use self::follow::{Follower, by_name, events, lean};
pub use self::{
    cluster_facts::{Istio, Zones},
    echo::LastWords,
    named::{Named, is_older},
};
use crate::{
    controller::predecessor,
    telemetry::{Metrics, Readiness},
};

/// A NATS resource, readable or not: one that is not must not hide the others.
pub type GuardedNats = DeserializeGuard<Nats>;

/// Whom an event concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wake {
    /// One NATS resource.
    One(ObjectRef<GuardedNats>),
    /// Every NATS resource: a child, a node, or anything else around them changed.
    All,
}

/// Where things are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// The one NATS resource that is deployed.
    pub allowed: NamespacedName,
    /// The manager's own namespace.
    pub own_namespace: String,
}

/// The caches, each filled by a watch.
#[derive(Debug)]
pub struct Watches {
    /// Every NATS resource of the cluster.
    pub nats: Store<GuardedNats>,
    /// The Secret with the system account.
    pub secret: Named<Secret>,
    /// The ConfigMap with `nats.conf`.
    pub config_map: Named<ConfigMap>,
    /// The headless Service.
    pub service: Named<Service>,
    /// The servers.
    pub stateful_set: Named<StatefulSet>,
    /// Their disruption budget.
    pub pod_disruption_budget: Named<PodDisruptionBudget>,
    /// The pods of the servers.
    pub pods: Store<Pod>,
    /// The PVCs of the servers, by their exact names.
    pub pvcs: Store<PersistentVolumeClaim>,
    /// The zones of the nodes.
    pub zones: Zones,
    /// Gardener's `shoot-info`, which names the cloud provider.
    pub shoot_info: Named<ConfigMap>,
    /// Istio, as far as it is installed.
    pub istio: Istio,
    /// Pods of the predecessor.
    pub predecessors: Store<Pod>,
    /// What we wrote into a status last.
    pub last_words: LastWords,
    feed: Feed,
}

/// A future that never ends by itself: all watches.
pub type Following = BoxFuture<'static, ()>;

/// Starts all watches. Poll the future, or nothing is ever cached. Each watch adds a check to
/// `readiness` that passes with its first list.
pub fn watches(
    client: &Client,
    places: &Places,
    metrics: &Metrics,
    readiness: &Readiness,
) -> (Arc<Watches>, Following) {
    let feed = Feed::new();
    let follower = |resource, cache| feed.follower((resource, cache), metrics, readiness);
    let (nats, nats_writer) = reflector::store();
    let (pods, pods_writer) = reflector::store();
    let (pvcs, pvcs_writer) = reflector::store();
    let (predecessors, predecessors_writer) = reflector::store();
    let watches = Arc::new(Watches {
        nats,
        secret: Named::default(),
        config_map: Named::default(),
        service: Named::default(),
        stateful_set: Named::default(),
        pod_disruption_budget: Named::default(),
        pods,
        pvcs,
        zones: Zones::default(),
        shoot_info: Named::default(),
        istio: Istio::default(),
        predecessors,
        last_words: LastWords::default(),
        feed: feed.clone(),
    });
    let NamespacedName { namespace, name } = places.allowed.clone();
    let allowed = &places.allowed;
    let all = FuturesUnordered::new();
    let nats_api = Api::all(client.clone());
    all.push(follow_nats(follower("nats", "nats"), nats_api, nats_writer, watches.clone()).boxed());
    all.push(child(follower("secrets", "secret"), client, &namespace, &allowed.secret(), &watches, |all| &all.secret));
    all.push(child(follower("configmaps", "configmap"), client, &namespace, &allowed.config_map(), &watches, |all| {
        &all.config_map
    }));
    all.push(child(follower("services", "service"), client, &namespace, &name, &watches, |all| &all.service));
    all.push(child(follower("statefulsets", "statefulset"), client, &namespace, &name, &watches, |all| {
        &all.stateful_set
    }));
    all.push(child(
        follower("poddisruptionbudgets", "poddisruptionbudget"),
        client,
        &namespace,
        &name,
        &watches,
        |all| &all.pod_disruption_budget,
    ));
    all.push(child(
        follower("configmaps", "shoot-info"),
        client,
        cluster_facts::SHOOT_INFO_NAMESPACE,
        cluster_facts::SHOOT_INFO,
        &watches,
        |all| &all.shoot_info,
    ));
    let pods_config = Config::default().labels(&allowed.label_query());
    let pods_api = Api::namespaced(client.clone(), &namespace);
    all.push(pods::follow_pods(follower("pods", "pods"), pods_api, pods_config, pods_writer).boxed());
    let pvcs_api = Api::namespaced(client.clone(), &namespace);
    let pvcs_follower = follower("persistentvolumeclaims", "persistentvolumeclaims");
    all.push(pvcs::follow_pvcs(pvcs_follower, pvcs_api, allowed.clone(), pvcs_writer).boxed());
    let config = predecessor::watch_config();
    let api = Api::namespaced(client.clone(), &places.own_namespace);
    all.push(pods::follow_pods(follower("pods", "manager-pods"), api, config, predecessors_writer).boxed());
    all.push(cluster_facts::follow_nodes(follower("nodes", "nodes"), client.clone(), watches.clone()).boxed());
    let istio = follower("customresourcedefinitions", "istio");
    all.push(cluster_facts::follow_istio(istio, client.clone(), allowed.clone(), watches.clone()).boxed());
    (watches, all.collect::<()>().boxed())
}

impl Watches {
    /// Whom events concern from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Wake> {
        self.feed.subscribe()
    }

    /// Resolves when every watch has delivered its first list.
    pub async fn filled(&self) {
        self.feed.filled().await;
    }
}

fn child<K>(
    follower: Follower,
    client: &Client,
    namespace: &str,
    name: &str,
    watches: &Arc<Watches>,
    slot: fn(&Watches) -> &Named<K>,
) -> Following
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned,
    K: std::fmt::Debug + Send + Sync + 'static,
{
    let events = events::<K>(Api::namespaced(client.clone(), namespace), by_name(name));
    let watches = watches.clone();
    async move { follower.follow_named(events, slot(&watches)).await }.boxed()
}

async fn follow_nats(
    follower: Follower,
    api: Api<GuardedNats>,
    mut writer: reflector::store::Writer<GuardedNats>,
    watches: Arc<Watches>,
) {
    let events = events(api, Config::default());
    follower
        .follow(events, move |event| {
            let echo = matches!(&event, Event::Apply(nats) if {
                let before = watches.nats.get(&ObjectRef::from_obj(nats));
                watches.last_words.are_in(nats, before.as_deref())
            });
            writer.apply_watcher_event(&event);
            match event {
                Event::Apply(_) if echo => None,
                Event::Apply(nats) | Event::Delete(nats) => Some(Wake::One(ObjectRef::from_obj(&nats))),
                Event::InitDone => Some(Wake::All),
                Event::Init | Event::InitApply(_) => None,
            }
        })
        .await;
}
