//! The end of a cluster: never of data that somebody may want.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::api::ListParams;
use serde_json::json;

use crate::{
    manager::{Manager, Options},
    scaling::{make_consumer, make_stream, nats},
    streams::STREAM,
    world::{NAME, World, real},
};

async fn running(world: &World<'_>, servers: usize) -> Manager {
    let manager = world.manager_with(&Options { webhook: true, ..Options::default() }).await;
    world.create(json!({"cluster": {"size": servers}})).await;
    world.state_becomes("Ready").await;
    manager
}

async fn deletion_waits(world: &World<'_>, why: &str) {
    world
        .status_becomes(&format!("the deletion waits: {why}"), |status| {
            let waits = |known: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition| {
                known.type_ == "Deleted" && known.status == "False" && known.message.contains(why)
            };
            status.state == "Warning" && status.conditions.iter().any(waits)
        })
        .await;
}

async fn nothing_is_left(world: &World<'_>) {
    world.gone().await;
    let claims = world.api::<PersistentVolumeClaim>();
    nats_manager_harness::eventually("the claims are gone", crate::world::SOON, || async {
        claims.list(&ListParams::default()).await.map(|list| list.items.is_empty())
    })
    .await;
}

#[test]
fn a_deletion_waits_for_streams_and_consumers_of_customers() {
    real(async |world| {
        let _manager = running(world, 3).await;
        make_stream(world, "orders", 3).await;
        world.make_stream(3).await;
        make_consumer(world, STREAM).await;
        let known = world
            .status_becomes("what JetStream holds is known", |status| {
                status.jet_stream.as_ref().is_some_and(|held| held.customer_data)
            })
            .await;
        assert_eq!(known.jet_stream.map(|held| (held.streams, held.highest_replicas)), Some((true, 3)));

        let said = world.kubectl_says(&["delete", "nats", NAME, "-n", "kyma-system", "--wait=false"]).await;
        assert!(said.contains("Warning: NATS eventing-nats has streams or consumers of yours"), "{said}");
        deletion_waits(world, "Cannot delete NATS cluster as customer stream exists").await;
        nats(world, &["stream", "rm", "orders", "--force"]).await;
        deletion_waits(world, "Cannot delete NATS cluster as stream consumer exists").await;
        nats(world, &["consumer", "rm", STREAM, "reader", "--force"]).await;
        nothing_is_left(world).await;
    });
}

#[test]
#[ignore = "long: cargo xtask test --only real-all"]
fn a_deletion_waits_while_nobody_can_be_asked() {
    real(async |world| {
        let manager = running(world, 3).await;
        world.make_stream(3).await;
        manager.kill().await;
        for node in ["node-a", "node-b", "node-c"] {
            world.cluster.stop_node(node).await.unwrap();
        }
        let _manager = world.manager().await;
        world.delete().await;
        deletion_waits(world, "cannot be asked").await;
        for node in ["node-a", "node-b", "node-c"] {
            world.cluster.start_node(node).await.unwrap();
        }
        nothing_is_left(world).await;
    });
}

#[test]
#[ignore = "long: cargo xtask test --only real-all"]
fn a_manager_that_dies_in_the_middle_of_a_deletion_is_followed_by_one_that_finishes_it() {
    real(async |world| {
        let manager = running(world, 3).await;
        world.make_stream(3).await;
        world.delete().await;
        world.status_becomes("the deletion begins", |status| status.state == "Deleting").await;
        manager.kill().await;
        let _manager = world.manager().await;
        nothing_is_left(world).await;
    });
}
