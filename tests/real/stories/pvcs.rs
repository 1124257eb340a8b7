//! NATS resource that is created again while Pods and PVCs of the deleted one are terminating.

use k8s_openapi::api::{apps::v1::StatefulSet, core::v1::PersistentVolumeClaim};
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::steps::{becomes_steady, condition_becomes, running};
use crate::{
    scaling::size_becomes,
    world::{NAME, World, real},
};

#[test]
#[ignore = "long: cargo xtask test --only real-all"]
fn recreated_resource_waits_for_terminating_pvcs_and_gets_its_own_size() {
    real(async |world: &World<'_>| {
        let _manager = running(world, 5).await;
        let pvc_name = format!("{NAME}-js-pvc-{}", World::server(2));
        set_finalizers(world, &pvc_name, json!(["kubernetes.io/pvc-protection", "test.example/hold"])).await;
        world.delete().await;
        world.gone().await;

        world.create(json!({"cluster": {"size": 3}, "jetStream": {"fileStorage": {"size": "512Mi"}}})).await;
        condition_becomes(world, "Stalled", "True", "PvcTerminating", "is terminating").await;
        assert!(world.api::<StatefulSet>().get_opt(NAME).await.unwrap().is_none());
        set_finalizers(world, &pvc_name, json!(null)).await;
        becomes_steady(world, 3, &[]).await;
        size_becomes(world, 3).await;
        let pvc = world.api::<PersistentVolumeClaim>().get(&pvc_name).await.unwrap();
        let requests = pvc.spec.unwrap().resources.unwrap().requests.unwrap();
        assert_eq!(requests["storage"].0, "512Mi");
    });
}

#[test]
fn recreated_single_server_is_independent_of_the_terminating_cluster() {
    real(async |world: &World<'_>| {
        let _manager = world.manager().await;
        // Without PVCs nothing else delays the new servers.
        let in_memory = json!({"fileStorage": {"enabled": false}, "memStorage": {"size": "64Mi"}});
        world.create(json!({"cluster": {"size": 3}, "jetStream": in_memory})).await;
        world.state_becomes("Ready").await;
        world.delete().await;
        world.gone().await;
        world.create(json!({"cluster": {"size": 1}})).await;
        let status = world.state_becomes("Ready").await;
        assert_eq!((status.members, status.ready_servers), (Some(1), 1));
        let stalled = status.conditions.iter().find(|condition| condition.type_ == "Stalled").unwrap();
        assert_eq!((stalled.status.as_str(), stalled.reason.as_str()), ("False", "NotBlocked"));
        is_standalone(world).await;
    });
}

/// Checks that the one server has no meta group.
async fn is_standalone(world: &World<'_>) {
    let pod = world.pod(&World::server(0)).await;
    assert!(world.monitor(&pod, "/jsz").await["meta_cluster"].is_null());
}

/// Sets the finalizers of a PVC.
async fn set_finalizers(world: &World<'_>, pvc: &str, finalizers: serde_json::Value) {
    let patch = Patch::Merge(json!({"metadata": {"finalizers": finalizers}}));
    world.api::<PersistentVolumeClaim>().patch(pvc, &PatchParams::default(), &patch).await.unwrap();
}
