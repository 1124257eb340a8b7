//! Upgrades of the NATS server.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use nats_manager_harness::NatsVersion::{self, V2_14_2, V2_14_10, V2_15_3};
use serde_json::json;

use super::steps::{becomes_steady, condition_becomes, nothing_changes};
use crate::{
    manager::ManagerOptions,
    world::{World, real_with},
};

#[test]
#[ignore = "long: cargo xtask test --only real-all"]
fn upgrade_by_the_bridge_version_loses_nothing_and_a_direct_jump_is_blocked() {
    real_with(&NatsVersion::ALL, async |world| {
        let manager = world.manager_with(&ManagerOptions::with_nats(V2_14_2)).await;
        world.create(json!({"cluster": {"size": 3}})).await;
        world.state_becomes("Ready").await;
        servers_run(world, &world.pods().await, V2_14_2).await;
        world.make_stream(3).await;
        let publisher = world.publisher();
        publisher.makes_progress().await;
        let watch = world.watch_members();
        manager.terminate().await.unwrap();

        let manager = world.manager_with(&ManagerOptions::with_nats(V2_15_3)).await;
        condition_becomes(world, "Stalled", "True", "VersionBlocked", "upgrade to 2.14.7").await;
        nothing_changes(world, 3, Duration::from_secs(20)).await;
        manager.terminate().await.unwrap();

        for version in [V2_14_10, V2_15_3] {
            let (old, begun) = (world.pods().await, Instant::now());
            let manager = world.manager_with(&ManagerOptions::with_nats(version)).await;
            let pods = becomes_steady(world, 3, &old).await;
            println!("upgrade to {version}: {:?}", begun.elapsed());
            servers_run(world, &pods, version).await;
            world.stream_is_in_sync(3).await;
            publisher.makes_progress().await;
            manager.terminate().await.unwrap();
        }
        watch.at_most_one_unavailable();
        let acknowledged = publisher.stop().await;
        println!("messages acknowledged: {}", acknowledged.len());
        world.verify(&acknowledged).await;
    });
}

/// Checks that the servers in these Pods have this version.
async fn servers_run(world: &World<'_>, pods: &[Pod], version: NatsVersion) {
    for pod in pods {
        assert_eq!(world.monitor(pod, "/varz").await["version"], version.number());
    }
}
