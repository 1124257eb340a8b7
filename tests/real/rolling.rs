//! Rolling updates: one server at a time, each when JetStream is healthy, and repair of a broken one.

use std::time::Instant;

use k8s_openapi::api::{apps::v1::StatefulSet, core::v1::Pod};
use kube::{ResourceExt, api::ListParams};
use nats_manager_harness::{
    Seen,
    documented::{self, Block},
    eventually,
};
use serde_json::json;

use crate::{
    manager::{ManagerOptions, ManagerProcess},
    servers::is_ready,
    typed::User,
    world::{NAME, SOON, World, real},
};

/// Returns a patch of the CPU limit, a harmless change of the Pod template.
fn more_cpu(limit: &str) -> serde_json::Value {
    json!({"spec": {"resources": {"limits": {"cpu": limit, "memory": "1Gi"}, "requests": {"cpu": "40m", "memory": "64Mi"}}}})
}

/// Starts a manager with these options and three servers with a stream of three replicas.
async fn running(world: &World<'_>, options: &ManagerOptions) -> ManagerProcess {
    let manager = world.manager_with(options).await;
    world.create(json!({"cluster": {"size": 3}})).await;
    world.state_becomes("Ready").await;
    world.make_stream(3).await;
    manager
}

fn partition(stateful_set: &StatefulSet) -> Option<i32> {
    stateful_set.spec.as_ref()?.update_strategy.as_ref()?.rolling_update.as_ref()?.partition
}

async fn partition_becomes(world: &World<'_>, expected: i32) {
    eventually(&format!("the partition is {expected}"), SOON, || async {
        let found = partition(&world.api::<StatefulSet>().get(NAME).await?);
        Ok::<_, kube::Error>(if found == Some(expected) { Seen::Done(()) } else { Seen::NotYet(format!("{found:?}")) })
    })
    .await;
}

/// Waits until all Pods are ready with the newest template, the partition is closed and the stream is in sync.
async fn rollout_completes(world: &World<'_>, old: &[Pod]) {
    world.servers_are_ready(3, old).await;
    // Closed at rest.
    partition_becomes(world, 3).await;
    world.stream_is_in_sync(3).await;
}

/// Returns the message that contains what a rolling update waits for; `None` if it does not wait.
fn wait_message(status: &nats_manager_api::NatsStatus) -> Option<String> {
    let condition = status
        .conditions
        .iter()
        .find(|condition| condition.type_ == "Reconciling" && condition.reason == "RollingUpdate");
    condition.map(|condition| condition.message.clone()).filter(|message| message.contains("waiting to restart"))
}

#[test]
fn rollout_under_load_restarts_one_server_at_a_time_and_loses_nothing() {
    real(async |world| {
        let _manager = running(world, &ManagerOptions::default()).await;
        let publisher = world.publisher();
        publisher.makes_progress().await;
        let (watch, old, begun) = (world.watch_servers(3), world.pods().await, Instant::now());

        world.patch(more_cpu("600m")).await.unwrap();
        rollout_completes(world, &old).await;
        println!("rollout of three servers: {:?}", begun.elapsed());

        publisher.makes_progress().await;
        watch.at_most_one_server_down();
        world.verify(&publisher.stop().await).await;
        let status = world.state_becomes("Ready").await;
        assert_eq!(status.operation, None, "{status:?}");
    });
}

#[test]
fn broken_image_stops_at_the_first_server_and_can_be_repaired() {
    real(async |world| {
        let manager = running(world, &ManagerOptions::default()).await;
        let publisher = world.publisher();
        publisher.makes_progress().await;
        let watch = world.watch_servers(3);
        manager.kill().await.unwrap();

        let mut broken = ManagerOptions::default();
        broken.env.insert("NATS_IMAGE".to_owned(), "nats-server.example/none:1".to_owned());
        let manager = world.manager_with(&broken).await;
        eventually("the Pod with the highest ordinal cannot pull its image", SOON, || async {
            let pods =
                world.api::<Pod>().list(&ListParams::default().labels("nats_cluster=eventing-nats")).await?.items;
            let broken =
                pods.iter().filter(|pod| !crate::servers::is_ready(pod)).map(ResourceExt::name_any).collect::<Vec<_>>();
            Ok::<_, kube::Error>(if broken == [World::server(2)] {
                Seen::Done(())
            } else {
                Seen::NotYet(format!("{broken:?}"))
            })
        })
        .await;
        let status = world
            .status_becomes("the reason of the wait is reported", |status| {
                wait_message(status).is_some_and(|message| message.contains("eventing-nats-2 cannot run: "))
            })
            .await;
        assert_eq!(status.operation.map(|operation| operation.type_).as_deref(), Some("RollingUpdate"));
        publisher.makes_progress().await;
        manager.kill().await.unwrap();

        let _manager = world.manager().await;
        rollout_completes(world, &[]).await;
        publisher.makes_progress().await;
        watch.at_most_one_server_down();
        world.verify(&publisher.stop().await).await;
        world.state_becomes("Ready").await;
    });
}

#[test]
#[ignore = "long: cargo xtask test --only real-all"]
fn rollout_that_waits_for_lost_server_can_be_forced() {
    real(async |world| {
        let _manager = running(world, &ManagerOptions::default()).await;
        let publisher = world.publisher();
        publisher.makes_progress().await;
        let old = world.pods().await;
        let node = world.pod(&World::server(0)).await.spec.unwrap().node_name.unwrap();
        world.cluster.stop_node(&node).await.unwrap();
        eventually("the server is not ready", SOON, || async {
            let pod = world.api::<Pod>().get(&World::server(0)).await?;
            Ok::<_, kube::Error>(if is_ready(&pod) { Seen::NotYet("it is".to_owned()) } else { Seen::Done(()) })
        })
        .await;

        world.patch(more_cpu("800m")).await.unwrap();
        let status =
            world.status_becomes("the reason of the wait is reported", |status| wait_message(status).is_some()).await;
        let message = wait_message(&status).unwrap();
        assert!(
            message.starts_with("Rolling update: waiting to restart eventing-nats-2: eventing-nats-0 "),
            "{message}"
        );
        let mut user = User::new(world).await;
        let watch = documented::blocks("docs/user/upgrades.md", "run: watch");
        let mut printed = Vec::new();
        for command in watch.iter().flat_map(Block::commands) {
            printed.push(user.types(command).await);
        }
        assert_eq!(printed, ["RollingUpdate".to_owned(), message]);

        let force = documented::blocks("docs/user/upgrades.md", "run: force");
        let [force, revert] = &force[..] else { panic!("{force:?}") };
        user.types(&force.text).await;
        eventually("the other Pods are replaced", SOON, || async {
            let pods = world.pods().await;
            let is_new = |pod: &&Pod| old.iter().all(|old| old.uid() != pod.uid()) && is_ready(pod);
            let new: Vec<_> = pods.iter().filter(is_new).map(ResourceExt::name_any).collect();
            Ok::<_, kube::Error>(if new == [World::server(1), World::server(2)] {
                Seen::Done(())
            } else {
                Seen::NotYet(format!("{new:?}"))
            })
        })
        .await;
        user.types(&revert.text).await;
        world.cluster.start_node(&node).await.unwrap();
        rollout_completes(world, &old).await;
        publisher.makes_progress().await;
        world.verify(&publisher.stop().await).await;
    });
}

#[test]
#[ignore = "long: cargo xtask test --only real-all"]
fn manager_killed_during_rollout_is_followed_by_one_that_completes_it() {
    real(async |world| {
        let manager = running(world, &ManagerOptions::default()).await;
        let publisher = world.publisher();
        publisher.makes_progress().await;
        let (watch, old) = (world.watch_servers(3), world.pods().await);

        world.patch(more_cpu("700m")).await.unwrap();
        partition_becomes(world, 1).await;
        manager.kill().await.unwrap();
        let _manager = world.manager().await;
        rollout_completes(world, &old).await;

        publisher.makes_progress().await;
        watch.at_most_one_server_down();
        world.verify(&publisher.stop().await).await;
    });
}

#[test]
#[ignore = "long: cargo xtask test --only real-all"]
fn change_that_a_reload_applies_restarts_no_server() {
    real(async |world| {
        let _manager = running(world, &ManagerOptions::default()).await;
        let before: Vec<_> = world.pods().await.iter().map(ResourceExt::uid).collect();
        world.patch(json!({"spec": {"logging": {"debug": true}}})).await.unwrap();
        let pods = world.pods().await;
        for pod in &pods {
            eventually("the server logs in detail", 2 * SOON, || async {
                let varz = world.monitor(pod, "/varz").await;
                let (loaded, started) = (varz["config_load_time"].to_string(), varz["start"].to_string());
                if loaded[..18] > started[..18] { Seen::Done(()) } else { Seen::NotYet(format!("{loaded} {started}")) }
            })
            .await;
        }
        assert_eq!(world.pods().await.iter().map(ResourceExt::uid).collect::<Vec<_>>(), before);
    });
}
