//! Mistaken sizes: `StatefulSets` that were scaled by hand, and scale-ups that cannot be scheduled.

use k8s_openapi::api::apps::v1::StatefulSet;
use kube::api::{Patch, PatchParams};
use nats_manager_api::Nats;
use nats_manager_harness::{Seen, eventually};
use serde_json::json;

use super::replicas_become;
use crate::{
    history::History,
    objects::STATEFUL_SET,
    world::{NAME, TIMEOUT, World, condition},
};

#[tokio::test]
async fn stateful_set_scaled_by_hand_is_restored() {
    let world = World::new().await;
    let (_server, options) = world.nats_server().await;
    let mut manager = world.manager_with(&options).await;
    world.create(json!({})).await;
    world.state_becomes("Ready").await;
    // The quota limits an absurd number of replicas to two additional servers.
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "five"}, "spec": {"hard": {"pods": "5"}},
    });
    world.apply(&quota).await;
    STATEFUL_SET.becomes(&world, "is limited", |_| true).await;

    for (by_hand, then) in [(5, 3), (1, 3), (150, 99)] {
        scale(&world, by_hand).await;
        size_is_restored(&world).await;

        manager.terminate().await.unwrap();
        scale(&world, by_hand).await;
        STATEFUL_SET
            .becomes(&world, "has its servers", |set| {
                let status = &set["status"];
                let has_all = status["replicas"] == by_hand && status["readyReplicas"] == by_hand;
                status["observedGeneration"] == set["metadata"]["generation"] && (has_all || by_hand > 5)
            })
            .await;
        let history = History::record(world.api::<StatefulSet>(), |set| set.spec?.replicas);
        eventually("the history has begun", TIMEOUT, || async { !history.states().is_empty() }).await;
        manager = world.manager_with(&options).await;
        size_is_restored(&world).await;
        let states = history.states();
        assert_eq!((&states[..2], states.last()), (&[by_hand, then][..], Some(&3)));
        assert!(by_hand == 1 || states.is_sorted_by(|one, next| one > next), "{states:?}");
    }
    world.remove(&quota).await;
}

#[tokio::test]
async fn scale_up_that_cannot_be_scheduled_is_reverted_at_once() {
    let world = World::new().await;
    let _manager = world.manager().await;
    world.create(json!({})).await;
    world.state_becomes("Ready").await;
    world.cordon(true).await;
    for size in [5, 33] {
        let spec = |size: usize| json!({"spec": {"cluster": {"size": size}}});
        world.patch(spec(size)).await.unwrap();
        eventually("all Pods exist", TIMEOUT, || async {
            let pods = world.pods().await.len();
            if pods == size { Seen::Done(()) } else { Seen::NotYet(format!("{pods} Pods")) }
        })
        .await;
        world.patch(spec(3)).await.unwrap();
        size_is_restored(&world).await;
        // Without snapshots of JetStream the manager cannot verify that these PVCs are empty.
        assert_eq!(world.pvcs().await.len(), size);
    }
    world.cordon(false).await;
}

/// Scales the StatefulSet as a user.
async fn scale(world: &World, replicas: i32) {
    let scale = Patch::Merge(json!({"spec": {"replicas": replicas}}));
    world.api::<StatefulSet>().patch_scale(NAME, &PatchParams::default(), &scale).await.unwrap();
}

/// Waits until exactly the three servers of the spec exist and are ready. The manager cannot poll them, so that it only
/// reports the PVCs of the others.
async fn size_is_restored(world: &World) {
    replicas_become(world, 3).await;
    eventually("the other Pods are gone", TIMEOUT, || async { world.pods().await.len() == 3 }).await;
    let generation = world.api::<Nats>().get(NAME).await.unwrap().metadata.generation;
    let has_leftovers = world.pvcs().await.len() > 3;
    let status = world.status_becomes("restored", |status| {
        let is_ready = condition(status, "StatefulSet").is_some_and(|(holds, ..)| holds == "True");
        let reports = condition(status, "Stalled").is_some_and(|(_, _, message)| message.contains("is left"));
        status.observed_generation == generation && is_ready && reports == has_leftovers
    });
    let status = status.await;
    assert_eq!((status.members, status.ready_servers), (Some(3), 3));
}
