//! The examples in `tests/situations`: what kubectl prints of the NATS resource in each situation, and the stored
//! resources. Tools for `GitOps` are tested with them (`tests/gitops`).
//!
//! `UPDATE_SITUATIONS=1` writes the examples. A further one is written by `tests/real`.

use k8s_openapi::jiff::Timestamp;
use kube::Api;
use nats_manager_api::{
    Nats, NatsStatus,
    naming::{FINALIZER, PAUSE, REMOVED_PEERS},
};
use nats_manager_harness::matches_example;
use nats_manager_planner::snapshot::PeerId;
use serde_json::json;

use crate::{
    jetstream,
    objects::STATEFUL_SET,
    world::{NAME, NAMESPACE, World, condition},
};

#[tokio::test]
async fn deployment_and_pause_read_as_their_examples() {
    let world = World::new().await;
    let _manager = world.manager().await;
    // Pods wait for a StorageClass that does not exist yet.
    world.create(json!({"jetStream": {"fileStorage": {"storageClassName": "later"}}})).await;
    world.state_becomes("Processing").await;
    world.matches("deploying", NAME).await;

    world.create_storage_class("later").await;
    world.is_ready_for_the_newest_spec().await;
    world.matches("ready", NAME).await;

    world.patch(json!({"metadata": {"annotations": {PAUSE: "true"}}})).await.unwrap();
    world.status_becomes("paused", |status| has(status, "Stalled", "True Paused", "")).await;
    world.matches("paused", NAME).await;
    world.patch(json!({"metadata": {"annotations": {PAUSE: null}}})).await.unwrap();

    world.patch(json!({"spec": {"labels": {"a b": "c"}}})).await.unwrap();
    world.state_becomes("Error").await;
    world.matches("invalid-spec", NAME).await;
    world.delete_storage_class("later").await;
}

#[tokio::test]
async fn server_without_a_node_reads_as_its_example() {
    let world = World::new().await;
    let _manager = world.manager().await;
    world.create(json!({})).await;
    world.is_ready_for_the_newest_spec().await;
    world.cordon(true).await;
    world.kill_pod("eventing-nats-1").await;
    let is_named = |status: &NatsStatus| has(status, "StatefulSet", "False Pending", "not ready: eventing-nats-1");
    world.status_becomes("a server is missing", is_named).await;
    world.matches("server-not-ready", NAME).await;
    world.cordon(false).await;
}

#[tokio::test]
async fn scaling_reads_as_its_example() {
    let world = World::new().await;
    let _manager = world.manager().await;
    world.create(json!({})).await;
    world.is_ready_for_the_newest_spec().await;
    // A server that was removed a moment ago keeps the scale-up in progress.
    let removed = format!("{}={}", PeerId::of("eventing-nats-3").0, Timestamp::now().as_second());
    STATEFUL_SET.change(&world, json!({"metadata": {"annotations": {REMOVED_PEERS: removed}}})).await;
    world.patch(json!({"spec": {"cluster": {"size": 5}}})).await.unwrap();
    world.status_becomes("scaling", |status| has(status, "Reconciling", "True ScaleUp", "was removed")).await;
    world.matches("scaling", NAME).await;
}

#[tokio::test]
async fn deletion_reads_as_its_examples() {
    let world = World::new().await;
    let (server, options) = world.nats_server().await;
    let _manager = world.manager_with(&options).await;
    world.create(json!({})).await;
    world.state_becomes("Ready").await;
    let context = jetstream::connect(&server.url()).await;
    jetstream::create_stream(&context, "orders").await;
    world.patch(json!({"metadata": {"finalizers": ["example.com/backup", FINALIZER]}})).await.unwrap();

    world.delete().await;
    world.state_becomes("Warning").await;
    world.matches("deletion-blocked", NAME).await;

    jetstream::delete_streams(&context).await;
    world.status_becomes("deleted", |status| has(status, "Deleted", "True Deleting", "example.com/backup")).await;
    world.matches("deleting", NAME).await;
    world.patch(json!({"metadata": {"finalizers": null}})).await.unwrap();
    world.gone().await;
}

#[tokio::test]
async fn blocked_change_reads_as_its_example() {
    let world = World::new().await;
    let (server, options) = world.nats_server().await;
    let _manager = world.manager_with(&options).await;
    world.create(json!({"cluster": {"size": 1}})).await;
    world.state_becomes("Ready").await;
    jetstream::create_stream(&jetstream::connect(&server.url()).await, "orders").await;
    world.patch(json!({"spec": {"cluster": {"size": 3}}})).await.unwrap();
    world.status_becomes("blocked", |status| has(status, "Stalled", "True ScalingBlocked", "orders")).await;
    world.matches("blocked", NAME).await;
}

#[tokio::test]
async fn wrong_name_and_missing_zones_read_as_their_examples() {
    let world = World::new().await;
    let three = [("node-a", Some("zone-a")), ("node-b", Some("zone-b")), ("node-c", Some("zone-c"))];
    world.set_zones(three.map(|(node, _)| (node, Some("zone-a")))).await;
    let _manager = world.manager().await;
    world.create(json!({})).await;
    world.state_becomes("Warning").await;
    world.matches("zone-warning", NAME).await;
    world.set_zones(three).await;

    world.create_as(NAMESPACE, "second-nats", json!({})).await.unwrap();
    world.becomes_state("second-nats", "Error").await;
    world.matches("wrong-name", "second-nats").await;
}

fn has(status: &NatsStatus, kind: &str, brief: &str, text: &str) -> bool {
    condition(status, kind)
        .is_some_and(|(holds, reason, message)| format!("{holds} {reason}") == brief && message.contains(text))
}

impl World {
    async fn becomes_state(&self, name: &str, state: &str) {
        let api: Api<Nats> = self.api();
        nats_manager_harness::eventually(&format!("{name} has the state {state}"), crate::world::TIMEOUT, || async {
            api.get(name).await.map(|nats| nats.status.unwrap_or_default().state == state)
        })
        .await;
    }

    /// Compares what kubectl prints of a resource with the example of a situation.
    async fn matches(&self, situation: &str, name: &str) {
        let kubectl = async |args: &[&str]| self.kubectl(args).await.unwrap();
        matches_example(situation, name, kubectl).await;
    }
}
