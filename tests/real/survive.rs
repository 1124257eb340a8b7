//! Acknowledged messages after the loss of Pods and nodes.

use k8s_openapi::api::core::v1::Node;
use kube::Api;
use nats_manager_harness::{Seen, eventually};
use serde_json::json;

use crate::{
    manager::ManagerProcess,
    world::{SOON, World, real},
};

/// Starts a manager and three servers with a stream of three replicas.
async fn running(world: &World<'_>) -> ManagerProcess {
    let manager = world.manager().await;
    world.create(json!({"cluster": {"size": 3}})).await;
    world.state_becomes("Ready").await;
    world.make_stream(3).await;
    manager
}

#[test]
fn messages_survive_the_deletion_of_a_pod() {
    real(async |world| {
        let _manager = running(world).await;
        let publisher = world.publisher();
        publisher.makes_progress().await;
        let watch = world.watch_servers(3);

        let name = World::server(1);
        let old = world.pod(&name).await;
        world.delete_pod(&name).await;
        eventually("another pod has the name", SOON, || async {
            Ok::<_, kube::Error>(
                world
                    .api()
                    .get_opt(&name)
                    .await?
                    .is_some_and(|pod: k8s_openapi::api::core::v1::Pod| pod.metadata.uid != old.metadata.uid),
            )
        })
        .await;
        world.servers_are_ready(3, &[old]).await;

        world.stream_is_in_sync(3).await;
        publisher.makes_progress().await;
        watch.at_most_one_server_down();
        world.verify(&publisher.stop().await).await;
    });
}

#[test]
fn messages_survive_the_loss_of_a_node() {
    real(async |world| {
        let _manager = running(world).await;
        let publisher = world.publisher();
        publisher.makes_progress().await;

        let node = world.pod(&World::server(2)).await.spec.unwrap().node_name.unwrap();
        world.cluster.stop_node(&node).await.unwrap();
        node_becomes(world, &node, "Unknown").await;
        publisher.makes_progress().await;
        world.cluster.start_node(&node).await.unwrap();
        node_becomes(world, &node, "True").await;
        world.servers_are_ready(3, &[]).await;

        world.stream_is_in_sync(3).await;
        publisher.makes_progress().await;
        world.verify(&publisher.stop().await).await;
    });
}

#[test]
fn messages_survive_the_restart_of_all_servers() {
    real(async |world| {
        let _manager = running(world).await;
        let publisher = world.publisher();
        publisher.makes_progress().await;

        let old = world.pods().await;
        for ordinal in 0..3 {
            world.delete_pod(&World::server(ordinal)).await;
        }
        world.servers_are_ready(3, &old).await;

        world.stream_is_in_sync(3).await;
        publisher.makes_progress().await;
        world.verify(&publisher.stop().await).await;
    });
}

/// As in a cluster that hibernates: no server runs until the nodes are back.
#[test]
#[ignore = "long: cargo xtask test --only real-all"]
fn messages_survive_the_stop_of_all_nodes() {
    real(async |world| {
        let _manager = running(world).await;
        let publisher = world.publisher();
        publisher.makes_progress().await;
        let result = publisher.stop().await;
        let url = world.status().await.url;
        let nodes = ["node-a", "node-b", "node-c"];
        for node in nodes {
            world.cluster.stop_node(node).await.unwrap();
        }
        for node in nodes {
            node_becomes(world, node, "Unknown").await;
        }
        for node in nodes {
            world.cluster.start_node(node).await.unwrap();
        }
        for node in nodes {
            node_becomes(world, node, "True").await;
        }
        world.servers_are_ready(3, &[]).await;
        world.stream_is_in_sync(3).await;
        assert_eq!(world.state_becomes("Ready").await.url, url);
        world.verify(&result).await;
    });
}

/// Waits until the condition Ready of a node has this status.
async fn node_becomes(world: &World<'_>, name: &str, expected: &str) {
    let nodes: Api<Node> = Api::all(world.client.clone());
    eventually(&format!("Ready of {name} is {expected}"), SOON, || async {
        let conditions = nodes.get(name).await?.status.and_then(|status| status.conditions).unwrap_or_default();
        let ready = conditions.into_iter().find(|condition| condition.type_ == "Ready").map(|ready| ready.status);
        Ok::<_, kube::Error>(match ready {
            Some(status) if status == expected => Seen::Done(()),
            other => Seen::NotYet(format!("{other:?}")),
        })
    })
    .await;
}
