//! Storage and topology spread: decided at creation, then kept.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::{
    ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use nats_manager_harness::{Seen, eventually};
use serde_json::{Value, json};

use crate::{
    objects::{CONFIG_MAP, STATEFUL_SET},
    world::{NAME, NAMESPACE, TIMEOUT, World, condition},
};

const SPREAD: &str = "nats.operator.kyma-project.io/topology-spread";
const STORAGE_REQUEST: &str = "/spec/volumeClaimTemplates/0/spec/resources/requests/storage";

#[tokio::test]
async fn provider_default_applies_to_new_volumes_only() {
    let world = World::new().await;
    let manager = world.manager().await;
    world.create(json!({})).await;
    world.state_becomes("Ready").await;
    let size = async || STATEFUL_SET.get(&world).await.pointer(STORAGE_REQUEST).cloned();
    assert_eq!(size().await, Some(json!("1Gi")));

    world.set_provider("alicloud").await;
    world.reconcile_again().await;
    world.patch(json!({"spec": {"logging": {"debug": true}}})).await.unwrap();
    world.is_ready_for_the_newest_spec().await;
    assert_eq!(size().await, Some(json!("1Gi")));

    drop(manager);
    drop(world);
    let world = World::new().await;
    world.set_provider("alicloud").await;
    let _manager = world.manager().await;
    world.create(json!({"jetStream": {"fileStorage": {"size": "10Gi"}}})).await;
    let status = world.state_becomes("Error").await;
    let (_, reason, message) = condition(&status, "Available").unwrap();
    let text = "spec.jetStream.fileStorage.size 10Gi is below the minimum required size of 20Gi for alicloud";
    assert_eq!(reason, "FailedProcessing");
    assert!(message.ends_with(text), "{message}");
    assert!(STATEFUL_SET.api(&world).get_opt(STATEFUL_SET.name).await.unwrap().is_none());

    // The size is immutable, but nothing is deployed yet: the resource is deleted and created again.
    world.delete().await;
    world.gone().await;
    world.create(json!({})).await;
    world.state_becomes("Ready").await;
    assert_eq!(STATEFUL_SET.get(&world).await.pointer(STORAGE_REQUEST), Some(&json!("20Gi")));
    let config = CONFIG_MAP.get(&world).await["data"]["nats.conf"].to_string();
    assert!(config.contains("max_file_store: 18Gi"), "{config}");
}

#[tokio::test]
async fn cluster_without_file_store_has_no_pvcs() {
    let world = World::new().await;
    let _manager = world.manager().await;
    world.create(json!({"jetStream": {"fileStorage": {"enabled": false}}})).await;
    world.state_becomes("Ready").await;

    let pvcs = world.api::<PersistentVolumeClaim>().list(&ListParams::default()).await.unwrap().items;
    assert!(pvcs.is_empty(), "{pvcs:?}");
    let set = STATEFUL_SET.get(&world).await;
    assert_eq!(set["spec"]["volumeClaimTemplates"], Value::Null);
    let volumes = set["spec"]["template"]["spec"]["volumes"].as_array().unwrap();
    let mounts = set["spec"]["template"]["spec"]["containers"][2]["volumeMounts"].as_array().unwrap();
    let store = mounts.iter().find(|mount| mount["mountPath"] == "/data").unwrap();
    let volume = volumes.iter().find(|volume| volume["name"] == store["name"]).unwrap();
    assert_eq!(volume["emptyDir"]["sizeLimit"], "1Gi");
    let config = CONFIG_MAP.get(&world).await["data"]["nats.conf"].to_string();
    assert!(config.contains("max_file_store: 0"), "{config}");

    // The file store cannot be enabled later.
    let rejected = world.patch(json!({"spec": {"jetStream": {"fileStorage": {"enabled": true}}}})).await;
    let rejected = rejected.unwrap_err().to_string();
    assert!(rejected.contains("fileStorage is immutable once it was set"), "{rejected}");
}

#[tokio::test]
async fn spread_is_strict_only_without_existing_volumes() {
    let world = World::new().await;
    let manager = world.manager().await;
    world.create(json!({})).await;
    world.state_becomes("Ready").await;
    let set = STATEFUL_SET.get(&world).await;
    assert_eq!(spread(&set), ("hard", json!(["DoNotSchedule", "DoNotSchedule"])));

    // The spread survives restarts of the manager and scaling by hand.
    manager.terminate().await.unwrap();
    let _manager = world.manager().await;
    world.reconcile_again().await;
    assert_eq!(STATEFUL_SET.get(&world).await["metadata"]["generation"], set["metadata"]["generation"]);
    for replicas in [0, 1] {
        STATEFUL_SET.change(&world, json!({"spec": {"replicas": replicas}})).await;
        STATEFUL_SET.becomes(&world, "is scaled back", |now| now["spec"]["replicas"] == 3).await;
    }
    let restored = STATEFUL_SET.becomes(&world, "runs all servers", runs_all).await;
    assert_eq!(spread(&restored), spread(&set));

    // A StatefulSet that is recreated around its Pods has their spread, or they would restart.
    let before = pod_uids(&world).await;
    let orphan = ["delete", "statefulset", NAME, "-n", NAMESPACE, "--cascade=orphan"];
    world.kubectl(&orphan).await.unwrap();
    let is_another = |now: &Value| now["metadata"]["uid"] != set["metadata"]["uid"] && runs_all(now);
    let recreated = STATEFUL_SET.becomes(&world, "is recreated", is_another).await;
    assert_eq!(spread(&recreated), spread(&set));
    assert_eq!(pod_uids(&world).await, before);
}

/// Nothing but a Pod shows the spread of a StatefulSet that was deleted, and volumes may be in any zone.
#[tokio::test]
async fn stateful_set_recreated_without_pods_has_a_soft_spread() {
    let world = World::new().await;
    let manager = world.manager().await;
    world.create(json!({})).await;
    world.state_becomes("Ready").await;
    assert_eq!(spread(&STATEFUL_SET.get(&world).await).0, "hard");
    manager.terminate().await.unwrap();
    STATEFUL_SET.delete(&world).await;
    eventually("the Pods are gone", TIMEOUT, || async {
        let pods = world.pods().await;
        if pods.is_empty() { Seen::Done(()) } else { Seen::NotYet(format!("{} Pods", pods.len())) }
    })
    .await;
    let _manager = world.manager().await;
    let recreated = STATEFUL_SET.becomes(&world, "is recreated", |_| true).await;
    assert_eq!(spread(&recreated), ("soft", json!(["ScheduleAnyway", "ScheduleAnyway"])));
}

#[tokio::test]
async fn existing_volume_makes_the_spread_soft() {
    let world = World::new().await;
    let pvc = json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "eventing-nats-js-pvc-eventing-nats-0", "labels": {"app.kubernetes.io/instance": "eventing"}},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}},
    });
    let pvcs = world.api::<PersistentVolumeClaim>();
    let name = "eventing-nats-js-pvc-eventing-nats-0";
    pvcs.patch(name, &PatchParams::apply("other-manager"), &Patch::Apply(&pvc)).await.unwrap();

    let _manager = world.manager().await;
    world.create(json!({"cluster": {"size": 1}})).await;
    world.state_becomes("Ready").await;
    let set = STATEFUL_SET.get(&world).await;
    assert_eq!(spread(&set), ("soft", json!(["ScheduleAnyway", "ScheduleAnyway"])));
    // The template has the size of the existing PVC.
    assert_eq!(set.pointer(STORAGE_REQUEST), Some(&json!("2Gi")));
}

/// Returns whether three Pods exist, are ready, and have the newest template.
fn runs_all(set: &Value) -> bool {
    let status = &set["status"];
    ["replicas", "updatedReplicas", "readyReplicas"].iter().all(|count| status[count] == 3)
        && status["observedGeneration"] == set["metadata"]["generation"]
        && status["currentRevision"] == status["updateRevision"]
}

async fn pod_uids(world: &World) -> Vec<Option<String>> {
    world.pods().await.iter().map(ResourceExt::uid).collect()
}

/// Returns the spread annotation, and `whenUnsatisfiable` of each constraint.
fn spread(set: &Value) -> (&str, Value) {
    let constraints = set["spec"]["template"]["spec"]["topologySpreadConstraints"].as_array().unwrap();
    let strictness = constraints.iter().map(|constraint| constraint["whenUnsatisfiable"].clone()).collect();
    (set["metadata"]["annotations"][SPREAD].as_str().unwrap(), strictness)
}
