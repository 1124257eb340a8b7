//! Scale-up from one server to three, with streams created meanwhile and containers that restart.

use std::time::Duration;

use nats_manager_harness::RealCluster;
use serde_json::json;

use super::steps::{becomes_steady, condition_becomes, replicas_become, running, streams_are_readable};
use crate::{
    scaling::{make_stream, nats, size_becomes},
    world::{World, real},
};

#[test]
#[ignore = "long: cargo xtask test --only real-all"]
fn forming_a_cluster_is_taken_back_for_a_new_stream_and_survives_container_restarts() {
    real(async |world: &World<'_>| {
        let manager = running(world, 1).await;
        let first = World::server(0);
        // The new servers cannot be scheduled, so the change stays incomplete.
        for node in RealCluster::NODES {
            world.kubectl(&["cordon", node]).await.unwrap();
        }
        world.patch(json!({"spec": {"cluster": {"size": 3}}})).await.unwrap();
        replicas_become(world, 3).await;
        manager.terminate().await.unwrap();
        make_stream(world, "orders", 1).await;
        world.kill_server(&first).await;
        let names = ["orders".to_owned()];
        streams_are_readable(world, &names).await;

        let _manager = world.manager().await;
        condition_becomes(world, "Stalled", "True", "ScalingBlocked", "orders").await;
        replicas_become(world, 1).await;
        world.kill_server(&first).await;
        streams_are_readable(world, &names).await;

        nats(world, &["stream", "rm", "orders", "--force"]).await;
        replicas_become(world, 3).await;
        // The node of the first server is last: with the other servers on it, the spread over zones would keep that
        // server pending.
        let own = world.node_of(0).await;
        let others = RealCluster::NODES.into_iter().filter(|node| *node != own);
        for node in others.chain([own.as_str()]) {
            world.kubectl(&["uncordon", node]).await.unwrap();
        }
        size_becomes(world, 3).await;
        becomes_steady(world, 3, &[]).await;
        // The first server is a member now, and must stay one after a restart of its container.
        make_stream(world, "orders", 3).await;
        world.kill_server(&first).await;
        tokio::time::sleep(Duration::from_secs(35)).await; // an orphaned stream is removed after 30 s
        world.meta_group_has(3).await;
        streams_are_readable(world, &names).await;
        becomes_steady(world, 3, &[]).await;
    });
}
