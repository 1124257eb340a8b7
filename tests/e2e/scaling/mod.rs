//! Changes between a standalone server and a cluster, in which a restart would destroy the streams.

mod by_hand;
mod forming;
mod unpolled;

use k8s_openapi::api::{apps::v1::StatefulSet, core::v1::PersistentVolumeClaim};
use kube::api::{DeleteParams, Patch, PatchParams};
use nats_manager_api::naming;
use nats_manager_harness::{NatsOptions, NatsServer, eventually};
use serde_json::{Value, json};

use crate::{
    deployed_server::DeployedServer,
    jetstream,
    manager::ManagerOptions,
    objects::{CONFIG_MAP, STATEFUL_SET, essence},
    world::{NAME, TIMEOUT, World, condition},
};

#[tokio::test]
async fn scale_up_from_one_server_is_blocked_until_there_are_no_streams() {
    let world = World::new().await;
    let mut server = NatsServer::start(NatsOptions::default()).await.unwrap();
    let options = ManagerOptions { nats_url: server.url(), ..ManagerOptions::default() };
    let _manager = world.manager_with(&options).await;
    world.create(json!({"cluster": {"size": 1}})).await;
    world.state_becomes("Ready").await;
    let before = jetstream::connect(&server.url()).await;
    jetstream::create_stream(&before, "orders").await;
    let config = essence(&CONFIG_MAP.get(&world).await);
    let servers = essence(&STATEFUL_SET.get(&world).await);

    world.patch(json!({"spec": {"cluster": {"size": 3}}})).await.unwrap();
    let reason = is_blocked(&world, "destroys its stream (orders)").await;
    assert!(reason.starts_with("cannot scale from 1 to 3 servers: "), "{reason}");
    assert_eq!(essence(&CONFIG_MAP.get(&world).await), config);
    assert_eq!(essence(&STATEFUL_SET.get(&world).await), servers);

    // A container that restarts now reads the deployed configuration.
    server.stop().await.unwrap();
    let restarted = DeployedServer::start(&world, &server).await;
    let context = jetstream::connect(&server.url()).await;
    assert_eq!(jetstream::message_count(&context, "orders").await, Some(1));

    // Scaling by hand is reverted.
    let scale = Patch::Merge(json!({"spec": {"replicas": 3}}));
    let sets = world.api::<StatefulSet>();
    sets.patch_scale(NAME, &PatchParams::default(), &scale).await.unwrap();
    replicas_become(&world, 1).await;
    assert_eq!(essence(&CONFIG_MAP.get(&world).await), config);
    assert_eq!(STATEFUL_SET.comes_back(&world).await["spec"]["replicas"], 1);
    assert_eq!(essence(&CONFIG_MAP.get(&world).await), config);
    is_blocked(&world, "destroys its stream (orders)").await;

    // Other changes of the spec are applied.
    world.patch(json!({"spec": {"labels": {"team": "a"}, "logging": {"debug": true}}})).await.unwrap();
    CONFIG_MAP
        .becomes(&world, "has the other changes", |config| {
            let text = config["data"]["nats.conf"].as_str().unwrap_or_default();
            text.contains("debug: true") && !text.contains("cluster {") && config["metadata"]["labels"]["team"] == "a"
        })
        .await;
    assert_eq!(STATEFUL_SET.get(&world).await["spec"]["replicas"], 1);

    // An unreachable server may have streams.
    drop(restarted);
    is_blocked(&world, "cannot verify that there are no streams").await;
    server.start_again().await.unwrap();
    is_blocked(&world, "destroys its stream (orders)").await;

    let context = jetstream::connect(&server.url()).await;
    // The PVCs of the servers that were added by hand have to be deleted first.
    jetstream::delete_streams(&context).await;
    is_blocked(&world, "the PVCs of eventing-nats-1, eventing-nats-2 are left from standalone servers").await;
    for ordinal in [1, 2] {
        let name = format!("eventing-nats-js-pvc-eventing-nats-{ordinal}");
        world.api::<PersistentVolumeClaim>().delete(&name, &DeleteParams::default()).await.unwrap();
    }
    replicas_become(&world, 3).await;
    let status = world.state_becomes("Ready").await;
    assert_eq!(condition(&status, "Stalled").unwrap().0, "False");
    let is_clustered =
        |config: &Value, key: &str| config["data"][key].as_str().is_some_and(|text| text.contains("cluster {"));
    assert!(is_clustered(&CONFIG_MAP.get(&world).await, "nats-cluster.conf"));
    CONFIG_MAP
        .becomes(&world, "has no standalone configuration left", |config| is_clustered(config, "nats.conf"))
        .await;
    let blocked = scaling_blocked(&world).await;
    let (kind, note) = &blocked[0];
    assert_eq!(kind, "Warning");
    assert!(note.contains("orders"), "{note}");
    assert_eq!(blocked.iter().filter(|(_, note)| note.contains("orders")).count(), 1, "{blocked:#?}");
}

#[tokio::test]
async fn scale_up_without_streams_is_carried_out_at_once() {
    let world = World::new().await;
    let (server, options) = world.nats_server().await;
    let _manager = world.manager_with(&options).await;
    world.create(json!({"cluster": {"size": 1}})).await;
    world.state_becomes("Ready").await;
    let context = jetstream::connect(&server.url()).await;
    for size in [3, 5] {
        world.patch(json!({"spec": {"cluster": {"size": size}}})).await.unwrap();
        world.is_ready_for_the_newest_spec().await;
        assert_eq!(STATEFUL_SET.get(&world).await["spec"]["replicas"], size);
        if size == 3 {
            // From here on a scale-up destroys no streams.
            jetstream::create_stream(&context, "orders").await;
        }
    }
    let config = essence(&CONFIG_MAP.get(&world).await);
    let scale = Patch::Merge(json!({"spec": {"replicas": 1}}));
    world.api::<StatefulSet>().patch_scale(NAME, &PatchParams::default(), &scale).await.unwrap();
    replicas_become(&world, 5).await;
    assert_eq!(essence(&CONFIG_MAP.get(&world).await), config);
    assert_eq!(scaling_blocked(&world).await, []);
}

#[tokio::test]
async fn out_of_range_size_annotation_is_corrected() {
    let world = World::new().await;
    let manager = world.manager().await;
    world.create(json!({})).await;
    world.state_becomes("Ready").await;
    manager.terminate().await.unwrap();
    STATEFUL_SET.change(&world, json!({"metadata": {"annotations": {naming::SIZE: "4000000000"}}})).await;

    let _manager = world.manager().await;
    let has_its_size = |set: &Value| set["metadata"]["annotations"][naming::SIZE] == "3";
    let set = STATEFUL_SET.becomes(&world, "has its size", has_its_size).await;
    assert_eq!(set["spec"]["replicas"], 3);
    world.is_ready_for_the_newest_spec().await;
}

#[tokio::test]
async fn servers_that_never_started_can_become_a_cluster() {
    let world = World::new().await;
    let _manager = world.manager().await;
    let resources = json!({"requests": {"memory": "100Ti"}, "limits": {"memory": "100Ti"}});
    world.create(json!({"cluster": {"size": 1}, "resources": resources})).await;
    eventually("its Pod exists", TIMEOUT, || async { world.pods().await.len() == 1 }).await;
    world.status_becomes("that no server started is recorded", |status| status.servers_started == Some(false)).await;
    world.patch(json!({"spec": {"cluster": {"size": 3}}})).await.unwrap();
    replicas_become(&world, 3).await;
}

/// Waits until the change of the size is blocked for this reason. Returns the message.
async fn is_blocked(world: &World, reason: &str) -> String {
    let status = world
        .status_becomes(&format!("blocked: {reason}"), |status| {
            status.state == "Warning"
                && condition(status, "Stalled").is_some_and(|(holds, kind, message)| {
                    holds == "True" && kind == "ScalingBlocked" && message.contains(reason)
                })
        })
        .await;
    assert!(!status.url.is_empty());
    condition(&status, "Stalled").unwrap().2
}

/// Returns type and note of the events about blocked changes of the size.
async fn scaling_blocked(world: &World) -> Vec<(String, String)> {
    let events = world.events().await.into_iter().filter(|(_, reason, _)| reason == "ScalingBlocked");
    events.map(|(kind, _, note)| (kind, note)).collect()
}

/// Waits until the StatefulSet has this number of replicas.
async fn replicas_become(world: &World, replicas: i32) {
    STATEFUL_SET.becomes(world, &format!("has {replicas} replicas"), |set| set["spec"]["replicas"] == replicas).await;
}
