//! Foreign server that joins the cluster over the routes.

use std::time::Instant;

use nats_manager_harness::{NatsVersion, Seen, eventually};
use serde_json::json;

use super::steps::{CHANGED, becomes_steady, condition_becomes, is_true, memory_limit, memory_limits, running};
use crate::{
    faults::FOREIGN,
    scaling::make_stream,
    world::{World, real},
};

#[test]
#[ignore = "long: cargo xtask test --only real-all"]
fn foreign_server_is_named_and_removed_when_it_is_gone() {
    real(async |world: &World<'_>| {
        let _manager = running(world, 3).await;
        world.make_stream(3).await;
        world.add_foreign_server(NatsVersion::selected().unwrap()).await;
        foreign_server_joins(world).await;
        // The foreign server gets replicas of some of the streams, and leads some.
        for index in 0..6 {
            make_stream(world, &format!("other-{index}"), 3).await;
        }
        condition_becomes(world, "Stalled", "True", "UnknownServer", &format!("peer-remove {FOREIGN}")).await;
        let condition = condition_becomes(world, "JetStream", "False", "UnknownServer", "peer-remove").await;
        assert!(condition.message.contains(FOREIGN), "{}", condition.message);
        let status = world.state_becomes("Warning").await;
        assert!(is_true(&status, "Available"), "{:?}", status.conditions);

        world.remove_foreign_server().await;
        let begun = Instant::now();
        let old = becomes_steady(world, 3, &[]).await;
        println!("foreign server removed: {:?}", begun.elapsed());
        let names = world.meta_group_has(3).await;
        assert!(!names.iter().any(|name| name == FOREIGN), "{names:?}");
        let status = world.state_becomes("Ready").await;
        assert!(is_true(&status, "Available"), "{:?}", status.conditions);

        world.patch(json!({"spec": memory_limit("1100Mi")})).await.unwrap();
        assert_eq!(memory_limits(&becomes_steady(world, 3, &old).await), ["1100Mi"; 3]);
        for index in 0..6 {
            let mut stream = world.nats().await.get_stream(format!("other-{index}")).await.unwrap();
            assert_eq!(stream.info().await.unwrap().state.messages, 1, "other-{index}");
        }
    });
}

/// Waits until a server `size_becomes` the foreign one in the meta group.
async fn foreign_server_joins(world: &World<'_>) {
    eventually("the foreign server is counted", CHANGED, || async {
        let mut sizes = Vec::new();
        for pod in world.pods().await {
            sizes.push(world.monitor(&pod, "/jsz").await["meta_cluster"]["cluster_size"].as_u64());
        }
        if sizes.contains(&Some(4)) { Seen::Done(()) } else { Seen::NotYet(format!("{sizes:?}")) }
    })
    .await;
}
