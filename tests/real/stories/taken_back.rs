//! A scale-up that fails is taken back while its cause lasts.

use std::time::Instant;

use serde_json::json;

use super::steps::{condition_becomes, memory_limit, memory_limits, replicas_become, running, settles};
use crate::world::{NAMESPACE, World, real};

#[test]
#[ignore = "long: cargo xtask test --only real-all"]
fn failed_scale_up_is_taken_back() {
    real(async |world: &World<'_>| {
        let _manager = running(world, 3).await;
        world.make_stream(3).await;
        let publisher = world.publisher();
        publisher.goes_on().await;
        let watch = world.watch_members();
        let quota = ["create", "quota", "q", "--hard=persistentvolumeclaims=3", "-n", NAMESPACE];
        world.kubectl(&quota).await.unwrap();

        world.patch(json!({"spec": {"cluster": {"size": 5}}})).await.unwrap();
        let begun = Instant::now();
        condition_becomes(world, "Reconciling", "True", "FailedCreate", "exceeded quota").await;
        println!("failed creation named: {:?}", begun.elapsed());
        world.patch(json!({"spec": {"cluster": {"size": 3}}})).await.unwrap();
        let begun = Instant::now();
        replicas_become(world, 3).await;
        let old = settles(world, 3, &[]).await;
        println!("scale-up taken back: {:?}", begun.elapsed());

        world.patch(json!({"spec": memory_limit("1100Mi")})).await.unwrap();
        let pods = settles(world, 3, &old).await;
        assert_eq!(memory_limits(&pods), ["1100Mi"; 3]);
        watch.one_away_at_most();
        world.verify(&publisher.stop().await).await;
        world.kubectl(&["delete", "quota", "q", "-n", NAMESPACE]).await.unwrap();
    });
}
