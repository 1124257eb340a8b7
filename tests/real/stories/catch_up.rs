//! Slow catch-ups: links of 20 Mbit/s or more, and streams of 256 MiB and 1 GiB.

use std::time::{Duration, Instant};

use async_nats::jetstream::stream::Config;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::{ResourceExt, api::DeleteParams};
use nats_manager_harness::{RealCluster, Seen, eventually};
use serde_json::json;

use super::{
    steps::{CHANGED, becomes_steady, memory_limit, nothing_changes},
    watch::replicas,
};
use crate::{
    manager::ManagerProcess,
    placement::drain,
    scaling::size_becomes,
    servers::is_ready,
    world::{NAME, SOON, World, real},
};

const STREAM: &str = "large";
/// Number of messages of a stream of 256 MiB.
const MESSAGES: u64 = 1024;
const MESSAGE: usize = 1 << 18;

/// Starts a manager and servers with a file store of 3 GiB.
async fn running(world: &World<'_>, servers: usize) -> ManagerProcess {
    let manager = world.manager().await;
    let storage = json!({"fileStorage": {"size": "3Gi"}});
    world.create(json!({"cluster": {"size": servers}, "jetStream": storage})).await;
    world.state_becomes("Ready").await;
    manager
}

/// Creates the stream with replicas on these servers, publishes the messages, and waits until all replicas have them.
async fn fill(world: &World<'_>, on: &[usize], messages: u64) {
    let context = world.nats().await;
    let config =
        Config { name: STREAM.to_owned(), subjects: vec![STREAM.to_owned()], num_replicas: 3, ..Config::default() };
    let on: Vec<String> = on.iter().map(|ordinal| World::server(*ordinal)).collect();
    eventually("the stream has replicas on these servers", CHANGED, || async {
        let stream = context.create_stream(config.clone()).await.map_err(|error| error.to_string())?;
        let cluster = stream.cached_info().cluster.clone().unwrap();
        let mut names: Vec<String> = cluster.replicas.into_iter().map(|replica| replica.name).collect();
        names.extend(cluster.leader);
        if on.iter().all(|server| names.contains(server)) {
            return Ok::<_, String>(Seen::Done(()));
        }
        context.delete_stream(STREAM).await.map_err(|error| error.to_string())?;
        Ok(Seen::NotYet(format!("{names:?}")))
    })
    .await;
    let payload = incompressible(MESSAGE);
    for _ in 0..messages {
        context.publish(STREAM, payload.clone().into()).await.unwrap().await.unwrap();
    }
    eventually("all replicas are complete", SOON, || async {
        let found = replicas(world.client.clone(), STREAM).await.unwrap_or_default();
        let is_complete = found.len() == 3 && found.values().all(|last| *last == messages);
        if is_complete { Seen::Done(()) } else { Seen::NotYet(format!("{found:?}")) }
    })
    .await;
}

/// Returns bytes of a random generator (xorshift), since servers compress the messages that they replicate.
fn incompressible(count: usize) -> Vec<u8> {
    let next = |state: &u64| {
        let mut state = *state;
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        Some(state)
    };
    std::iter::successors(Some(0x9E37_79B9_7F4A_7C15), next).flat_map(u64::to_le_bytes).take(count).collect()
}

/// Returns one of the first three servers that is on another node than the other two. If it leads, the others receive
/// messages over a limited link.
async fn far_from_others(world: &World<'_>) -> usize {
    let nodes = [world.node_of(0).await, world.node_of(1).await, world.node_of(2).await];
    let is_far = |ordinal: &usize| nodes.iter().filter(|node| **node == nodes[*ordinal]).count() == 1;
    (0..3).find(is_far).expect("the first three servers are on more than one node")
}

/// Scales 5 to 3 servers over links of `link_bits_per_second`.
async fn scale_down(world: &World<'_>, messages: u64, link_bits_per_second: u32) {
    let _manager = running(world, 5).await;
    let staying = far_from_others(world).await;
    fill(world, &[staying, 3, 4], messages).await;
    for node in RealCluster::NODES {
        world.cluster.limit_link(node, link_bits_per_second).await.unwrap();
    }
    let (complete, members, begun) =
        (world.watch_complete_replicas(STREAM, messages), world.watch_members(), Instant::now());
    world.patch(json!({"spec": {"cluster": {"size": 3}}})).await.unwrap();
    size_becomes(world, 3).await;
    println!("5 -> 3 with {messages} messages: {:?}; worst: {:?}", begun.elapsed(), complete.get());
    becomes_steady(world, 3, &[]).await;

    let (worst, text) = complete.get().unwrap();
    assert!(worst >= 2, "{worst} complete replicas {text}");
    members.at_most_one_unavailable();
    let found = replicas(world.client.clone(), STREAM).await.unwrap();
    assert!(found.len() == 3 && found.values().all(|last| *last == messages), "{found:?}");
}

#[test]
#[ignore = "long: cargo xtask test --only real-all"]
fn scale_down_keeps_two_complete_replicas_at_every_moment() {
    // 256 MiB take more than 40 s.
    real(async |world: &World<'_>| scale_down(world, MESSAGES, 50_000_000).await);
}

#[test]
#[ignore = "long: cargo xtask test --only real-all"]
fn scale_down_of_a_gigabyte_keeps_two_complete_replicas_at_every_moment() {
    // A replica takes more than 85 s.
    real(async |world: &World<'_>| scale_down(world, 4 * MESSAGES, 100_000_000).await);
}

#[test]
#[ignore = "long: cargo xtask test --only real-all"]
fn eviction_and_rollout_wait_while_a_server_catches_up() {
    real(async |world: &World<'_>| {
        let _manager = running(world, 3).await;
        fill(world, &[0, 1, 2], MESSAGES).await;
        let last = World::server(2);
        world.slow_down(2).await;
        // The new Pod gets a new, empty volume.
        let pvc = format!("{NAME}-js-pvc-{last}");
        world.api::<PersistentVolumeClaim>().delete(&pvc, &DeleteParams::default()).await.unwrap();
        let old = world.pod(&last).await;
        world.delete_pod(&last).await;
        eventually("the server catches up", SOON, || async {
            let pods: Vec<Pod> = world.pods().await;
            let is_new = pods.iter().any(|pod| pod.name_any() == last && pod.uid() != old.uid());
            let found = replicas(world.client.clone(), STREAM).await.unwrap_or_default();
            let is_catching_up = found.get(&last).is_some_and(|sequence| *sequence < MESSAGES);
            if is_new && is_catching_up { Seen::Done(()) } else { Seen::NotYet(format!("{found:?}")) }
        })
        .await;

        let node = world.node_of(0).await;
        let rejection = drain(world, &node, "20s").await.unwrap_err();
        assert!(rejection.contains("disruption budget"), "{rejection}");
        world.kubectl(&["uncordon", &node]).await.unwrap();
        // A rolling update waits as well.
        let old = world.pods().await;
        world.patch(json!({"spec": memory_limit("1100Mi")})).await.unwrap();
        nothing_changes(world, 3, Duration::from_secs(15)).await;
        let incomplete = replicas(world.client.clone(), STREAM).await.unwrap();
        // Over a slow link the server may not respond.
        assert!(incomplete.get(&last).is_none_or(|sequence| *sequence < MESSAGES), "{incomplete:?}");
        assert!(!is_ready(&world.pod(&last).await), "ready before it has all messages");

        world.speed_up(2).await;
        becomes_steady(world, 3, &old).await;
        let found = replicas(world.client.clone(), STREAM).await.unwrap();
        assert!(found.len() == 3 && found.values().all(|last| *last == MESSAGES), "{found:?}");
    });
}
