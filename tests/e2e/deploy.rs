//! From a NATS resource to a running cluster.

mod bad_input;
mod istio;
mod storage;
mod takeover;

use k8s_openapi::api::apps::v1::StatefulSet;
use serde_json::json;

use crate::world::{NAME, SERVICE_ACCOUNT, World, condition};

#[tokio::test]
async fn a_resource_becomes_ready_with_few_writes() {
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
    assert!(writes.len() <= 15, "{} writes: {writes:#?}", writes.len());
}
