//! Leftovers of earlier servers: terminating PVCs, and PVCs of a deleted StatefulSet.

use k8s_openapi::api::{apps::v1::StatefulSet, core::v1::PersistentVolumeClaim};
use kube::api::DeleteParams;
use serde_json::{Value, json};

use crate::{
    history::History,
    objects::{CONFIG_MAP, STATEFUL_SET},
    world::{NAME, World, condition},
};

const FIRST_PVC: &str = "eventing-nats-js-pvc-eventing-nats-0";

#[tokio::test]
async fn new_cluster_waits_for_terminating_pvcs_and_uses_its_own_spec() {
    let world = World::new().await;
    world.create_storage_class("other").await;
    let (_server, options) = world.nats_server().await;
    let _manager = world.manager_with(&options).await;
    world.create(json!({})).await;
    world.state_becomes("Ready").await;
    world.change_pvc(FIRST_PVC, json!({"metadata": {"finalizers": ["test.example/backup"]}})).await;
    world.delete().await;
    world.gone().await;

    let file_storage = json!({"storageClassName": "other", "size": "2Gi"});
    world.create(json!({"cluster": {"size": 5}, "jetStream": {"fileStorage": file_storage}})).await;
    let status = world
        .status_becomes("the manager waits for the PVC", |status| {
            condition(status, "Stalled").is_some_and(|(holds, reason, _)| holds == "True" && reason == "PvcTerminating")
        })
        .await;
    let (_, _, message) = condition(&status, "Stalled").unwrap();
    let expected = "the PVC of eventing-nats-0 is terminating, and kept by the finalizer test.example/backup; servers are \
        created when it is gone";
    assert_eq!(message, expected);
    world.event_becomes("Warning", "PvcTerminating", &message).await;
    assert!(world.api::<StatefulSet>().get_opt(NAME).await.unwrap().is_none());

    world.change_pvc(FIRST_PVC, json!({"metadata": {"finalizers": null}})).await;
    let status = world.is_ready_for_the_newest_spec().await;
    assert_eq!((status.members, condition(&status, "Stalled").unwrap().0), (Some(5), "False".to_owned()));
    let pvcs = world.pvcs().await;
    assert_eq!(pvcs.len(), 5);
    for pvc in pvcs {
        let spec = pvc.spec.unwrap();
        assert_eq!(spec.storage_class_name.as_deref(), Some("other"));
        assert_eq!(spec.resources.unwrap().requests.unwrap()["storage"].0, "2Gi");
    }
    world.delete_storage_class("other").await;
}

#[tokio::test]
async fn deleted_stateful_set_is_recreated_with_its_members_and_smallest_pvc_size() {
    let world = World::new().await;
    world.create_expandable_storage_class("growing").await;
    let (_server, options) = world.nats_server().await;
    let manager = world.manager_with(&options).await;
    world.create(json!({"cluster": {"size": 5}, "jetStream": {"fileStorage": {"storageClassName": "growing"}}})).await;
    world.is_ready_for_the_newest_spec().await;
    world.change_pvc(FIRST_PVC, json!({"spec": {"resources": {"requests": {"storage": "2Gi"}}}})).await;
    manager.terminate().await.unwrap();
    // This is the state after an interrupted scale-down.
    world.patch(json!({"spec": {"cluster": {"size": 3}}})).await.unwrap();
    STATEFUL_SET.delete(&world).await;
    assert_eq!(world.status().await.members, Some(5));

    let history = History::record(world.api::<StatefulSet>(), |set| set.spec?.replicas);
    let _manager = world.manager_with(&options).await;
    // The manager cannot poll these servers, so their volumes are left to the user.
    world
        .status_becomes("the PVCs of the removed servers are named", |status| {
            condition(status, "Stalled").is_some_and(|(_, reason, message)| {
                reason == "ScalingBlocked" && message.contains("the PVC of eventing-nats-3, eventing-nats-4 is left")
            })
        })
        .await;
    for ordinal in [3, 4] {
        let name = format!("eventing-nats-js-pvc-eventing-nats-{ordinal}");
        world.api::<PersistentVolumeClaim>().delete(&name, &DeleteParams::default()).await.unwrap();
    }
    world.is_ready_for_the_newest_spec().await;
    assert_eq!(history.states(), [5, 3]);
    assert_eq!(world.status().await.members, Some(3));
    let config = CONFIG_MAP.get(&world).await["data"]["nats.conf"].to_string();
    assert!(config.contains("max_file_store: 870Mi"), "{config}");
    let request = "/spec/volumeClaimTemplates/0/spec/resources/requests/storage";
    assert_eq!(STATEFUL_SET.get(&world).await.pointer(request), Some(&Value::from("1Gi")));
    world.delete_storage_class("growing").await;
}
