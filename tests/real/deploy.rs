//! Creation of a NATS resource: time to Ready, URL, limits, images.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::{
    manager::ManagerOptions,
    servers::address,
    streams::{STREAM, SUBJECT},
    world::{World, real},
};

const READY_WITHIN: Duration = Duration::from_secs(90);

#[test]
fn default_sample_becomes_ready() {
    real(async |world| {
        let _manager = world.manager().await;
        let created = Instant::now();
        world.create_sample("default").await;
        let status = world.state_becomes("Ready").await;
        let time = created.elapsed();
        println!("ready after {time:?}");
        assert!(time < READY_WITHIN, "ready after {time:?}");
        assert_eq!(status.availability_zones_used, 3);

        let url = "nats://eventing-nats.kyma-system.svc.cluster.local:4222";
        assert_eq!(status.url, url);
        let mut expected: Vec<_> = world.pods().await.iter().filter_map(address).map(|ip| ip.to_string()).collect();
        expected.sort();
        assert_eq!(resolved(world, "eventing-nats.kyma-system.svc.cluster.local").await, expected);

        world.make_stream(3).await;
        let context = world.nats().await;
        context.publish(SUBJECT, "1".into()).await.unwrap().await.unwrap();
        assert_eq!(world.messages().await, [1]);
        let config = context.get_stream(STREAM).await.unwrap().get_info().await.unwrap().config;
        assert_eq!(config.num_replicas, 3);
    });
}

#[test]
fn image_that_cannot_be_pulled_is_named_in_the_status() {
    real(async |world| {
        let mut options = ManagerOptions::default();
        options.env.insert("NATS_IMAGE".to_owned(), "nats-server.example/none:1".to_owned());
        let manager = world.manager_with(&options).await;
        world.create(json!({"cluster": {"size": 1}})).await;
        world
            .status_becomes("the image is named", |status| {
                status.conditions.iter().any(|condition| {
                    condition.type_ == "Reconciling"
                        && condition
                            .message
                            .ends_with("eventing-nats-0 cannot run: container nats cannot pull its image (nats-server.example/none:1)")
                })
            })
            .await;
        manager.kill().await.unwrap();
        let _manager = world.manager().await;
        world.state_becomes("Ready").await;
    });
}

#[test]
#[ignore = "long: cargo xtask test --only real-all"]
fn every_sample_becomes_ready() {
    real(async |world| {
        let _manager = world.manager().await;
        for sample in ["minimal", "size-1", "memory-only", "small-memory-store", "full-spec"] {
            let created = Instant::now();
            world.create_sample(sample).await;
            world.status_becomes(&format!("{sample} is ready"), |status| !status.url.is_empty()).await;
            println!("{sample}: ready after {:?}", created.elapsed());
            world.delete().await;
            world.gone().await;
        }
    });
}

#[test]
fn servers_have_the_limits_of_the_resource() {
    real(async |world| {
        let _manager = world.manager().await;
        world
            .create(json!({
                "cluster": {"size": 1},
                "jetStream": {
                    "memStorage": {"enabled": true, "size": "20Mi"},
                    "fileStorage": {"storageClassName": "standard", "size": "300Mi"},
                },
            }))
            .await;
        world.state_becomes("Ready").await;
        let varz = world.monitor(&world.pod(&World::server(0)).await, "/varz").await;
        let config = &varz["jetstream"]["config"];
        assert_eq!(config["max_memory"], 20 << 20, "{config}");
        // 85 % of the volume.
        assert_eq!(config["max_storage"], 255 << 20, "{config}");
    });
}

/// Resolves a name in the network of the nodes and returns its addresses, sorted.
async fn resolved(world: &World<'_>, name: &str) -> Vec<String> {
    let mut command = tokio::process::Command::from(world.cluster.enter("getent"));
    let output = command.args(["ahostsv4", name]).output().await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut addresses: Vec<String> =
        text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect();
    addresses.sort();
    addresses.dedup();
    addresses
}
