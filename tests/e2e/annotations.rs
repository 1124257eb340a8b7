//! Annotations of a NATS resource whose value has no effect. Admission does not review a change of annotations only.

use nats_manager_api::{
    naming::{FORCE_DELETION, FORCE_ROLLOUT, PAUSE},
    network_policy,
};
use serde_json::{Value, json};

use crate::{
    jetstream,
    world::{World, condition},
};

#[tokio::test]
async fn annotation_without_effect_is_reported_once() {
    let world = World::new().await;
    let (server, options) = world.nats_server().await;
    let _manager = world.manager_with(&options).await;
    world.create(json!({})).await;
    world.state_becomes("Ready").await;

    is_reported(&world, PAUSE, "yes", FLAG).await;
    assert_eq!(world.status().await.state, "Ready");
    let mode =
        "\"Restricted\" is not supported, so \"internal\" applies: use \"internal\", \"restricted\" or \"disabled\"";
    is_reported(&world, network_policy::ANNOTATION, "Restricted", mode).await;

    world.patch(annotation(PAUSE, "true")).await.unwrap();
    world
        .status_becomes("paused", |status| {
            condition(status, "Stalled").is_some_and(|(_, reason, _)| reason == "Paused")
        })
        .await;
    is_reported(&world, FORCE_ROLLOUT, "1", FLAG).await;
    world.patch(annotation(PAUSE, "false")).await.unwrap();

    let context = jetstream::connect(&server.url()).await;
    jetstream::create_stream(&context, "orders").await;
    world.delete().await;
    world.state_becomes("Warning").await;
    is_reported(&world, FORCE_DELETION, "True", FLAG).await;
    world.reconcile_again().await;
    let events = world.events().await;
    let reported = events.iter().filter(|(_, reason, _)| reason == "InvalidAnnotation").count();
    assert_eq!(reported, 4, "{events:#?}");
    world.patch(annotation(FORCE_DELETION, "true")).await.unwrap();
    world.gone().await;
}

/// Message about a value other than `"true"`.
const FLAG: &str = "has no effect: the value must be \"true\"";

async fn is_reported(world: &World, name: &str, value: &str, message: &str) {
    world.patch(annotation(name, value)).await.unwrap();
    world.event_becomes("Warning", "InvalidAnnotation", &format!("metadata.annotations[{name}]: {message}")).await;
}

fn annotation(name: &str, value: &str) -> Value {
    json!({"metadata": {"annotations": {name: value}}})
}
