//! Growth of the volumes, on the stand-in volume driver of `tests/cluster/resizer.go`.

use std::time::Duration;

use axum::http::Method;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;
use nats_manager_harness::{NatsServer, Seen, eventually};
use serde_json::{Value, json};

use crate::{
    manager::ManagerOptions,
    objects::{CONFIG_MAP, STATEFUL_SET},
    proxy::{Fault, Proxy},
    world::{TIMEOUT, World, condition},
};

const FIRST_PVC: &str = "eventing-nats-js-pvc-eventing-nats-0";
const LAST_PVC: &str = "eventing-nats-js-pvc-eventing-nats-2";
const REQUEST: &str = "/spec/volumeClaimTemplates/0/spec/resources/requests/storage";

/// Timeout of an expansion: a rejected request is repeated after a minute.
const EXPANDED: Duration = Duration::from_mins(2);

/// Three servers on a StorageClass of their own, and what must not change while their volumes grow.
struct Cluster {
    class: &'static str,
    set: Value,
    pods: Vec<Option<String>>,
    options: ManagerOptions,
    _server: NatsServer,
}

impl Cluster {
    /// Creates the servers with volumes of 1Gi of a class that expands in a way. The manager ends.
    async fn new(world: &World, class: &'static str, expansion: &str) -> Self {
        world.create_expandable_storage_class(class).await;
        world.set_expansion(class, expansion).await;
        let (server, options) = world.nats_server().await;
        let manager = world.manager_with(&options).await;
        world.create(json!({"jetStream": {"fileStorage": {"storageClassName": class}}})).await;
        world.is_ready_for_the_newest_spec().await;
        manager.terminate().await.unwrap();
        let pods = world.pods().await.iter().map(ResourceExt::uid).collect();
        Self { class, set: STATEFUL_SET.get(world).await, pods, options, _server: server }
    }

    /// Waits until everything has 2Gi, and checks that the StatefulSet is another one with the same Pods.
    async fn is_expanded(&self, world: &World) {
        self.has_sizes(world, ["2Gi"; 3]).await;
    }

    /// Waits until the volumes have these sizes and everything else has 2Gi, and checks the same as `is_expanded`.
    async fn has_sizes(&self, world: &World, sizes: [&str; 3]) {
        eventually("volumes, StatefulSet and file store have the new size", EXPANDED, || async {
            let set = STATEFUL_SET.api(world).get_opt(STATEFUL_SET.name).await?;
            let set = set.map(|set| serde_json::to_value(set).unwrap()).unwrap_or_default();
            let is_new = set["metadata"]["uid"] != self.set["metadata"]["uid"];
            let (request, config) =
                (set.pointer(REQUEST), CONFIG_MAP.get(world).await["data"]["nats.conf"].to_string());
            let capacities = capacities(&world.pvcs().await);
            // 85 % of 2Gi.
            let is_raised = config.contains("max_file_store: 1740Mi");
            Ok::<_, kube::Error>(if is_new && is_raised && capacities == sizes && request == Some(&json!("2Gi")) {
                Seen::Done(())
            } else {
                Seen::NotYet(format!("{capacities:?}, template {request:?}, new {is_new}, file store {is_raised}"))
            })
        })
        .await;
        world
            .status_becomes("no operation is left", |status| {
                let stalled = condition(status, "Stalled");
                status.operation.is_none() && stalled.is_some_and(|(holds, ..)| holds == "False")
            })
            .await;
        world.is_ready_for_the_newest_spec().await;
        assert_eq!(world.pods().await.iter().map(ResourceExt::uid).collect::<Vec<_>>(), self.pods);
        world.delete_storage_class(self.class).await;
    }
}

async fn raise(world: &World) {
    world.patch(json!({"spec": {"jetStream": {"fileStorage": {"size": "2Gi"}}}})).await.unwrap();
}

fn capacities(pvcs: &[PersistentVolumeClaim]) -> Vec<String> {
    let capacity = |pvc: &PersistentVolumeClaim| pvc.status.as_ref()?.capacity.as_ref()?.get("storage").cloned();
    pvcs.iter().filter_map(capacity).map(|size| size.0).collect()
}

/// Waits until the operation waits for this.
async fn waits_for(world: &World, cause: &str) {
    let status = world
        .status_becomes(cause, |status| {
            let operation = status.operation.as_ref();
            operation.is_some_and(|operation| operation.waiting_for.as_deref() == Some(cause))
        })
        .await;
    let operation = status.operation.as_ref().unwrap();
    assert_eq!((operation.type_.as_str(), operation.step.as_str()), ("ExpandVolumes", "ExpandPvc"));
    let (holds, reason, _) = condition(&status, "Reconciling").unwrap();
    assert_eq!((holds.as_str(), reason.as_str()), ("True", "ExpandVolumes"));
}

/// Waits until the expansion is blocked by a cause, which the message names with the PVC.
async fn is_blocked(world: &World, pvc: &str, cause: &str) {
    world
        .status_becomes(&format!("the expansion is blocked: {cause}"), |status| {
            let stalled = condition(status, "Stalled");
            stalled.is_some_and(|(holds, reason, message)| {
                holds == "True"
                    && reason == "VolumeExpansionBlocked"
                    && message.contains(pvc)
                    && message.contains(cause)
            })
        })
        .await;
}

#[tokio::test]
async fn volumes_grow_step_by_step_without_a_restart() {
    let world = World::new().await;
    let cluster = Cluster::new(&world, "stepwise", "holds").await;
    let _manager = world.manager_with(&cluster.options).await;
    raise(&world).await;
    waits_for(&world, &format!("the volume of PVC {FIRST_PVC} to grow")).await;
    world.set_expansion(cluster.class, "restart").await;
    waits_for(&world, &format!("the file system of PVC {FIRST_PVC} to grow")).await;
    world.set_expansion(cluster.class, "online").await;
    cluster.is_expanded(&world).await;
}

#[tokio::test]
async fn volume_that_the_driver_cannot_expand_is_named_until_it_can() {
    let world = World::new().await;
    let cluster = Cluster::new(&world, "limited", "fails").await;
    let _manager = world.manager_with(&cluster.options).await;
    raise(&world).await;
    is_blocked(&world, FIRST_PVC, "the requested size is above the maximum of the provider").await;
    world.set_expansion(cluster.class, "online").await;
    cluster.is_expanded(&world).await;
}

#[tokio::test]
async fn volume_above_the_quota_is_named_until_the_quota_allows_it() {
    let world = World::new().await;
    let cluster = Cluster::new(&world, "quota", "online").await;
    let quota = json!({
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "storage"},
        "spec": {"hard": {"requests.storage": "5Gi"}},
    });
    world.apply(&quota).await;
    eventually("the quota counts the PVCs", TIMEOUT, || async {
        let used =
            world.kubectl(&["get", "quota", "storage", "-n", "kyma-system", "-o", "jsonpath={.status.used}"]).await?;
        if used.contains("3Gi") { Ok(Seen::Done(())) } else { Ok::<_, String>(Seen::NotYet(used)) }
    })
    .await;
    let _manager = world.manager_with(&cluster.options).await;
    raise(&world).await;
    is_blocked(&world, "eventing-nats-js-pvc-eventing-nats-", "exceeded quota: storage").await;
    world.remove(&quota).await;
    cluster.is_expanded(&world).await;
}

#[tokio::test]
async fn volumes_that_a_user_has_expanded_are_adopted() {
    let world = World::new().await;
    let cluster = Cluster::new(&world, "by-hand", "online").await;
    let larger = |size: &str| json!({"spec": {"resources": {"requests": {"storage": size}}}});
    world.change_pvc(LAST_PVC, larger("2Gi")).await;
    eventually("the volume has grown", TIMEOUT, || async {
        capacities(&world.pvcs().await).contains(&"2Gi".to_owned())
    })
    .await;
    let _manager = world.manager_with(&cluster.options).await;
    raise(&world).await;
    cluster.is_expanded(&world).await;
}

#[tokio::test]
async fn smallest_volume_decides_the_file_store() {
    let world = World::new().await;
    let cluster = Cluster::new(&world, "unequal", "online").await;
    world.change_pvc(FIRST_PVC, json!({"spec": {"resources": {"requests": {"storage": "3Gi"}}}})).await;
    let _manager = world.manager_with(&cluster.options).await;
    raise(&world).await;
    cluster.has_sizes(&world, ["3Gi", "2Gi", "2Gi"]).await;
}

#[tokio::test]
async fn volumes_grow_although_the_manager_is_killed_after_each_write() {
    let world = World::new().await;
    let cluster = Cluster::new(&world, "killed", "online").await;
    let proxy = Proxy::start(&world).await;
    let restart = || async { cluster.options.spawn(proxy.kubeconfig(), world.cluster.folder()).ready().await };
    raise(&world).await;
    let (set, config) = ("statefulsets/eventing-nats", "configmaps/eventing-nats-config");
    for (method, path_end, fault) in [
        // The first two PVCs are written, the last one is not.
        (Method::PATCH, LAST_PVC, Fault::Hang),
        // Each write takes effect, and the manager ends without its response.
        (Method::PATCH, LAST_PVC, Fault::HangAfterwards),
        (Method::PATCH, config, Fault::HangAfterwards),
        (Method::DELETE, set, Fault::HangAfterwards),
        (Method::PATCH, set, Fault::HangAfterwards),
    ] {
        proxy.break_requests(method.clone(), path_end, fault);
        let manager = restart().await;
        eventually(&format!("{method} {path_end} is lost"), TIMEOUT, || async { proxy.fault_count() > 0 }).await;
        manager.kill().await.unwrap();
        proxy.remove_faults();
        world.clear_lease().await;
    }
    // A manager that ended between the deletion and the creation leaves Pods without a StatefulSet.
    let orphan = ["delete", "statefulset", "-n", "kyma-system", "eventing-nats", "--cascade=orphan"];
    world.kubectl(&orphan).await.unwrap();
    let _manager = restart().await;
    cluster.is_expanded(&world).await;
}
