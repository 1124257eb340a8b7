//! Replacement of servers with fresh volumes.

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::{Resource, ResourceExt};
use nats_manager_harness::{Seen, eventually};

use crate::{
    manager::ManagerProcess,
    storage::in_volume,
    typed::User,
    world::{NAME, SOON, World, real},
};

const PAGE: &str = "docs/user/replace-server.md";

/// Starts a manager and three servers with a stream of three replicas.
async fn running(world: &World<'_>) -> ManagerProcess {
    let manager = world.manager().await;
    world.create(serde_json::json!({"cluster": {"size": 3}})).await;
    world.state_becomes("Ready").await;
    world.make_stream(3).await;
    manager
}

/// Returns the uids of an object of each server, by ordinal.
async fn uids<K>(world: &World<'_>, prefix: &str) -> Vec<Option<String>>
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
        + k8s_openapi::Metadata
        + Clone
        + serde::de::DeserializeOwned
        + std::fmt::Debug,
{
    let mut uids = Vec::new();
    for ordinal in 0..3 {
        let object: Option<K> = world.api().get_opt(&format!("{prefix}{}", World::server(ordinal))).await.unwrap();
        uids.push(object.and_then(|object| object.uid()));
    }
    uids
}

async fn volumes(world: &World<'_>) -> Vec<Option<String>> {
    uids::<PersistentVolumeClaim>(world, &format!("{NAME}-js-pvc-")).await
}

/// Waits until the second server has a new volume, is ready, and has every message, and nothing is in progress.
async fn is_replaced(world: &World<'_>, before: &[Option<String>]) {
    eventually("the second server has another volume", SOON, || async {
        let now = volumes(world).await;
        if now[1].is_some() && now[1] != before[1] { Seen::Done(()) } else { Seen::NotYet(format!("{now:?}")) }
    })
    .await;
    world.servers_are_ready(3, &[]).await;
    world.stream_is_in_sync(3).await;
    world
        .status_becomes("the replacement is complete", |status| status.operation.is_none() && status.state == "Ready")
        .await;
    let now = volumes(world).await;
    assert_eq!((&now[0], &now[2]), (&before[0], &before[2]));
}

#[test]
fn replaced_server_loses_no_message_and_restarts_no_other() {
    real(async |world| {
        let _manager = running(world).await;
        let publisher = world.publisher();
        publisher.makes_progress().await;
        let (before, pods) = (volumes(world).await, uids::<Pod>(world, "").await);
        let watch = world.watch_servers(3);

        let mut user = User::new(world).await;
        user.follows(PAGE, "run: replace").await;
        is_replaced(world, &before).await;

        publisher.makes_progress().await;
        watch.at_most_one_server_down();
        let now = uids::<Pod>(world, "").await;
        assert_eq!((&now[0], &now[2]), (&pods[0], &pods[2]), "other servers restarted");
        assert_ne!(now[1], pods[1]);
        world.verify(&publisher.stop().await).await;
    });
}

#[test]
fn server_with_a_broken_store_is_replaced() {
    real(async |world| {
        let _manager = running(world).await;
        let publisher = world.publisher();
        publisher.makes_progress().await;
        let before = volumes(world).await;
        // A file in the place of the store: the server cannot start.
        in_volume(world, 1, "rm -rf $0/jetstream && touch $0/jetstream").await;
        world.delete_pod(&World::server(1)).await;
        eventually("the server does not become ready", SOON, || async {
            let pod: Option<Pod> = world.api().get_opt(&World::server(1)).await?;
            let statuses = pod.and_then(|pod| pod.status?.container_statuses).unwrap_or_default();
            let crashed = statuses.iter().any(|container| container.name == "nats" && container.restart_count > 0);
            Ok::<_, kube::Error>(crashed)
        })
        .await;

        let mut user = User::new(world).await;
        user.follows(PAGE, "run: replace").await;
        is_replaced(world, &before).await;
        publisher.makes_progress().await;
        world.verify(&publisher.stop().await).await;
    });
}
