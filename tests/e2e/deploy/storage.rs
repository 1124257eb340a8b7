//! Where messages are kept, and how the servers are spread: decided once, then kept.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::{
    objects::{CONFIG_MAP, STATEFUL_SET},
    world::{World, condition},
};

const SPREAD: &str = "nats.operator.kyma-project.io/topology-spread";
const CLAIMED: &str = "/spec/volumeClaimTemplates/0/spec/resources/requests/storage";

#[tokio::test]
async fn the_provider_decides_on_the_size_of_new_volumes_only() {
    let world = World::new().await;
    let manager = world.manager().await;
    world.create(json!({})).await;
    world.state_becomes("Ready").await;
    let size = async || STATEFUL_SET.get(&world).await.pointer(CLAIMED).cloned();
    assert_eq!(size().await, Some(json!("1Gi")));

    world.provider("alicloud").await;
    world.looked_again().await;
    world.patch(json!({"spec": {"logging": {"debug": true}}})).await.unwrap();
    world.is_ready_for_the_newest_spec().await;
    assert_eq!(size().await, Some(json!("1Gi")));

    drop(manager);
    drop(world);
    let world = World::new().await;
    world.provider("alicloud").await;
    let _manager = world.manager().await;
    world.create(json!({"jetStream": {"fileStorage": {"size": "10Gi"}}})).await;
    let status = world.state_becomes("Error").await;
    let (_, reason, message) = condition(&status, "Available").unwrap();
    let text = "spec.jetStream.fileStorage.size 10Gi is below the minimum required size of 20Gi for alicloud";
    assert_eq!(reason, "FailedProcessing");
    assert!(message.ends_with(text), "{message}");
    assert!(STATEFUL_SET.api(&world).get_opt(STATEFUL_SET.name).await.unwrap().is_none());

    // Nothing is deployed yet, so it is the resource that is made anew.
    world.delete().await;
    world.gone().await;
    world.create(json!({})).await;
    world.state_becomes("Ready").await;
    assert_eq!(STATEFUL_SET.get(&world).await.pointer(CLAIMED), Some(&json!("20Gi")));
    let config = CONFIG_MAP.get(&world).await["data"]["nats.conf"].to_string();
    assert!(config.contains("max_file_store: 20Gi"), "{config}");
}

#[tokio::test]
async fn a_cluster_without_file_store_has_no_claims() {
    let world = World::new().await;
    let _manager = world.manager().await;
    world.create(json!({"jetStream": {"fileStorage": {"enabled": false}}})).await;
    world.state_becomes("Ready").await;

    let claims = world.api::<PersistentVolumeClaim>().list(&ListParams::default()).await.unwrap().items;
    assert!(claims.is_empty(), "{claims:?}");
    let set = STATEFUL_SET.get(&world).await;
    assert_eq!(set["spec"]["volumeClaimTemplates"], Value::Null);
    let volumes = set["spec"]["template"]["spec"]["volumes"].as_array().unwrap();
    let mounts = set["spec"]["template"]["spec"]["containers"][2]["volumeMounts"].as_array().unwrap();
    let store = mounts.iter().find(|mount| mount["mountPath"] == "/data").unwrap();
    let volume = volumes.iter().find(|volume| volume["name"] == store["name"]).unwrap();
    assert_eq!(volume["emptyDir"]["sizeLimit"], "1Gi");
    let config = CONFIG_MAP.get(&world).await["data"]["nats.conf"].to_string();
    assert!(config.contains("max_file_store: 0"), "{config}");

    // It stays so.
    let refused = world.patch(json!({"spec": {"jetStream": {"fileStorage": {"enabled": true}}}})).await;
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("fileStorage is immutable once it was set"), "{refused}");
}

#[tokio::test]
async fn servers_are_spread_strictly_only_where_no_volume_pins_them() {
    let world = World::new().await;
    let manager = world.manager().await;
    world.create(json!({})).await;
    world.state_becomes("Ready").await;
    let set = STATEFUL_SET.get(&world).await;
    assert_eq!(spread(&set), ("hard", json!(["DoNotSchedule", "DoNotSchedule"])));

    // Kept when the manager restarts, and when others meddle with the number of servers.
    manager.terminate().await;
    let _manager = world.manager().await;
    world.looked_again().await;
    assert_eq!(STATEFUL_SET.get(&world).await["metadata"]["generation"], set["metadata"]["generation"]);
    for replicas in [0, 1] {
        STATEFUL_SET.change(&world, json!({"spec": {"replicas": replicas}})).await;
        STATEFUL_SET.becomes(&world, "is scaled back", |now| now["spec"]["replicas"] == 3).await;
    }
    world.is_ready_for_the_newest_spec().await;
    assert_eq!(spread(&STATEFUL_SET.get(&world).await), spread(&set));

    // Made anew, it finds its volumes.
    let anew = STATEFUL_SET.comes_back(&world).await;
    assert_eq!(spread(&anew), ("soft", json!(["ScheduleAnyway", "ScheduleAnyway"])));
}

#[tokio::test]
async fn a_volume_from_before_makes_the_spread_soft() {
    let world = World::new().await;
    let claim = json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "eventing-nats-js-pvc-eventing-nats-0", "labels": {"app.kubernetes.io/instance": "eventing"}},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}},
    });
    let claims = world.api::<PersistentVolumeClaim>();
    let name = "eventing-nats-js-pvc-eventing-nats-0";
    claims.patch(name, &PatchParams::apply("somebody"), &Patch::Apply(&claim)).await.unwrap();

    let _manager = world.manager().await;
    world.create(json!({"cluster": {"size": 1}})).await;
    world.state_becomes("Ready").await;
    let set = STATEFUL_SET.get(&world).await;
    assert_eq!(spread(&set), ("soft", json!(["ScheduleAnyway", "ScheduleAnyway"])));
    // Its size is that of what is there.
    assert_eq!(set.pointer(CLAIMED), Some(&json!("2Gi")));
}

/// What the annotation says, and what the constraints do.
fn spread(set: &Value) -> (&str, Value) {
    let constraints = set["spec"]["template"]["spec"]["topologySpreadConstraints"].as_array().unwrap();
    let strictness = constraints.iter().map(|constraint| constraint["whenUnsatisfiable"].clone()).collect();
    (set["metadata"]["annotations"][SPREAD].as_str().unwrap(), strictness)
}
