//! What servers lose, messages do not.

use k8s_openapi::api::core::v1::Node;
use kube::Api;
use nats_manager_harness::{Seen, eventually};
use serde_json::json;

use crate::{
    manager::Manager,
    world::{SOON, World, real},
};

/// Three servers with a stream of three replicas.
async fn running(world: &World<'_>) -> Manager {
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
        publisher.goes_on().await;
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

        world.stream_is_current(3).await;
        publisher.goes_on().await;
        watch.server_down_at_most_one();
        world.verify(&publisher.stop().await).await;
    });
}

#[test]
fn messages_survive_a_node() {
    real(async |world| {
        let _manager = running(world).await;
        let publisher = world.publisher();
        publisher.goes_on().await;

        let node = world.pod(&World::server(2)).await.spec.unwrap().node_name.unwrap();
        world.cluster.stop_node(&node).await.unwrap();
        node_becomes(world, &node, "Unknown").await;
        publisher.goes_on().await;
        world.cluster.start_node(&node).await.unwrap();
        node_becomes(world, &node, "True").await;
        world.servers_are_ready(3, &[]).await;

        world.stream_is_current(3).await;
        publisher.goes_on().await;
        world.verify(&publisher.stop().await).await;
    });
}

#[test]
fn messages_survive_the_restart_of_all_servers() {
    real(async |world| {
        let _manager = running(world).await;
        let publisher = world.publisher();
        publisher.goes_on().await;

        let old = world.pods().await;
        for ordinal in 0..3 {
            world.delete_pod(&World::server(ordinal)).await;
        }
        world.servers_are_ready(3, &old).await;

        world.stream_is_current(3).await;
        publisher.goes_on().await;
        world.verify(&publisher.stop().await).await;
    });
}

/// Waits until the condition Ready of a node is as wanted.
async fn node_becomes(world: &World<'_>, name: &str, wanted: &str) {
    let nodes: Api<Node> = Api::all(world.client.clone());
    eventually(&format!("Ready of {name} is {wanted}"), SOON, || async {
        let conditions = nodes.get(name).await?.status.and_then(|status| status.conditions).unwrap_or_default();
        let ready = conditions.into_iter().find(|condition| condition.type_ == "Ready").map(|ready| ready.status);
        Ok::<_, kube::Error>(match ready {
            Some(status) if status == wanted => Seen::Done(()),
            other => Seen::NotYet(format!("{other:?}")),
        })
    })
    .await;
}
