//! Scale-up from a standalone server to a cluster while the new servers cannot start.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::{ResourceExt, api::DeleteParams};
use nats_manager_api::NatsStatus;
use nats_manager_harness::eventually;
use serde_json::{Value, json};

use super::{is_blocked, replicas_become};
use crate::{
    objects::{CONFIG_MAP, STATEFUL_SET},
    world::{TIMEOUT, World, condition},
};

const LEFTOVER_PVCS: &str = "the PVCs of eventing-nats-1, eventing-nats-2 are left from standalone servers";

#[tokio::test]
async fn cluster_formation_can_be_reverted_until_the_first_server_restarts() {
    let world = World::new().await;
    let (_server, options) = world.nats_server().await;
    let manager = world.manager_with(&options).await;
    world.create(json!({"cluster": {"size": 1}})).await;
    world.state_becomes("Ready").await;
    let first = first_server(&world).await;
    let standalone = config(&world, "nats.conf").await;
    assert!(!standalone.contains("cluster {"), "{standalone}");

    world.cordon(true).await;
    resize(&world, 3).await.unwrap();
    let status = is_forming(&world).await;
    // Messages that the first server stores from now on are lost.
    assert_eq!((status.members, status.state.as_str()), (Some(1), "Processing"));
    let set = STATEFUL_SET.get(&world).await;
    assert_eq!(set["spec"]["updateStrategy"]["rollingUpdate"]["partition"], 1);
    assert!(set["spec"]["template"].to_string().contains("/nats-cluster.conf\""), "{set}");
    let is_forming_config = |config: &Value| {
        let clustered = config["data"]["nats-cluster.conf"].as_str().unwrap_or_default();
        config["data"]["nats.conf"] == standalone && clustered.contains("eventing-nats-2.eventing-nats")
    };
    assert!(is_forming_config(&CONFIG_MAP.get(&world).await));
    assert_eq!(first_server(&world).await, first);

    // The predecessor writes one key only.
    let theirs = json!({"data": {"nats.conf": "cluster {\n  routes: [\n    nats://eventing-nats-0.eventing-nats:6222\n  ]\n}\n"}});
    CONFIG_MAP.create(&world, "nats-manager", theirs).await;
    CONFIG_MAP.becomes(&world, "has both keys again", is_forming_config).await;
    assert_eq!(first_server(&world).await, first);

    resize(&world, 1).await.unwrap();
    replicas_become(&world, 1).await;
    is_blocked(&world, "the PVC of eventing-nats-1, eventing-nats-2 is left").await;
    let status = world.status().await;
    assert_eq!((status.members, status.state.as_str()), (Some(1), "Warning"));
    assert_eq!(CONFIG_MAP.get(&world).await["data"], json!({"nats.conf": standalone}));
    assert_eq!(first_server(&world).await, first);

    world.cordon(false).await;
    // While the change is blocked, recreated objects are standalone.
    resize(&world, 3).await.unwrap();
    is_blocked(&world, LEFTOVER_PVCS).await;
    // The manager would restore one record from the other.
    manager.terminate().await.unwrap();
    CONFIG_MAP.delete(&world).await;
    STATEFUL_SET.delete(&world).await;
    STATEFUL_SET.is_gone(&world).await;
    let _manager = world.manager_with(&options).await;
    let set = STATEFUL_SET.becomes(&world, "is back, with its server", |set| set["status"]["readyReplicas"] == 1).await;
    assert_eq!(set["spec"]["replicas"], 1);
    // Both records of the file store's limit are gone, and nothing reports it: it is at most the whole volume.
    let standalone = standalone.replace("max_file_store: 870Mi", "max_file_store: 1Gi");
    assert_eq!(config(&world, "nats.conf").await, standalone);
    is_blocked(&world, LEFTOVER_PVCS).await;

    let first = first_server(&world).await;
    for ordinal in [1, 2] {
        let name = format!("eventing-nats-js-pvc-eventing-nats-{ordinal}");
        world.api::<PersistentVolumeClaim>().delete(&name, &DeleteParams::default()).await.unwrap();
    }
    world.status_becomes("the first server becomes a member", |status| status.members == Some(3)).await;
    world.is_ready_for_the_newest_spec().await;
    assert_ne!(first_server(&world).await, first);
    let rejected = resize(&world, 1).await.unwrap_err().to_string();
    assert!(rejected.contains("cannot be set to 1 if size was greater than 1"), "{rejected}");
}

/// When no Pod is left, the controller makes the template of the cluster the current revision, with which it creates Pods
/// below the partition.
#[tokio::test]
async fn first_server_that_was_stopped_by_hand_during_the_change_starts_standalone() {
    let world = World::new().await;
    let (_server, options) = world.nats_server().await;
    let manager = world.manager_with(&options).await;
    world.create(json!({"cluster": {"size": 1}})).await;
    world.state_becomes("Ready").await;
    world.cordon(true).await;
    resize(&world, 3).await.unwrap();
    is_forming(&world).await;

    manager.terminate().await.unwrap();
    STATEFUL_SET.change(&world, json!({"spec": {"replicas": 0}})).await;
    let stopped = STATEFUL_SET
        .becomes(&world, "has no Pod, and one revision", |set| {
            let status = &set["status"];
            status["observedGeneration"] == set["metadata"]["generation"]
                && status["replicas"] == 0
                && status["currentRevision"] == status["updateRevision"]
        })
        .await;
    world.cordon(false).await;
    let _manager = world.manager_with(&options).await;
    let first =
        eventually("the first server has a Pod", TIMEOUT, || async { world.pods().await.into_iter().next() }).await;
    assert_ne!(json!(first.labels()["controller-revision-hash"]), stopped["status"]["currentRevision"]);
    let spec = json!(first.spec).to_string();
    assert!(spec.contains("/nats.conf\"") && !spec.contains("/nats-cluster.conf\""), "{spec}");
    is_blocked(&world, LEFTOVER_PVCS).await;
    assert_eq!(first_server(&world).await, first.uid().unwrap());
}

/// Changes the size in the spec.
async fn resize(world: &World, size: u32) -> kube::Result<nats_manager_api::Nats> {
    world.patch(json!({"spec": {"cluster": {"size": size}}})).await
}

/// Waits until the new servers are reported as not schedulable.
async fn is_forming(world: &World) -> NatsStatus {
    world
        .status_becomes("the new servers cannot run", |status| {
            condition(status, "Reconciling").is_some_and(|(holds, reason, message)| {
                holds == "True"
                    && reason == "FormCluster"
                    && message.contains("eventing-nats-1 cannot run: no node accepts it")
            })
        })
        .await
}

/// Returns the UID of the first server's Pod.
async fn first_server(world: &World) -> String {
    world.pods().await[0].uid().unwrap()
}

/// Returns a file of the ConfigMap; empty if it does not exist.
async fn config(world: &World, key: &str) -> String {
    CONFIG_MAP.get(world).await["data"][key].as_str().unwrap_or_default().to_owned()
}
