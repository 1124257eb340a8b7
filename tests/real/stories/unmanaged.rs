//! StatefulSet that is scaled while no manager runs.

use std::time::Duration;

use serde_json::json;

use super::steps::{becomes_steady, condition_becomes, nothing_changes, running, streams_are_readable};
use crate::{
    scaling::{make_stream, size_becomes},
    world::{World, real},
};

/// Scales three servers to five while no manager runs, and creates ten streams for each name prefix and number of
/// replicas. Returns the names of the streams.
async fn scaled_by_hand(world: &World<'_>, streams: &[(&str, usize)]) -> Vec<String> {
    running(world, 3).await.terminate().await.unwrap();
    world.scale_stateful_set(5).await;
    world.servers_are_ready(5, &[]).await;
    world.meta_group_has(5).await;
    let mut names = Vec::new();
    for index in 0..10 {
        for (prefix, replicas) in streams {
            names.push(format!("{prefix}{index}"));
            make_stream(world, &format!("{prefix}{index}"), *replicas).await;
        }
    }
    names
}

#[test]
#[ignore = "long: cargo xtask test --only real-all"]
fn servers_scaled_by_hand_stay_while_they_hold_the_only_replica() {
    real(async |world: &World<'_>| {
        let names = scaled_by_hand(world, &[("a", 1), ("b", 3)]).await;
        let _manager = world.manager().await;
        let stalled = condition_becomes(world, "Stalled", "True", "ScalingBlocked", "only replica").await;
        assert!(stalled.message.contains("nats stream edit a"), "{}", stalled.message);
        nothing_changes(world, 5, Duration::from_secs(30)).await;
        streams_are_readable(world, &names).await;

        world.patch(json!({"spec": {"cluster": {"size": 5}}})).await.unwrap();
        becomes_steady(world, 5, &[]).await;
        condition_becomes(world, "Stalled", "False", "NotBlocked", "").await;
        world.meta_group_has(5).await;
        streams_are_readable(world, &names).await;
    });
}

#[test]
fn servers_scaled_by_hand_leave_one_at_a_time() {
    real(async |world: &World<'_>| {
        let names = scaled_by_hand(world, &[("b", 3)]).await;
        let watch = world.watch_members();
        let _manager = world.manager().await;
        size_becomes(world, 3).await;
        becomes_steady(world, 3, &[]).await;
        world.meta_group_has(3).await;
        watch.at_most_one_unavailable();
        streams_are_readable(world, &names).await;
    });
}
