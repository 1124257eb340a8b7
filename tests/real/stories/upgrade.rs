//! Other versions of the NATS server.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use nats_manager_harness::NatsVersion::{self, V2_14_2, V2_14_10, V2_15_3};
use serde_json::json;

use super::steps::{condition_becomes, nothing_changes, settles};
use crate::{
    manager::Options,
    world::{World, real_with},
};

#[test]
#[ignore = "long: cargo xtask test --only real-all"]
fn upgrade_by_the_bridge_version_loses_nothing_and_a_direct_jump_is_blocked() {
    real_with(&NatsVersion::ALL, async |world| {
        let manager = world.manager_with(&Options::with_nats(V2_14_2)).await;
        world.create(json!({"cluster": {"size": 3}})).await;
        world.state_becomes("Ready").await;
        runs(world, &world.pods().await, V2_14_2).await;
        world.make_stream(3).await;
        let publisher = world.publisher();
        publisher.goes_on().await;
        let watch = world.watch_members();
        manager.terminate().await;

        let manager = world.manager_with(&Options::with_nats(V2_15_3)).await;
        condition_becomes(world, "Stalled", "True", "VersionBlocked", "upgrade to 2.14.7").await;
        nothing_changes(world, 3, Duration::from_secs(20)).await;
        manager.terminate().await;

        for version in [V2_14_10, V2_15_3] {
            let (old, begun) = (world.pods().await, Instant::now());
            let manager = world.manager_with(&Options::with_nats(version)).await;
            let pods = settles(world, 3, &old).await;
            println!("upgrade to {version}: {:?}", begun.elapsed());
            runs(world, &pods, version).await;
            world.stream_is_current(3).await;
            publisher.goes_on().await;
            manager.terminate().await;
        }
        watch.one_away_at_most();
        let acknowledged = publisher.stop().await;
        println!("messages acknowledged: {}", acknowledged.len());
        world.verify(&acknowledged).await;
    });
}

async fn runs(world: &World<'_>, pods: &[Pod], version: NatsVersion) {
    for pod in pods {
        assert_eq!(world.monitor(pod, "/varz").await["version"], version.number());
    }
}
