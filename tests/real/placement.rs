//! Where servers run, and what a drain may take away.

use std::{collections::BTreeSet, time::Duration};

use k8s_openapi::api::core::v1::Pod;
use nats_manager_harness::{Seen, eventually};
use serde_json::json;

use crate::{
    servers::is_ready,
    world::{SOON, World, real},
};

#[test]
fn three_servers_are_on_three_nodes_in_three_zones_and_a_drain_takes_one_at_a_time() {
    real(async |world| {
        let _manager = world.manager().await;
        world.create(json!({"cluster": {"size": 3}})).await;
        let status = world.state_becomes("Ready").await;
        assert_eq!(status.availability_zones_used, 3);
        let nodes: BTreeSet<String> = world.pods().await.iter().filter_map(node).collect();
        assert_eq!(nodes.len(), 3, "{nodes:?}");

        world.make_stream(3).await;
        let publisher = world.publisher();
        publisher.goes_on().await;
        let nodes: Vec<String> = nodes.into_iter().collect();
        // The server has no other node to go to: zones are spread hard, so it stays pending.
        drain(world, &nodes[0], "2m").await.unwrap();
        let refused = drain(world, &nodes[1], "10s").await.unwrap_err();
        assert!(refused.contains("disruption budget"), "{refused}");
        assert_eq!(world.pods().await.iter().filter(|pod| is_ready(pod)).count(), 2);
        publisher.goes_on().await;

        for node in &nodes[..2] {
            world.kubectl(&["uncordon", node]).await.unwrap();
        }
        world.servers_are_ready(3, &[]).await;
        world.stream_is_current(3).await;
        world.verify(&publisher.stop().await).await;
    });
}

#[test]
#[ignore = "long: cargo xtask test --only real-all"]
fn what_is_away_is_named_with_the_way_out() {
    real(async |world| {
        let _manager = world.manager().await;
        world.create(json!({"cluster": {"size": 3}})).await;
        world.state_becomes("Ready").await;
        world.make_stream(3).await;
        let nodes: Vec<String> = world.pods().await.iter().filter_map(node).collect();

        world.cluster.stop_node(&nodes[2]).await.unwrap();
        says(world, "JetStream False ServerUnreachable", "eventing-nats-2").await;
        world.cluster.stop_node(&nodes[1]).await.unwrap();
        says(world, "JetStream False QuorumLost", "JetStream accepts no messages").await;
        for node in &nodes[1..] {
            world.cluster.start_node(node).await.unwrap();
        }
        says(world, "JetStream True Healthy", "JetStream is healthy").await;
        world.state_becomes("Ready").await;
    });
}

fn node(pod: &Pod) -> Option<String> {
    pod.spec.as_ref()?.node_name.clone()
}

/// Takes the servers off a node as an administrator does.
pub async fn drain(world: &World<'_>, node: &str, timeout: &str) -> Result<String, String> {
    let selector = "--pod-selector=nats_cluster=eventing-nats";
    let timeout = format!("--timeout={timeout}");
    world.kubectl(&["drain", node, "--ignore-daemonsets", "--delete-emptydir-data", selector, &timeout]).await
}

/// Waits until a condition says so.
async fn says(world: &World<'_>, line: &str, words: &str) {
    // The node is given up after 20 s, trouble is told when it has lasted for 30 s.
    eventually(&format!("{line}: {words}"), SOON + Duration::from_mins(1), || async {
        let nats: nats_manager_api::Nats = world.api().get(crate::world::NAME).await?;
        let conditions = nats.status.unwrap_or_default().conditions;
        let is_it = conditions.iter().any(|known| {
            format!("{} {} {}", known.type_, known.status, known.reason) == line && known.message.contains(words)
        });
        Ok::<_, kube::Error>(if is_it { Seen::Done(()) } else { Seen::NotYet(format!("{conditions:?}")) })
    })
    .await;
}
