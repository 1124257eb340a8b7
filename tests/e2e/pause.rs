//! A paused resource: its status is observed, and nothing else is written.

use k8s_openapi::api::apps::v1::StatefulSet;
use nats_manager_api::{NatsStatus, naming::PAUSE};
use nats_manager_harness::{ManagerProcess, Shell, documented, eventually};
use serde_json::{Value, json};

use crate::{
    objects::{BUDGET, CONFIG_MAP, STATEFUL_SET, essence},
    world::{NAME, SERVICE_ACCOUNT, TIMEOUT, World, condition},
};

#[tokio::test]
async fn paused_cluster_is_observed_and_not_changed() {
    let world = World::new().await;
    let manager = world.manager().await;
    world.create(json!({})).await;
    world.state_becomes("Ready").await;
    assert!(!reports_pause(&manager).await);

    let audit = world.cluster.audit().unwrap();
    let shell = Shell::new(&world.cluster);
    let command = |mark: &str| documented::blocks("docs/user/pause.md", mark).remove(0).text;
    shell.done(&command("run: pause")).await;
    let status = is_paused(&world).await;
    assert_eq!(status.state, "Warning");
    assert_eq!(brief(&status, "Ready"), "False Paused");
    assert_eq!(brief(&status, "Reconciling"), "False Paused");
    assert_eq!(brief(&status, "Available"), "True Deployed");
    assert!(reports_pause(&manager).await);

    let mark = audit.mark().await.unwrap();
    let before = (essence(&STATEFUL_SET.get(&world).await), essence(&CONFIG_MAP.get(&world).await));
    BUDGET.delete(&world).await;
    let spec = json!({"cluster": {"size": 5}, "logging": {"debug": true}, "labels": {"team": "a"}});
    let generation = world.patch(json!({"spec": spec})).await.unwrap().metadata.generation;
    world.cordon(true).await;
    world.kill_pod("eventing-nats-0").await;
    let status = world
        .status_becomes("the missing server is observed", |status| {
            status.ready_servers == 2 && status.observed_generation == generation
        })
        .await;
    assert_eq!(brief(&status, "Stalled"), "True Paused");
    assert_eq!(status.members, Some(3));
    let after = (essence(&STATEFUL_SET.get(&world).await), essence(&CONFIG_MAP.get(&world).await));
    assert_eq!(after, before);
    assert!(BUDGET.api(&world).get_opt(BUDGET.name).await.unwrap().is_none());
    let requests = audit.since(mark).await.unwrap();
    let written: Vec<_> = requests.writes().filter(|event| event.user == SERVICE_ACCOUNT).collect();
    assert!(
        written.iter().all(|event| ["nats", "events", "leases"].contains(&event.resource.as_str())),
        "{written:#?}"
    );
    world.cordon(false).await;

    shell.done(&command("run: resume")).await;
    let status = world.is_ready_for_the_newest_spec().await;
    assert_eq!(status.members, Some(5));
    BUDGET.becomes(&world, "exists again", |_| true).await;
    world.event_becomes("Normal", "Resumed", "Reconciliation continues.").await;
    assert!(!reports_pause(&manager).await);
    let reasons: Vec<String> = world.events().await.into_iter().map(|(_, reason, _)| reason).collect();
    for reason in ["Paused", "Resumed"] {
        assert_eq!(reasons.iter().filter(|known| *known == reason).count(), 1, "{reason}: {reasons:?}");
    }
}

#[tokio::test]
async fn new_paused_resource_is_deployed_after_the_pause() {
    let world = World::new().await;
    let manager = world.manager().await;
    manager.terminate().await.unwrap();
    world.create(json!({})).await;
    world.patch(pause("true")).await.unwrap();
    let _manager = world.manager().await;
    let status = is_paused(&world).await;
    assert_eq!((status.state.as_str(), status.members), ("Warning", None));
    assert_eq!(brief(&status, "Available"), "False Paused");
    assert!(world.api::<StatefulSet>().get_opt(NAME).await.unwrap().is_none());

    resume(&world, &condition(&status, "Stalled").unwrap().2).await;
    world.is_ready_for_the_newest_spec().await;
}

#[tokio::test]
async fn deletion_waits_for_the_end_of_a_pause() {
    let world = World::new().await;
    let (_server, options) = world.nats_server().await;
    let manager = world.manager_with(&options).await;
    world.create(json!({})).await;
    world.state_becomes("Ready").await;
    world.patch(pause("true")).await.unwrap();
    is_paused(&world).await;

    world.delete().await;
    let status = world
        .status_becomes("the deletion waits", |status| {
            condition(status, "Deleted").is_some_and(|(holds, reason, _)| holds == "False" && reason == "DeletionError")
        })
        .await;
    assert_eq!(status.state, "Warning");
    let message = condition(&status, "Deleted").unwrap().2;
    assert!(message.starts_with("Reconciliation is paused by the annotation "), "{message}");
    world.event_becomes("Warning", "DeletionError", &message).await;
    assert!(world.api::<StatefulSet>().get_opt(NAME).await.unwrap().is_some());
    assert_eq!(world.pvcs().await.len(), 3);

    resume(&world, &message).await;
    world.gone().await;
    assert!(!reports_pause(&manager).await);
}

#[tokio::test]
async fn pause_ends_with_a_resource_whose_finalizer_is_removed_by_hand() {
    let world = World::new().await;
    let manager = world.manager().await;
    world.create(json!({})).await;
    world.state_becomes("Ready").await;
    world.patch(pause("true")).await.unwrap();
    is_paused(&world).await;
    assert!(reports_pause(&manager).await);
    world.delete().await;
    world.patch(json!({"metadata": {"finalizers": null}})).await.unwrap();
    world.gone().await;
    eventually("the metric is 0", TIMEOUT, || async { !reports_pause(&manager).await }).await;
}

#[tokio::test]
async fn invalid_spec_is_reported_during_a_pause() {
    let world = World::new().await;
    let _manager = world.manager().await;
    world.create(json!({})).await;
    world.state_becomes("Ready").await;
    world.patch(pause("true")).await.unwrap();
    is_paused(&world).await;
    world.patch(json!({"spec": {"labels": {"a b": "c"}}})).await.unwrap();
    let status = world.state_becomes("Error").await;
    let (_, _, message) = condition(&status, "Stalled").unwrap();
    assert!(message.starts_with("spec.labels[a b]: "), "{message}");
    assert!(message.contains("Reconciliation is paused by the annotation "), "{message}");
}

fn pause(value: &str) -> Value {
    json!({"metadata": {"annotations": {PAUSE: value}}})
}

/// Waits until the pause is reported.
async fn is_paused(world: &World) -> NatsStatus {
    world.status_becomes("paused", |status| brief(status, "Stalled") == "True Paused").await
}

/// Runs the command at the end of a message, which ends the pause.
async fn resume(world: &World, message: &str) {
    let command = message.rsplit_once("To continue: kubectl ").unwrap().1;
    world.kubectl(&command.split(' ').collect::<Vec<_>>()).await.unwrap();
}

/// Returns status and reason of a condition.
fn brief(status: &NatsStatus, kind: &str) -> String {
    condition(status, kind).map(|(holds, reason, _)| format!("{holds} {reason}")).unwrap_or_default()
}

/// Returns whether the metric of the pause is 1.
async fn reports_pause(manager: &ManagerProcess) -> bool {
    manager.metric("nats_manager_paused").await.unwrap() > 0.5
}
