//! Pods that the apiserver rejects: the status contains its message until they are created.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use kube::api::PostParams;
use nats_manager_api::Nats;
use nats_manager_harness::eventually;
use serde_json::{Value, json};

use super::event_counts;
use crate::{
    history::History,
    objects::STATEFUL_SET,
    world::{TIMEOUT, World, condition},
};

/// Limit until the message is in the status.
const REPORTED_WITHIN: Duration = Duration::from_secs(30);

const PRIORITY_CLASS: &str = "nats-manager-priority-class";

/// Reason for which the apiserver rejects Pods.
enum Obstacle {
    LimitRange(Value),
    Quota(Value),
    NoPriorityClass,
}

/// Change that requires new Pods.
enum Change {
    Creation,
    Spec(Value),
}

#[tokio::test]
async fn rejected_pods_are_reported_with_the_apiservers_message() {
    let world = World::new().await;
    let _manager = world.manager().await;
    let history = History::record(world.api::<Nats>(), |nats| nats.status);
    let limits = json!([
        {"type": "Container", "min": {"memory": "50Mi"}, "maxLimitRequestRatio": {"cpu": "4"}},
    ]);
    let cases = [
        (
            Obstacle::LimitRange(json!({"limits": limits})),
            Change::Creation,
            &["minimum memory usage per Container is 50Mi", "cpu max limit to request ratio per Container is 4"][..],
        ),
        (
            Obstacle::Quota(json!({"hard": {"pods": "2", "limits.memory": "3500Mi"}})),
            Change::Spec(json!({"cluster": {"size": 5}})),
            &["exceeded quota: trial, requested: ", "pods=1", "limits.memory="],
        ),
        (
            Obstacle::NoPriorityClass,
            Change::Spec(json!({"resources": {"limits": {"memory": "2Gi"}}})),
            &["no PriorityClass with name nats-manager-priority-class was found"],
        ),
    ];
    for (index, (obstacle, change, parts)) in cases.iter().enumerate() {
        if let Change::Spec(_) = change {
            // The StatefulSet controller writes 25 events about one StatefulSet, and then one in five minutes.
            STATEFUL_SET.comes_back(&world).await;
            STATEFUL_SET
                .becomes(&world, "is ready", |set| set["status"]["readyReplicas"] == set["spec"]["replicas"])
                .await;
            world.is_ready_for_the_newest_spec().await;
        }
        obstacle.set(&world).await;
        let started = Instant::now();
        match change {
            Change::Creation => drop(world.create(json!({})).await),
            Change::Spec(spec) => drop(world.patch(json!({"spec": spec})).await.unwrap()),
        }
        let status = world
            .status_becomes(&format!("{parts:?}"), |status| {
                let has = |kind| condition(status, kind).is_some_and(|(_, _, message)| is_about(&message, parts));
                has("Reconciling") && has("StatefulSet")
            })
            .await;
        assert!(started.elapsed() < REPORTED_WITHIN, "{parts:?}: {:?}", started.elapsed());
        let (holds, reason, message) = condition(&status, "Reconciling").unwrap();
        assert_eq!((holds.as_str(), reason.as_str()), ("True", "FailedCreate"), "{message}");
        assert_eq!(condition(&status, "Ready").unwrap().0, "False", "{parts:?}");
        let state = if matches!(change, Change::Spec(_)) { "Ready" } else { "Processing" };
        assert_eq!(status.state, state, "{parts:?}");

        obstacle.remove(&world).await;
        // The StatefulSet controller backs off after each failure.
        STATEFUL_SET.change(&world, json!({"metadata": {"annotations": {"nudge": index.to_string()}}})).await;
        world.is_ready_for_the_newest_spec().await;
        world
            .status_becomes("nothing is in progress", |status| {
                condition(status, "Reconciling").is_some_and(|(holds, ..)| holds == "False")
            })
            .await;
        let mut counts = event_counts(&world).await;
        counts.retain(|(reason, _)| reason == "FailedCreate");
        assert_eq!(counts, vec![("FailedCreate".to_owned(), 1); index + 1], "{parts:?}");
    }
    let notes = reported(&world).await;
    for ((_, _, parts), note) in cases.iter().zip(&notes) {
        assert!(is_about(note, parts), "{note}");
    }
    for status in history.states() {
        let empty = status.conditions.iter().find(|condition| condition.message.is_empty());
        assert_eq!(empty, None);
    }
}

/// Returns whether a message contains all parts.
fn is_about(message: &str, parts: &[&str]) -> bool {
    parts.iter().all(|part| message.contains(part))
}

impl Obstacle {
    /// Creates the obstacle, and waits until Pods are rejected.
    async fn set(&self, world: &World) {
        match self {
            Self::NoPriorityClass => {
                world.kubectl(&["delete", "priorityclass", PRIORITY_CLASS]).await.unwrap();
            }
            object => world.apply(&object.manifest()).await,
        }
        eventually("Pods are rejected", TIMEOUT, || async { !accepts_pods(world).await }).await;
    }

    /// Removes the obstacle, and waits until Pods are accepted.
    async fn remove(&self, world: &World) {
        match self {
            Self::NoPriorityClass => {
                let file = concat!(env!("CARGO_MANIFEST_DIR"), "/config/manager/priority_class.yaml");
                world.kubectl(&["apply", "--server-side", "-f", file]).await.unwrap();
            }
            object => world.remove(&object.manifest()).await,
        }
        eventually("Pods are accepted", TIMEOUT, || accepts_pods(world)).await;
    }

    /// Returns the object that is the obstacle.
    fn manifest(&self) -> Value {
        let (kind, spec) = match self {
            Self::LimitRange(spec) => ("LimitRange", spec),
            Self::Quota(spec) => ("ResourceQuota", spec),
            Self::NoPriorityClass => panic!("a class that is gone has no manifest"),
        };
        json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": "trial"}, "spec": spec})
    }
}

/// Returns whether the apiserver would create a Pod like those of servers.
async fn accepts_pods(world: &World) -> bool {
    let pod = json!({
        "metadata": {"name": "probe"},
        "spec": {
            "priorityClassName": PRIORITY_CLASS,
            "containers": [{
                "name": "probe",
                "image": "probe",
                "resources": {
                    "requests": {"cpu": "40m", "memory": "20Mi"},
                    "limits": {"cpu": "500m", "memory": "4Gi"},
                },
            }],
        },
    });
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    world.api::<Pod>().create(&dry_run, &serde_json::from_value(pod).unwrap()).await.is_ok()
}

/// Returns the notes of the events on Pods that cannot be created, oldest first.
async fn reported(world: &World) -> Vec<String> {
    let events =
        world.events().await.into_iter().filter(|(kind, reason, _)| kind == "Warning" && reason == "FailedCreate");
    events.map(|(_, _, note)| note).collect()
}
