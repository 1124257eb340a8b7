//! Deletion of the NATS resource: blocked while it would delete streams or consumers of customers.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::api::ListParams;
use serde_json::json;

use crate::{
    manager::{ManagerOptions, ManagerProcess},
    scaling::{make_consumer, make_stream, nats},
    streams::STREAM,
    world::{NAME, World, real},
};

async fn running(world: &World<'_>, servers: usize) -> ManagerProcess {
    let manager = world.manager_with(&ManagerOptions { webhook: true, ..ManagerOptions::default() }).await;
    world.create(json!({"cluster": {"size": servers}})).await;
    world.state_becomes("Ready").await;
    manager
}

async fn deletion_is_blocked(world: &World<'_>, reason: &str) {
    world
        .status_becomes(&format!("the deletion is blocked: {reason}"), |status| {
            let is_blocked = |condition: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition| {
                condition.type_ == "Deleted" && condition.status == "False" && condition.message.contains(reason)
            };
            status.state == "Warning" && status.conditions.iter().any(is_blocked)
        })
        .await;
}

async fn nothing_is_left(world: &World<'_>) {
    world.gone().await;
    let pvcs = world.api::<PersistentVolumeClaim>();
    nats_manager_harness::eventually("the PVCs are gone", crate::world::SOON, || async {
        pvcs.list(&ListParams::default()).await.map(|list| list.items.is_empty())
    })
    .await;
}

#[test]
fn deletion_waits_for_streams_and_consumers_of_customers() {
    real(async |world| {
        let _manager = running(world, 3).await;
        make_stream(world, "orders", 3).await;
        world.make_stream(3).await;
        make_consumer(world, STREAM).await;
        let status = world
            .status_becomes("the inventory of JetStream is in the status", |status| {
                status.jet_stream.as_ref().is_some_and(|jet_stream| jet_stream.customer_data)
            })
            .await;
        let inventory = status.jet_stream.map(|jet_stream| (jet_stream.streams, jet_stream.highest_replicas));
        assert_eq!(inventory, Some((true, 3)));

        let output = world.kubectl_with_warnings(&["delete", "nats", NAME, "-n", "kyma-system", "--wait=false"]).await;
        assert!(output.contains("Warning: NATS eventing-nats has streams or consumers of users"), "{output}");
        deletion_is_blocked(world, "Cannot delete NATS cluster as customer stream exists").await;
        nats(world, &["stream", "rm", "orders", "--force"]).await;
        deletion_is_blocked(world, "Cannot delete NATS cluster as stream consumer exists").await;
        nats(world, &["consumer", "rm", STREAM, "reader", "--force"]).await;
        nothing_is_left(world).await;
    });
}

#[test]
#[ignore = "long: cargo xtask test --only real-all"]
fn deletion_waits_while_servers_are_unreachable() {
    real(async |world| {
        let manager = running(world, 3).await;
        world.make_stream(3).await;
        manager.kill().await.unwrap();
        for node in ["node-a", "node-b", "node-c"] {
            world.cluster.stop_node(node).await.unwrap();
        }
        let _manager = world.manager().await;
        world.delete().await;
        deletion_is_blocked(world, "cannot be listed").await;
        for node in ["node-a", "node-b", "node-c"] {
            world.cluster.start_node(node).await.unwrap();
        }
        nothing_is_left(world).await;
    });
}

#[test]
#[ignore = "long: cargo xtask test --only real-all"]
fn manager_killed_during_deletion_is_followed_by_one_that_completes_it() {
    real(async |world| {
        let manager = running(world, 3).await;
        world.make_stream(3).await;
        world.delete().await;
        world.status_becomes("the deletion begins", |status| status.state == "Deleting").await;
        manager.kill().await.unwrap();
        let _manager = world.manager().await;
        nothing_is_left(world).await;
    });
}
