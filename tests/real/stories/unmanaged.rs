//! A StatefulSet that is scaled while no manager runs.

use std::time::Duration;

use serde_json::json;

use super::steps::{condition_becomes, nothing_changes, running, settles, streams_are_readable};
use crate::{
    scaling::{counts, make_stream},
    world::{World, real},
};

/// Scales three servers to five while no manager runs, and makes streams with these replicas there.
async fn scaled_by_hand(world: &World<'_>, streams: &[(&str, usize)]) -> Vec<String> {
    running(world, 3).await.terminate().await;
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
        settles(world, 5, &[]).await;
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
        counts(world, 3).await;
        settles(world, 3, &[]).await;
        world.meta_group_has(3).await;
        watch.one_away_at_most();
        streams_are_readable(world, &names).await;
    });
}
