//! Two edits in one patch.

use std::time::Instant;

use serde_json::json;

use super::steps::{becomes_steady, memory_limit, memory_limits, running};
use crate::{
    scaling::size_becomes,
    world::{World, real},
};

#[test]
#[ignore = "long: cargo xtask test --only real-all"]
fn two_edits_in_one_patch_never_stop_two_servers() {
    real(async |world: &World<'_>| {
        let _manager = running(world, 5).await;
        world.make_stream(3).await;
        let publisher = world.publisher();
        publisher.makes_progress().await;
        let (watch, old, begun) = (world.watch_members(), world.pods().await, Instant::now());

        let mut spec = memory_limit("1100Mi");
        spec["cluster"] = json!({"size": 3});
        world.patch(json!({"spec": spec})).await.unwrap();
        size_becomes(world, 3).await;
        let pods = becomes_steady(world, 3, &old).await;
        println!("5 -> 3 with a new template: {:?}", begun.elapsed());

        assert_eq!(memory_limits(&pods), ["1100Mi"; 3]);
        watch.at_most_one_unavailable();
        world.stream_is_in_sync(3).await;
        publisher.makes_progress().await;
        world.verify(&publisher.stop().await).await;
    });
}
