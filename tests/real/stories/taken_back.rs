//! Scale-up that fails and is taken back while its cause lasts.

use std::time::Instant;

use nats_manager_harness::{Seen, eventually};
use serde_json::json;

use super::steps::{CHANGED, condition_becomes, memory_limit, memory_limits, replicas_become, running};
use crate::{
    servers::is_ready,
    world::{NAMESPACE, World, real},
};

#[test]
fn failed_scale_up_is_taken_back() {
    real(async |world: &World<'_>| {
        let _manager = running(world, 3).await;
        world.make_stream(3).await;
        let publisher = world.publisher();
        publisher.makes_progress().await;
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
        println!("scale-up taken back: {:?}", begun.elapsed());

        world.patch(json!({"spec": memory_limit("1100Mi")})).await.unwrap();
        eventually("a server is restarted with the new template", CHANGED, || async {
            let last = world.pods().await.pop();
            let is_new = last.is_some_and(|pod| is_ready(&pod) && memory_limits(&[pod]) == ["1100Mi"]);
            if is_new { Seen::Done(()) } else { Seen::NotYet("none is".to_owned()) }
        })
        .await;
        watch.at_most_one_unavailable();
        world.verify(&publisher.stop().await).await;
        world.kubectl(&["delete", "quota", "q", "-n", NAMESPACE]).await.unwrap();
    });
}
