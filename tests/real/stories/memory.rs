//! Full memory store.

use std::time::Instant;

use async_nats::jetstream::stream::{Config, StorageType};
use kube::ResourceExt;
use nats_manager_harness::eventually;
use serde_json::json;

use super::steps::{becomes_steady, condition_becomes};
use crate::world::{SOON, World, real};

const MESSAGE: usize = 1 << 16;

#[test]
#[ignore = "long: cargo xtask test --only real-all"]
fn full_memory_store_is_named_and_repaired_by_a_reload() {
    real(async |world: &World<'_>| {
        let _manager = world.manager().await;
        let memory =
            |size: &str| json!({"fileStorage": {"enabled": false}, "memStorage": {"enabled": true, "size": size}});
        world.create(json!({"cluster": {"size": 3}, "jetStream": memory("64Mi")})).await;
        world.state_becomes("Ready").await;
        let context = world.nats().await;
        let config = Config {
            name: "m".to_owned(),
            subjects: vec!["m.>".to_owned()],
            storage: StorageType::Memory,
            num_replicas: 3,
            ..Config::default()
        };
        eventually("the stream is created", SOON, || async {
            context.create_stream(config.clone()).await.map(|_| true)
        })
        .await;
        let (mut acknowledged, payload) = (0, vec![b'x'; MESSAGE]);
        for _ in 0..1200 {
            let Ok(answer) = context.publish("m.x", payload.clone().into()).await else { break };
            if answer.await.is_err() {
                break;
            }
            acknowledged += 1;
        }
        println!("messages acknowledged until the store was full: {acknowledged}");
        condition_becomes(world, "JetStream", "False", "NoStreamLeader", "spec.jetStream.memStorage.size").await;

        let before: Vec<_> = world.pods().await.iter().map(ResourceExt::uid).collect();
        world.patch(json!({"spec": {"jetStream": memory("128Mi")}})).await.unwrap();
        let begun = Instant::now();
        let pods = becomes_steady(world, 3, &[]).await;
        println!("repaired by the reload: {:?}", begun.elapsed());
        assert_eq!(pods.iter().map(ResourceExt::uid).collect::<Vec<_>>(), before);
        let mut stream = world.nats().await.get_stream("m").await.unwrap();
        assert!(stream.info().await.unwrap().state.messages >= acknowledged);
    });
}
