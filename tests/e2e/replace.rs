//! Replacement of servers with fresh volumes, as the annotation on their PVCs requests it.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::{ResourceExt, api::DeleteParams};
use nats_manager_api::naming::REPLACE_SERVER;
use nats_manager_harness::{Seen, Shell, documented, eventually};
use serde_json::json;

use crate::{
    jetstream,
    world::{TIMEOUT, World, condition},
};

/// Sets the annotation on the PVC of a server.
async fn request(world: &World, ordinal: u32, value: &str) {
    let patch = json!({"metadata": {"annotations": {REPLACE_SERVER: value}}});
    world.change_pvc(&format!("eventing-nats-js-pvc-eventing-nats-{ordinal}"), patch).await;
}

/// Returns the uids of the first PVC and of the first Pod.
async fn uids(world: &World) -> (Option<String>, Option<String>) {
    (world.pvcs().await.first().and_then(ResourceExt::uid), world.pods().await.first().and_then(ResourceExt::uid))
}

/// Waits until the first server has another PVC and another Pod.
async fn is_replaced(world: &World, before: &(Option<String>, Option<String>)) {
    eventually("a new server has a new volume", TIMEOUT, || async {
        let (pvc, pod) = uids(world).await;
        let is_new = pvc.is_some() && pod.is_some() && pvc != before.0 && pod != before.1;
        if is_new { Seen::Done(()) } else { Seen::NotYet(format!("{pvc:?} {pod:?}")) }
    })
    .await;
}

/// Waits until the change is blocked with a message that contains this text.
async fn is_blocked(world: &World, text: &str) {
    world
        .status_becomes(&format!("blocked: {text}"), |status| {
            condition(status, "Stalled").is_some_and(|(holds, reason, message)| {
                holds == "True" && reason == "ReplacementBlocked" && message.contains(text)
            })
        })
        .await;
}

#[tokio::test]
async fn server_is_replaced_when_the_loss_of_its_streams_is_accepted() {
    let world = World::new().await;
    let (server, options) = world.nats_server().await;
    let _manager = world.manager_with(&options).await;
    world.create(json!({"cluster": {"size": 1}})).await;
    world.state_becomes("Ready").await;
    jetstream::create_stream(&jetstream::connect(&server.url()).await, "orders").await;
    let before = uids(&world).await;

    request(&world, 0, "true").await;
    is_blocked(&world, "stream orders has its only replica there").await;
    is_blocked(&world, "kubectl annotate pvc -n kyma-system eventing-nats-js-pvc-eventing-nats-0").await;
    assert_eq!(uids(&world).await, before);

    request(&world, 0, "force").await;
    is_replaced(&world, &before).await;
    let status = world.is_ready_for_the_newest_spec().await;
    assert_eq!(condition(&status, "Stalled").unwrap().0, "False");
    assert!(!world.pvcs().await[0].annotations().contains_key(REPLACE_SERVER));
}

/// A manager that stops between the two deletions leaves a PVC that is terminating, and a Pod that runs.
#[tokio::test]
async fn interrupted_replacement_continues() {
    let world = World::new().await;
    let (_server, options) = world.nats_server().await;
    let manager = world.manager_with(&options).await;
    world.create(json!({"cluster": {"size": 1}})).await;
    world.state_becomes("Ready").await;
    let before = uids(&world).await;
    manager.terminate().await.unwrap();
    request(&world, 0, "true").await;
    let pvcs = world.api::<PersistentVolumeClaim>();
    pvcs.delete("eventing-nats-js-pvc-eventing-nats-0", &DeleteParams::default()).await.unwrap();
    assert_eq!(uids(&world).await, before, "the Pod keeps the PVC");

    let _manager = world.manager_with(&options).await;
    is_replaced(&world, &before).await;
}

/// The manager is outside of the network of the servers, so that it cannot poll them.
#[tokio::test]
async fn server_of_a_cluster_that_cannot_be_polled_is_not_replaced() {
    let world = World::new().await;
    let (_server, options) = world.nats_server().await;
    let _manager = world.manager_with(&options).await;
    world.create(json!({})).await;
    world.state_becomes("Ready").await;
    let before = uids(&world).await;
    request(&world, 1, "force").await;
    is_blocked(&world, "cannot verify that every stream is complete on the other servers").await;
    assert_eq!(uids(&world).await, before);

    let shell = Shell::new(&world.cluster);
    for block in documented::blocks("docs/user/replace-server.md", "run: withdraw") {
        shell.done(&block.text).await;
    }
    world
        .status_becomes("not blocked", |status| {
            condition(status, "Stalled").is_some_and(|(holds, ..)| holds == "False")
        })
        .await;
}
