//! Deployment: from a NATS resource to a running cluster.

mod bad_input;
mod cluster_domain;
mod expansion;
mod istio;
mod leftovers;
mod storage;
mod takeover;

use k8s_openapi::api::apps::v1::StatefulSet;
use serde_json::json;

use crate::{
    manager::ManagerOptions,
    world::{NAME, SERVICE_ACCOUNT, World, condition},
};

#[tokio::test]
async fn new_resource_becomes_ready_with_few_writes() {
    let world = World::new().await;
    let _manager = world.manager().await;
    let audit = world.cluster.audit().unwrap();
    let mark = audit.mark().await.unwrap();

    world.create(json!({})).await;
    let status = world.state_becomes("Ready").await;

    assert_eq!(status.url, "nats://eventing-nats.kyma-system.svc.cluster.local:4222");
    assert_eq!(status.availability_zones_used, 3);
    assert_eq!(status.observed_generation, Some(1));
    let is = |kind, expected: (&str, &str, &str)| {
        let (status, reason, message) = condition(&status, kind).unwrap();
        assert_eq!((status.as_str(), reason.as_str(), message.as_str()), expected, "{kind}");
    };
    is("StatefulSet", ("True", "Available", "StatefulSet is ready"));
    is("Available", ("True", "Deployed", "NATS is deployed"));
    is("AvailabilityZones", ("True", "Deployed", "NATS is deployed in different availability zones."));
    let stateful_set = world.api::<StatefulSet>().get(NAME).await.unwrap();
    assert_eq!(stateful_set.spec.unwrap().replicas, Some(3));

    let events: Vec<String> =
        world.events().await.into_iter().map(|(_, reason, note)| format!("{reason}: {note}")).collect();
    assert_eq!(
        events,
        [
            "Processing: Initializing NATS resource.",
            "Deploying: NATS is being deployed, waiting for StatefulSet to get ready.",
            "Deployed: StatefulSet is ready and NATS is deployed.",
        ]
    );
    let requests = audit.since(mark).await.unwrap();
    let writes: Vec<String> = requests
        .writes()
        .filter(|event| event.user == SERVICE_ACCOUNT)
        .map(|event| format!("{} {} {:?} {}", event.verb, event.resource, event.name, event.code))
        .collect();
    // Three writes of the resource, and one more each time that the count of ready servers is seen between 0 and 3.
    let (of_resource, others): (Vec<_>, Vec<_>) = writes.iter().partition(|write| write.starts_with("patch nats "));
    assert!(of_resource.len() <= 3 + 2 && others.len() == 9, "{writes:#?}");
}

#[tokio::test]
async fn fresh_cluster_of_a_harmful_version_is_blocked() {
    let world = World::new().await;
    let mut options = ManagerOptions::default();
    options.env.insert("NATS_IMAGE".to_owned(), "nats-server.example/nats:2.15.0".to_owned());
    let manager = world.manager_with(&options).await;
    world.create(json!({})).await;
    let status = world
        .status_becomes("the version is blocked", |status| {
            condition(status, "Stalled").is_some_and(|(holds, reason, _)| holds == "True" && reason == "VersionBlocked")
        })
        .await;
    let (_, _, message) = condition(&status, "Stalled").unwrap();
    assert_eq!(message, "NATS 2.15.0 can delete a running store; use 2.15.1 or later");
    world.event_becomes("Warning", "VersionBlocked", &message).await;
    assert!(world.api::<StatefulSet>().get_opt(NAME).await.unwrap().is_none());

    manager.terminate().await.unwrap();
    let _manager = world.manager().await;
    let status = world.is_ready_for_the_newest_spec().await;
    assert_eq!(condition(&status, "Stalled").unwrap().0, "False");
}
