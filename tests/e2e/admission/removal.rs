//! Removal of the manager: no webhook configuration stays behind without a server.

use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::Api;
use nats_manager::admission::configuration::OWNER_ROLE;
use nats_manager_harness::{Seen, Shell, documented, eventually};
use serde_json::json;

use super::configurations::configurations;
use crate::{
    objects::NETWORK_POLICY,
    world::{TIMEOUT, World},
};

const CONFIG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config");

/// Waits until neither configuration exists.
async fn configurations_are_gone(world: &World) {
    for api in configurations(world) {
        eventually("the configuration is gone", TIMEOUT, || async {
            Ok::<_, kube::Error>(match api.get_opt("nats-manager").await? {
                None => Seen::Done(()),
                Some(live) => Seen::NotYet(format!("{:?}", live.metadata)),
            })
        })
        .await;
    }
}

/// Applies the complete manifest, and returns the command that deletes it. The Pods of the Deployment are simulated.
async fn install(shell: &Shell) -> String {
    let manifest = shell.folder().join("nats-manager.yaml").display().to_string();
    shell.done(&format!("kubectl kustomize {CONFIG}/default > {manifest}")).await;
    shell.done(&format!("kubectl apply --server-side --force-conflicts -f {manifest}")).await;
    format!("kubectl delete -f {manifest}")
}

#[tokio::test]
async fn deletion_of_the_manifest_leaves_no_webhook_configuration() {
    let world = World::new().await;
    let shell = Shell::new(&world.cluster);
    let delete = install(&shell).await;
    let manager = world.manager_with_webhook().await;
    shell.done(&delete).await;
    configurations_are_gone(&world).await;
    // A replica that still runs does not restore them.
    let _ = manager.terminate().await;
    configurations_are_gone(&world).await;
}

#[tokio::test]
async fn deletion_of_the_manifest_without_a_replica_leaves_no_webhook_configuration() {
    let world = World::new().await;
    let shell = Shell::new(&world.cluster);
    let delete = install(&shell).await;
    let manager = world.manager_with_webhook().await;
    manager.kill().await.unwrap();
    shell.done(&delete).await;
    configurations_are_gone(&world).await;
}

#[tokio::test]
async fn documented_way_back_removes_the_webhook_configurations() {
    let world = World::new().await;
    let shell = Shell::new(&world.cluster);
    let manager = world.manager_with_webhook().await;
    world.create(json!({})).await;
    NETWORK_POLICY.becomes(&world, "exists", |_| true).await;
    // As an apply of the predecessor's manifest, which prunes nothing: the replicas end, the configurations stay.
    manager.kill().await.unwrap();
    let rejection = world.patch(json!({"spec": {"logging": {"debug": true}}})).await.unwrap_err().to_string();
    assert!(rejection.contains("failed calling webhook"), "{rejection}");
    for block in documented::blocks("docs/user/takeover.md", "run: way back") {
        shell.done(&block.text).await;
    }
    for api in configurations(&world) {
        assert!(api.get_opt("nats-manager").await.unwrap().is_none());
    }
    // The apiserver unloads a webhook with a delay.
    eventually("changes are accepted", TIMEOUT, || async {
        world.patch(json!({"spec": {"logging": {"debug": true}}})).await.map(|_| true)
    })
    .await;
    let roles: Api<ClusterRole> = Api::all(world.client.clone());
    assert!(roles.get_opt(OWNER_ROLE).await.unwrap().is_none());
    NETWORK_POLICY.is_gone(&world).await;
}

#[tokio::test]
async fn way_back_holds_while_a_replica_still_runs() {
    let world = World::new().await;
    let shell = Shell::new(&world.cluster);
    let manager = world.manager_with_webhook().await;
    for block in documented::blocks("docs/user/takeover.md", "run: way back") {
        shell.done(&block.text).await;
    }
    let _ = manager.terminate().await;
    configurations_are_gone(&world).await;
}
