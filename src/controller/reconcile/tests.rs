//! Reconciles on an apiserver stand-in: their cost if nothing changes, and leftovers of a deleted resource.

use std::{net::IpAddr, pin::pin, time::Duration};

use futures::future::select;
use kube::{Client, runtime::reflector::ObjectRef};
use nats_manager_api::ClusterDomain;
use nats_manager_harness::{
    MemoryApiserver,
    memory_apiserver::{NATS, STATEFUL_SETS},
};
use nats_manager_planner::{health::Assessment, testing};
use serde_json::{Value, json};
use tokio::{
    runtime::{Builder, Runtime},
    sync::Mutex,
    task::yield_now,
    time::timeout,
};

use super::*;
use crate::{
    controller::{
        context::{Backoff, predecessor::Predecessors},
        observe::cached_cluster_facts,
        ownership::Owner,
        poll::{PollMemory, Polls},
        status::StatusWriter,
    },
    settings::Images,
    telemetry::{Metrics, Readiness},
    watch::{Scope, WatchTasks, watch_all},
};

const NAMESPACE: &str = "kyma-system";
/// The builders of snapshots name the servers of this resource.
const NAME: &str = "n";
const SERVERS: u32 = 3;
const LIMIT: Duration = Duration::from_secs(30);
const CONFIG_MAPS: &str = "api/v1/configmaps";
const SECRETS: &str = "api/v1/secrets";
const PVCS: &str = "api/v1/persistentvolumeclaims";
/// Bytes of a page of nodes, as JSON and as objects, in the manager and in the stand-in, and the names of 1000 nodes.
const MOST_GROWTH: u64 = 3 << 20;
/// Rounds of events and writes in which a new cluster comes to rest.
const ROUNDS: usize = 20;

/// Cluster on a stand-in, with a healthy JetStream, and the state of its controller.
struct TestCluster {
    runtime: Runtime,
    apiserver: MemoryApiserver,
    context: Context,
    watches: WatchTasks,
}

/// Contents of a test cluster beside its servers.
#[derive(Clone, Copy, Default)]
struct Contents {
    streams: usize,
    other_nodes: usize,
    other_pods: usize,
}

impl TestCluster {
    /// Builds a cluster with a resource that was never reconciled. The caches are empty.
    fn new(contents: Contents) -> Self {
        let apiserver = MemoryApiserver::default();
        let spec = json!({"metadata": {"namespace": NAMESPACE, "name": NAME}, "spec": {}});
        apiserver.put(NATS, spec);
        apiserver.put_nodes(SERVERS as usize + contents.other_nodes);
        apiserver.put_other_pods(NAMESPACE, contents.other_pods);
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let (context, watches) = runtime.block_on(async { context(&apiserver.client()) });
        Self { runtime, apiserver, context, watches }
    }

    /// Builds a cluster with running servers, and reconciles it until nothing is written any more.
    fn at_rest(contents: Contents) -> Self {
        let mut cluster = Self::new(contents);
        cluster.fill_caches();
        cluster.reconcile(contents.streams);
        cluster.apiserver.run_servers(&id(), |ordinal| IpAddr::from([10, 0, 0, u8::try_from(ordinal).unwrap()]));
        for _ in 0..ROUNDS {
            cluster.fill_caches();
            cluster.apiserver.clear_received();
            cluster.reconcile(contents.streams);
            if cluster.writes().is_empty() {
                return cluster;
            }
        }
        panic!("the cluster does not come to rest: {:?}", cluster.writes());
    }

    /// Delivers all events to the caches.
    fn fill_caches(&mut self) {
        let caches = self.context.caches.clone();
        let delivered = async move {
            caches.filled().await;
            for _ in 0..1000 {
                yield_now().await;
            }
        };
        let driven = async { _ = select(&mut self.watches, pin!(delivered)).await };
        self.runtime.block_on(async { timeout(LIMIT, driven).await.unwrap() });
    }

    /// Reconciles once, with a poll that has just found a healthy JetStream with so many streams.
    fn reconcile(&self, streams: usize) {
        let caches = &self.context.caches;
        let nats = caches.nats.get(&ObjectRef::new(NAME).within(NAMESPACE)).unwrap();
        let mut memory = self.runtime.block_on(self.context.memory.lock());
        let observed = observe(caches, &self.context.scope.allowed, nats.0.as_ref().unwrap());
        if !observed.actual.pods.is_empty() {
            memory.polls = healthy(&observed, streams);
        }
        drop(memory);
        self.reconcile_again();
    }

    /// Reconciles once more, with the last poll.
    fn reconcile_again(&self) {
        self.try_reconcile().unwrap();
    }

    fn try_reconcile(&self) -> Result<(), ReconcileError> {
        let nats = self.context.caches.nats.get(&ObjectRef::new(NAME).within(NAMESPACE)).unwrap();
        self.runtime.block_on(async { timeout(LIMIT, reconcile(&nats, &self.context)).await.unwrap().map(drop) })
    }

    /// Returns the requests other than lists and watches.
    fn writes(&self) -> Vec<String> {
        let received = self.apiserver.received();
        let others = received.iter().filter(|request| !["list", "watch"].contains(&request.verb));
        others.map(|request| format!("{} {} {}", request.verb, request.resource, request.selected)).collect()
    }

    fn status(&self) -> Value {
        self.apiserver.get(NATS, NAMESPACE, NAME).unwrap()["status"].clone()
    }
}

fn id() -> NamespacedName {
    NamespacedName::new(NAMESPACE, NAME)
}

fn context(client: &Client) -> (Context, WatchTasks) {
    let scope = Scope { allowed: id(), own_namespace: NAMESPACE.to_owned(), domain: ClusterDomain::default() };
    let metrics = Metrics::new();
    let (caches, watches) = watch_all(client, &scope, &metrics, &Readiness::new());
    let image = |name: &str| format!("registry.example/{name}:2.14.2");
    let context = Context {
        client: client.clone(),
        caches: caches.clone(),
        scope,
        images: Images { nats: image("nats"), config_reloader: image("reloader"), exporter: image("exporter") },
        predecessors: Predecessors::new(metrics.clone()),
        status: StatusWriter::new(client.clone(), caches, None),
        metrics,
        backoff: Backoff::default(),
        polls: Polls::new(true),
        memory: Mutex::new(Memory::default()),
        nats_url: None,
    };
    (context, watches)
}

/// Builds the result of two polls of a healthy JetStream, the second of which has just been made.
fn healthy(observed: &crate::controller::observe::Observed, streams: usize) -> PollMemory {
    let stream = |index: usize| testing::stream(&format!("stream-{index}"));
    let snapshot = (0..streams).fold(testing::healthy_cluster(SERVERS), |all, index| all.with_stream(&stream(index)));
    let polled = |previous: Option<&Assessment>, taken_at| {
        let snapshot = nats_manager_planner::snapshot::JetStreamSnapshot { taken_at, ..snapshot.clone() };
        Assessment::next(previous, Arc::new(snapshot), &observed.actual)
    };
    let second = now();
    let first = polled(None, nats_manager_planner::Time::from_millis(second.as_millis() - 15_000));
    PollMemory::after(polled(Some(&first), second))
}

/// Counts the allocations of a reconcile that changes nothing.
fn allocations(contents: Contents) -> u64 {
    let cluster = TestCluster::at_rest(contents);
    assert_eq!(cluster.status()["state"], "Ready", "{:#}", cluster.status());
    cluster.apiserver.clear_received();
    let counted = allocation_counter::measure(|| cluster.reconcile_again());
    assert!(cluster.apiserver.received().is_empty(), "{:?}", cluster.apiserver.received());
    println!("{} allocations, {} bytes", counted.count_total, counted.bytes_total);
    counted.count_total
}

#[test]
fn unchanged_reconcile_allocates_no_more_than_recorded() {
    let mut beyond = Vec::new();
    for (streams, recorded) in [(0, 7495), (100, 12_471)] {
        let count = allocations(Contents { streams, ..Contents::default() });
        println!("{streams} streams: {count} allocations, recorded: {recorded}");
        if count * 10 > recorded * 11 {
            beyond.push(format!("{streams} streams: {count} allocations, more than 110 % of {recorded}"));
        }
    }
    assert!(beyond.is_empty(), "{beyond:#?}");
}

#[test]
fn unchanged_reconcile_costs_the_same_with_other_nodes_and_pods() {
    let small = allocations(Contents::default());
    let large = allocations(Contents { other_nodes: 1000, other_pods: 2000, ..Contents::default() });
    assert_eq!(large, small);
}

#[test]
fn first_lists_need_the_same_memory_with_other_nodes_and_pods() {
    let peak = |contents| {
        let mut cluster = TestCluster::new(contents);
        allocation_counter::measure(|| cluster.fill_caches()).bytes_max
    };
    let small = peak(Contents::default());
    let large = peak(Contents { other_nodes: 1000, other_pods: 2000, ..Contents::default() });
    println!("peak of the first lists: {small} bytes, with 1000 nodes and 2000 Pods: {large} bytes");
    assert!(large < small + MOST_GROWTH, "{small} {large}");
}

/// Deletes the resource with its children, except for those of one collection, and stores a resource with one server
/// under its name. The Pods are still running, since the garbage collector has not deleted them yet.
fn recreate(cluster: &TestCluster, leftover: &str) {
    let apiserver = &cluster.apiserver;
    apiserver.delete(NATS, NAMESPACE, NAME);
    delete_children(cluster, |collection| collection != leftover);
    (0..SERVERS).for_each(|ordinal| apiserver.delete(PVCS, NAMESPACE, &id().pvc(ordinal)));
    let metadata = json!({"namespace": NAMESPACE, "name": NAME, "creationTimestamp": "2026-01-02T00:00:00Z"});
    apiserver.put(NATS, json!({"metadata": metadata, "spec": {"cluster": {"size": 1}}}));
}

/// Deletes the children of the selected collections.
fn delete_children(cluster: &TestCluster, is_selected: impl Fn(&str) -> bool) {
    let id = id();
    let children = [
        (STATEFUL_SETS, id.name.clone()),
        (CONFIG_MAPS, id.config_map()),
        (SECRETS, id.secret()),
        ("api/v1/services", id.name.clone()),
        ("apis/networking.k8s.io/v1/networkpolicies", id.network_policy()),
        ("apis/policy/v1/poddisruptionbudgets", id.name.clone()),
    ];
    for (collection, name) in children.into_iter().filter(|(collection, _)| is_selected(collection)) {
        cluster.apiserver.delete(collection, NAMESPACE, &name);
    }
}

#[test]
fn recreated_resource_takes_no_decision_from_leftovers_of_the_deleted_one() {
    for leftover in [STATEFUL_SETS, CONFIG_MAPS, SECRETS, "none"] {
        let mut cluster = TestCluster::at_rest(Contents::default());
        let of_apiserver =
            |cluster: &TestCluster, collection, name: &str| cluster.apiserver.get(collection, NAMESPACE, name).unwrap();
        let account = |cluster: &TestCluster| of_apiserver(cluster, SECRETS, &id().secret())["data"].clone();
        let (old_account, old_uid) = (account(&cluster), of_apiserver(&cluster, NATS, NAME)["metadata"]["uid"].clone());
        recreate(&cluster, leftover);
        cluster.fill_caches();
        let (id, caches) = (id(), &cluster.context.caches);
        let new_uid = of_apiserver(&cluster, NATS, NAME)["metadata"]["uid"].clone();
        for (uid, is_deployed) in [("", false), (new_uid.as_str().unwrap(), false), (old_uid.as_str().unwrap(), true)] {
            let deployed = cached_cluster_facts(caches, &Owner { id: &id, uid }).deployed;
            assert_eq!(deployed.is_some(), is_deployed && leftover == STATEFUL_SETS, "{leftover} {uid}");
        }
        let first = cluster.try_reconcile();
        assert_eq!(matches!(first, Err(ReconcileError::Conflict(_))), leftover != "none", "{leftover}: {first:?}");
        delete_children(&cluster, |collection| collection == leftover);
        cluster.fill_caches();
        cluster.try_reconcile().unwrap();
        assert_ne!(account(&cluster), old_account, "{leftover}");
        assert_eq!(of_apiserver(&cluster, STATEFUL_SETS, NAME)["spec"]["replicas"], 1, "{leftover}");
        let config = of_apiserver(&cluster, CONFIG_MAPS, &id.config_map())["data"]["nats.conf"].to_string();
        assert!(!config.contains("routes"), "{leftover}: {config}");
        let status = cluster.status();
        assert_eq!(
            (&status["members"], &status["serversStarted"]),
            (&json!(1), &json!(false)),
            "{leftover}: {status:#}"
        );
        assert!(status.get("jetStream").is_none(), "{leftover}: {status:#}");
    }
}
