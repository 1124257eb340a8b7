//! Servers and streams across restarts of the manager, and its webhook.

use kube::{ResourceExt, api::PostParams};
use nats_manager_api::{Nats, NatsSpec};
use nats_manager_harness::{Seen, eventually};
use serde_json::json;

use crate::{
    manager::ManagerOptions,
    world::{SOON, World, real},
};

#[test]
fn servers_keep_running_under_another_manager() {
    real(async |world| {
        let first = world.manager().await;
        world.create(json!({"cluster": {"size": 1}})).await;
        world.state_becomes("Ready").await;
        let pod = world.pod(&World::server(0)).await;
        assert_eq!(first.terminate().await.unwrap(), Some(0));

        let second = world.manager().await;
        let changed = world.patch(json!({"spec": {"logging": {"debug": true}}})).await.unwrap();
        world
            .status_becomes("the change is observed", |status| {
                status.state == "Ready" && status.observed_generation >= changed.metadata.generation
            })
            .await;
        // A reload applies the change.
        assert_eq!(world.pod(&World::server(0)).await.uid(), pod.uid());
        second.kill().await.unwrap();
    });
}

#[test]
fn webhook_rejects_second_resource_and_allows_deletion_of_the_first() {
    real(async |world| {
        let manager = world.manager_with(&ManagerOptions { webhook: true, ..ManagerOptions::default() }).await;
        world.create(json!({"cluster": {"size": 1}})).await;
        world.state_becomes("Ready").await;
        let other = Nats::new("other", NatsSpec::default());
        let dry_run = PostParams { dry_run: true, ..PostParams::default() };
        eventually("another resource is rejected", SOON, || async {
            match world.api::<Nats>().create(&dry_run, &other).await {
                Err(kube::Error::Api(rejection)) if rejection.code == 403 => Seen::Done(()),
                other => Seen::NotYet(format!("{other:?}")),
            }
        })
        .await;
        let rejected = "nats_manager_admission_reviews_total{webhook=\"mutate\",outcome=\"rejected\"}";
        eventually("the rejection is counted", SOON, || async { manager.metric(rejected).await.is_some() }).await;

        world.delete().await;
        world.gone().await;
        assert!(world.pods().await.iter().all(|pod| pod.metadata.deletion_timestamp.is_some()));
    });
}
