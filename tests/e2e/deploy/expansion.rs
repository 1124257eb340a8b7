//! Growth of the volumes, on the stand-in volume driver of `tests/cluster/resizer.go`.

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
        manager.kill().await.unwrap();
        let pods = world.pods().await.iter().map(ResourceExt::uid).collect();
        Self { class, set: STATEFUL_SET.get(world).await, pods, options, _server: server }
    }

    /// Waits until everything has 2Gi, and checks that the StatefulSet is another one with the same Pods.
    async fn is_expanded(&self, world: &World) {
        let status = world.is_ready_for_the_newest_spec().await;
        assert_eq!((condition(&status, "Stalled").unwrap().0.as_str(), status.operation), ("False", None));
        assert_eq!(capacities(&world.pvcs().await), ["2Gi"; 3]);
        let set = STATEFUL_SET.get(world).await;
        assert_eq!(set.pointer(REQUEST), Some(&json!("2Gi")));
        assert_ne!(set["metadata"]["uid"], self.set["metadata"]["uid"]);
        // 85 % of 2Gi.
        let config = CONFIG_MAP.get(world).await["data"]["nats.conf"].to_string();
        assert!(config.contains("max_file_store: 1740Mi"), "{config}");
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
async fn volumes_grow_although_the_manager_is_killed_after_each_write() {
    let world = World::new().await;
    let cluster = Cluster::new(&world, "killed", "online").await;
    let proxy = Proxy::start(&world).await;
    let restart = || async { cluster.options.spawn(proxy.kubeconfig(), world.cluster.folder()).ready().await };
    raise(&world).await;
    for (method, path_end) in [
        (Method::PATCH, FIRST_PVC),
        (Method::PATCH, LAST_PVC),
        (Method::DELETE, "statefulsets/eventing-nats"),
        (Method::PATCH, "statefulsets/eventing-nats"),
        (Method::PATCH, "configmaps/eventing-nats-config"),
    ] {
        // The write takes effect, and the manager ends without its response.
        proxy.break_requests(method.clone(), path_end, Fault::CutAfterwards);
        let manager = restart().await;
        eventually(&format!("{method} {path_end} is lost"), TIMEOUT, || async { proxy.fault_count() > 0 }).await;
        manager.kill().await.unwrap();
        proxy.remove_faults();
        world.clear_lease().await;
    }
    let _manager = restart().await;
    cluster.is_expanded(&world).await;
}
