//! Events as Busola and kubectl show them.

use k8s_openapi::{
    api::{core::v1::Event, events::v1},
    jiff::SignedDuration,
};
use kube::api::{DeleteParams, ListParams};
use nats_manager_harness::{Seen, eventually};
use serde_json::{Value, json};

use super::{event_counts, event_texts};
use crate::world::{NAME, TIMEOUT, World};

/// Returns the lines of an output about a NATS resource, each without its first words.
fn lines<'a>(output: &'a str, from: &str) -> Vec<Vec<&'a str>> {
    let rows = output.lines().skip_while(|line| !line.starts_with(from)).skip(1);
    rows.map(|line| line.split_whitespace().collect()).filter(|row: &Vec<_>| !row.is_empty()).collect()
}

#[tokio::test]
async fn events_are_read_by_busola_and_kubectl() {
    let world = World::new().await;
    let _manager = world.manager().await;
    let nats = world.create(json!({})).await;
    world.state_becomes("Ready").await;
    world.events_are(3).await;
    let texts = event_texts(&world).await;
    assert_eq!(texts[2], "Deployed: StatefulSet is ready and NATS is deployed.");

    // Busola: matchEvents($$, $root.kind, $root.metadata.name), then lastTimestamp, count, source and reportingComponent.
    let events = world.api::<Event>().list(&ListParams::default()).await.unwrap().items;
    let about: Vec<&Event> =
        events.iter().filter(|event| event.involved_object.kind.as_deref() == Some("NATS")).collect();
    for event in &about {
        assert_eq!(event.involved_object.name.as_deref(), Some(NAME));
        assert_eq!(event.involved_object.uid, nats.metadata.uid);
        let event = serde_json::to_value(event).unwrap();
        for field in ["firstTimestamp", "lastTimestamp", "eventTime", "reportingInstance", "action"] {
            assert!(event[field].as_str().is_some_and(|text| !text.is_empty()), "{field}: {event}");
        }
        assert_eq!((&event["count"], &event["source"]), (&json!(1), &json!({"component": "nats-manager"})));
        assert_eq!(event["reportingComponent"], "nats-manager");
    }

    // Both APIs serve the same objects.
    let newer = world.api::<v1::Event>().list(&ListParams::default()).await.unwrap().items;
    let newer = newer.iter().filter(|event| event.reporting_controller.as_deref() == Some("nats-manager"));
    assert_eq!(newer.count(), about.len());

    let listed = world.kubectl(&["get", "events", "-n", "kyma-system", "--field-selector", "involvedObject.kind=NATS"]);
    let listed = listed.await.unwrap();
    let rows = lines(&listed, "LAST SEEN");
    assert_eq!(rows.len(), 3, "{listed}");
    let described = world.kubectl(&["describe", "nats", "-n", "kyma-system", NAME]).await.unwrap();
    let table = lines(&described, "Events:");
    // The header has two lines.
    assert_eq!(table.len(), 5, "{described}");
    for row in &table[2..] {
        assert_eq!((row[0], row[3]), ("Normal", "nats-manager"), "{described}");
    }
    for output in [&listed, &described] {
        assert!(!output.contains("<unknown>"), "{output}");
    }
}

#[tokio::test]
async fn repeated_event_raises_its_count_and_is_created_again_when_it_has_expired() {
    let world = World::new().await;
    let _manager = world.manager().await;
    world.create(json!({})).await;
    world.state_becomes("Ready").await;
    world.events_are(3).await;
    let deploying = async || {
        let events = world.api::<Event>().list(&ListParams::default()).await.unwrap().items;
        let event = events.into_iter().find(|event| event.reason.as_deref() == Some("Deploying"));
        event.map(|event| serde_json::to_value(event).unwrap())
    };
    let first = deploying().await.unwrap();

    outage(&world).await;
    let second = deploying().await.unwrap();
    assert_eq!((&second["count"], &second["metadata"]["name"]), (&json!(2), &first["metadata"]["name"]));
    assert_eq!(second["firstTimestamp"], first["firstTimestamp"]);
    let time =
        |event: &Value| event["lastTimestamp"].as_str().unwrap().parse::<k8s_openapi::jiff::Timestamp>().unwrap();
    assert!(time(&second).duration_since(time(&first)) > SignedDuration::ZERO, "{second}");
    let described = world.kubectl(&["describe", "nats", "-n", "kyma-system", NAME]).await.unwrap();
    assert!(described.contains("(x2 over "), "{described}");

    // The apiserver deletes events after an hour.
    world.api::<Event>().delete_collection(&DeleteParams::default(), &ListParams::default()).await.unwrap();
    outage(&world).await;
    let third = deploying().await.unwrap();
    assert_eq!(third["count"], json!(1));
    assert_ne!(third["metadata"]["name"], first["metadata"]["name"]);
}

/// Takes the quorum away and gives it back, and waits for the events of both.
async fn outage(world: &World) {
    let before: i32 = event_counts(world).await.iter().map(|(_, times)| times).sum();
    world.cordon(true).await;
    world.kill_pod("eventing-nats-1").await;
    world.kill_pod("eventing-nats-2").await;
    world.state_becomes("Processing").await;
    world.cordon(false).await;
    world.is_ready_for_the_newest_spec().await;
    eventually("both transitions are reported", TIMEOUT, || async {
        let counts = event_counts(world).await;
        let all: i32 = counts.iter().map(|(_, times)| times).sum();
        if all == before + 2 { Seen::Done(()) } else { Seen::NotYet(format!("{counts:?}")) }
    })
    .await;
}
