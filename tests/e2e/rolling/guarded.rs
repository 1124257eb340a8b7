//! Restarts that users request, and restarts that would lose data.

use k8s_openapi::api::{apps::v1::StatefulSet, core::v1::PersistentVolumeClaim};
use kube::{ResourceExt, api::DeleteParams};
use nats_manager_api::{NatsStatus, naming};
use serde_json::{Value, json};

use crate::{
    history::History,
    objects::STATEFUL_SET,
    world::{NAME, NAMESPACE, World, condition},
};

#[tokio::test]
async fn rollout_restart_waits_for_missing_server_and_restarts_one_by_one() {
    let world = World::new().await;
    let _manager = world.manager().await;
    world.create(json!({})).await;
    world.state_becomes("Ready").await;
    STATEFUL_SET.becomes(&world, "has a closed partition", |set| partition(set) == 3).await;
    world.cordon(true).await;
    world.kill_pod("eventing-nats-0").await;
    world.status_becomes("a server is missing", |status| status.ready_servers == 2).await;
    let before = uids(&world).await;

    let restart = ["rollout", "restart", "statefulset", NAME, "-n", NAMESPACE];
    world.kubectl(&restart).await.unwrap();
    let status = in_progress(&world, "waiting to restart eventing-nats-2: eventing-nats-0 ").await;
    assert_eq!(status.state, "Ready");
    world.reconcile_again().await;
    assert_eq!(uids(&world).await[1..], before[1..], "no other server was restarted");
    assert_eq!(partition(&STATEFUL_SET.get(&world).await), 3);

    let history = History::record(world.api::<StatefulSet>(), |set| {
        let rolling = set.spec?.update_strategy?.rolling_update?;
        Some((rolling.partition?, set.status?.ready_replicas.unwrap_or(0)))
    });
    world.cordon(false).await;
    STATEFUL_SET
        .becomes(&world, "was restarted, and its partition is closed", |set| {
            let status = &set["status"];
            status["updatedReplicas"] == 3
                && status["currentRevision"] == status["updateRevision"]
                && partition(set) == 3
        })
        .await;
    world.is_ready_for_the_newest_spec().await;
    let after = uids(&world).await;
    assert!(before.iter().zip(&after).all(|(before, after)| before != after), "{before:?} {after:?}");
    let recorded = history.states();
    let mut partitions: Vec<i32> = recorded.iter().map(|(partition, _)| *partition).collect();
    partitions.dedup();
    assert_eq!(partitions, [3, 2, 1, 0, 3]);
    assert!(recorded.iter().all(|(_, ready)| *ready >= 2), "{recorded:?}");
}

#[tokio::test]
async fn pod_whose_pvc_is_terminating_is_not_restarted() {
    let world = World::new().await;
    let _manager = world.manager().await;
    world.create(json!({})).await;
    world.state_becomes("Ready").await;
    let before = uids(&world).await;
    let pvcs = world.api::<PersistentVolumeClaim>();
    pvcs.delete("eventing-nats-js-pvc-eventing-nats-1", &DeleteParams::default()).await.unwrap();
    let status = world
        .status_becomes("the PVC is reported", |status| {
            condition(status, "JetStream")
                .is_some_and(|(holds, reason, _)| holds == "False" && reason == "PvcTerminating")
        })
        .await;
    let (_, _, message) = condition(&status, "JetStream").unwrap();
    assert_eq!(status.state, "Warning");
    assert!(message.starts_with("The PVC of eventing-nats-1 is being deleted: "), "{message}");
    let replace = message.rsplit_once("have it replaced: kubectl ").unwrap().1;

    world.patch(json!({"spec": {"resources": {"limits": {"memory": "2Gi"}}}})).await.unwrap();
    in_progress(&world, "waiting to restart eventing-nats-1: the PVC of eventing-nats-1 is terminating").await;
    world.reconcile_again().await;
    let now = uids(&world).await;
    assert_eq!((&now[..2], now[2] == before[2]), (&before[..2], false), "only eventing-nats-2 was restarted");

    // The message contains the command that resolves the state.
    world.kubectl(&replace.split(' ').collect::<Vec<_>>()).await.unwrap();
    world.is_ready_for_the_newest_spec().await;
    world
        .status_becomes("nothing is wrong", |status| {
            condition(status, "JetStream").is_some_and(|(holds, ..)| holds != "False")
        })
        .await;
    assert!(world.pvcs().await.iter().all(|pvc| pvc.metadata.deletion_timestamp.is_none()));
}

#[tokio::test]
async fn force_rollout_annotation_is_reported_until_it_is_removed() {
    let world = World::new().await;
    let _manager = world.manager().await;
    world.create(json!({})).await;
    world.state_becomes("Ready").await;
    let annotate = |value: Value| json!({"metadata": {"annotations": {naming::FORCE_ROLLOUT: value}}});
    world.patch(annotate(json!("true"))).await.unwrap();
    let status = reconciling_becomes(&world, "RolloutForced").await;
    let (_, _, message) = condition(&status, "Reconciling").unwrap();
    world.event_becomes("Warning", "RolloutForced", &message).await;

    // The message contains the command that removes the annotation.
    let remove = message.rsplit_once("Remove it: kubectl ").unwrap().1;
    world.kubectl(&remove.split(' ').collect::<Vec<_>>()).await.unwrap();
    reconciling_becomes(&world, "Idle").await;
}

/// Returns the partition of a StatefulSet.
fn partition(set: &Value) -> i64 {
    set["spec"]["updateStrategy"]["rollingUpdate"]["partition"].as_i64().unwrap_or_default()
}

/// Returns the UIDs of the Pods, sorted by ordinal.
async fn uids(world: &World) -> Vec<String> {
    world.pods().await.iter().map(|pod| pod.uid().unwrap()).collect()
}

/// Waits until a rolling update is in progress with a message that contains `text`.
async fn in_progress(world: &World, text: &str) -> NatsStatus {
    world
        .status_becomes(text, |status| {
            condition(status, "Reconciling").is_some_and(|(holds, reason, message)| {
                holds == "True" && reason == "RollingUpdate" && message.contains(text)
            })
        })
        .await
}

/// Waits until the condition Reconciling is False with this reason.
async fn reconciling_becomes(world: &World, expected: &str) -> NatsStatus {
    world
        .status_becomes(expected, |status| {
            condition(status, "Reconciling").is_some_and(|(holds, reason, _)| holds == "False" && reason == expected)
        })
        .await
}
