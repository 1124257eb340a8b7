//! Placement of servers on nodes and zones, and drains.

use std::{collections::BTreeSet, time::Duration};

use k8s_openapi::api::core::v1::Pod;
use nats_manager_harness::{Seen, eventually};
use serde_json::json;

use crate::{
    servers::is_ready,
    world::{SOON, World, real},
};

#[test]
fn three_servers_are_in_three_zones_and_a_drain_evicts_one_at_a_time() {
    real(async |world| {
        let _manager = world.manager().await;
        world.create(json!({"cluster": {"size": 3}})).await;
        let status = world.state_becomes("Ready").await;
        assert_eq!(status.availability_zones_used, 3);
        let nodes: BTreeSet<String> = world.pods().await.iter().filter_map(node).collect();
        assert_eq!(nodes.len(), 3, "{nodes:?}");

        world.make_stream(3).await;
        let publisher = world.publisher();
        publisher.makes_progress().await;
        let nodes: Vec<String> = nodes.into_iter().collect();
        // No other node is in the zone of the server, and the spread over zones is hard, so its new Pod stays pending.
        drain(world, &nodes[0], "2m").await.unwrap();
        let rejection = drain(world, &nodes[1], "10s").await.unwrap_err();
        assert!(rejection.contains("disruption budget"), "{rejection}");
        assert_eq!(world.pods().await.iter().filter(|pod| is_ready(pod)).count(), 2);
        publisher.makes_progress().await;

        for node in &nodes[..2] {
            world.kubectl(&["uncordon", node]).await.unwrap();
        }
        world.servers_are_ready(3, &[]).await;
        world.stream_is_in_sync(3).await;
        world.verify(&publisher.stop().await).await;
    });
}

#[test]
#[ignore = "long: cargo xtask test --only real-all"]
fn unreachable_servers_and_lost_quorum_are_named() {
    real(async |world| {
        let _manager = world.manager().await;
        world.create(json!({"cluster": {"size": 3}})).await;
        world.state_becomes("Ready").await;
        world.make_stream(3).await;
        let nodes: Vec<String> = world.pods().await.iter().filter_map(node).collect();

        world.cluster.stop_node(&nodes[2]).await.unwrap();
        condition_becomes(world, "JetStream False ServerUnreachable", "eventing-nats-2").await;
        world.cluster.stop_node(&nodes[1]).await.unwrap();
        condition_becomes(world, "JetStream False QuorumLost", "JetStream accepts no messages").await;
        for node in &nodes[1..] {
            world.cluster.start_node(node).await.unwrap();
        }
        condition_becomes(world, "JetStream True Healthy", "JetStream is healthy").await;
        world.state_becomes("Ready").await;
    });
}

fn node(pod: &Pod) -> Option<String> {
    pod.spec.as_ref()?.node_name.clone()
}

/// Drains the servers of a node as an administrator does. `timeout` is that of kubectl. Returns the output of kubectl,
/// or its error output if the drain fails.
pub async fn drain(world: &World<'_>, node: &str, timeout: &str) -> Result<String, String> {
    let selector = "--pod-selector=nats_cluster=eventing-nats";
    let timeout = format!("--timeout={timeout}");
    world.kubectl(&["drain", node, "--ignore-daemonsets", "--delete-emptydir-data", selector, &timeout]).await
}

/// Waits until a condition has this type, status and reason (`line`), and a message that contains `text`.
async fn condition_becomes(world: &World<'_>, line: &str, text: &str) {
    // Kubernetes reports the node as not ready after 20 s, and the manager reports a health issue after 30 s.
    eventually(&format!("{line}: {text}"), SOON + Duration::from_mins(1), || async {
        let nats: nats_manager_api::Nats = world.api().get(crate::world::NAME).await?;
        let conditions = nats.status.unwrap_or_default().conditions;
        let is_met = conditions.iter().any(|condition| {
            format!("{} {} {}", condition.type_, condition.status, condition.reason) == line
                && condition.message.contains(text)
        });
        Ok::<_, kube::Error>(if is_met { Seen::Done(()) } else { Seen::NotYet(format!("{conditions:?}")) })
    })
    .await;
}
