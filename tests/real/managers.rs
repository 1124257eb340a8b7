//! Managers come and go; servers and streams stay.

use kube::{ResourceExt, api::PostParams};
use nats_manager_api::{Nats, NatsSpec};
use nats_manager_harness::{Seen, eventually};
use serde_json::json;

use crate::{
    manager::Options,
    world::{SOON, World, real},
};

#[test]
fn servers_run_on_under_another_manager() {
    real(async |world| {
        let first = world.manager().await;
        world.create(json!({"cluster": {"size": 1}})).await;
        world.state_becomes("Ready").await;
        let pod = world.pod(&World::server(0)).await;
        assert_eq!(first.terminate().await, Some(0));

        let second = world.manager().await;
        let changed = world.patch(json!({"spec": {"logging": {"debug": true}}})).await.unwrap();
        world
            .status_becomes("the change is seen", |status| {
                status.state == "Ready" && status.observed_generation >= changed.metadata.generation
            })
            .await;
        // Servers reload it.
        assert_eq!(world.pod(&World::server(0)).await.uid(), pod.uid());
        second.kill().await;
    });
}

#[test]
fn the_webhook_refuses_another_resource_and_lets_the_one_go() {
    real(async |world| {
        let manager = world.manager_with(&Options { webhook: true, ..Options::default() }).await;
        world.create(json!({"cluster": {"size": 1}})).await;
        world.state_becomes("Ready").await;
        let other = Nats::new("other", NatsSpec::default());
        let dry_run = PostParams { dry_run: true, ..PostParams::default() };
        eventually("another resource is refused", SOON, || async {
            match world.api::<Nats>().create(&dry_run, &other).await {
                Err(kube::Error::Api(refusal)) if refusal.code == 403 => Seen::Done(()),
                other => Seen::NotYet(format!("{other:?}")),
            }
        })
        .await;
        let refused = "nats_manager_admission_reviews_total{webhook=\"mutate\",verdict=\"refused\"}";
        eventually("the refusal is counted", SOON, || async { manager.metric(refused).await.is_some() }).await;

        world.delete().await;
        world.gone().await;
        assert!(world.pods().await.iter().all(|pod| pod.metadata.deletion_timestamp.is_some()));
    });
}
