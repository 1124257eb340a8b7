//! Status: state, conditions and events over the life of a cluster.

mod events;
mod not_created;
mod zones;

use k8s_openapi::api::core::v1::{Event, Pod};
use kube::{
    ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use nats_manager_api::NatsStatus;
use nats_manager_harness::{Seen, eventually};
use serde_json::json;

use crate::{
    objects::STATEFUL_SET,
    world::{NAME, TIMEOUT, World, condition},
};

const URL: &str = "nats://eventing-nats.kyma-system.svc.cluster.local:4222";

#[tokio::test]
async fn new_cluster_is_processing_until_first_ready() {
    let world = World::new().await;
    let _manager = world.manager().await;
    // Pods wait for a StorageClass that does not exist yet.
    world.create(json!({"jetStream": {"fileStorage": {"storageClassName": "later"}}})).await;
    let status = world.state_becomes("Processing").await;

    // Pending Pods do not change the status.
    STATEFUL_SET.becomes(&world, "has pods", |set| set["status"]["replicas"] == 3).await;
    world.reconcile_again().await;
    assert_eq!(world.status().await, status);
    assert_eq!((status.url.as_str(), status.availability_zones_used, status.observed_generation), ("", 0, Some(1)));
    assert_eq!(
        condition_lines(&status),
        [
            "Ready False Deploying: NATS is being deployed, waiting for StatefulSet to get ready.",
            "Available False Deploying: NATS is being deployed, waiting for StatefulSet to get ready.",
            "Reconciling True Deployment: First deployment: creating servers",
            "Stalled False NotBlocked: No change is blocked.",
            "StatefulSet False Pending: StatefulSet is not ready",
            "AvailabilityZones False Pending: Availability zones are counted when the StatefulSet is ready.",
        ]
    );
    let announced = [
        "Processing: Initializing NATS resource.",
        "Deploying: NATS is being deployed, waiting for StatefulSet to get ready.",
    ];
    assert_eq!(event_texts(&world).await, announced);

    world.create_storage_class("later").await;
    let status = world.state_becomes("Ready").await;
    assert_eq!((status.url.as_str(), status.availability_zones_used), (URL, 3));
    assert_eq!(
        condition_lines(&status),
        [
            "Ready True Ready: NATS serves clients, and the newest spec is carried out.",
            "Available True Deployed: NATS is deployed",
            "Reconciling False Idle: No change is in progress.",
            "Stalled False NotBlocked: No change is blocked.",
            "StatefulSet True Available: StatefulSet is ready",
            "AvailabilityZones True Deployed: NATS is deployed in different availability zones.",
        ]
    );
    world.delete_storage_class("later").await;
    world.events_are(3).await;
    assert_eq!(event_texts(&world).await[2], "Deployed: StatefulSet is ready and NATS is deployed.");
}

#[tokio::test]
async fn cluster_stays_ready_while_it_has_quorum() {
    let world = World::new().await;
    let _manager = world.manager().await;
    world.create(json!({})).await;
    let ready = world.state_becomes("Ready").await;
    let since = |status: &NatsStatus, kind: &str| {
        status.conditions.iter().find(|condition| condition.type_ == kind).unwrap().last_transition_time.clone()
    };

    world.cordon(true).await;
    world.kill_pod("eventing-nats-0").await;
    let status = world.status_becomes("a server is missing", |status| has(status, "not ready: eventing-nats-0")).await;
    assert_eq!((status.state.as_str(), status.url.as_str(), status.availability_zones_used), ("Ready", URL, 3));
    let is = |status: &NatsStatus, kind| condition(status, kind).map(|(holds, reason, _)| format!("{holds} {reason}"));
    for (kind, expected) in
        [("StatefulSet", "False Pending"), ("AvailabilityZones", "True Deployed"), ("Available", "True Deployed")]
    {
        assert_eq!(is(&status, kind).as_deref(), Some(expected), "{kind}");
    }
    assert_eq!((condition(&status, "Ready").unwrap().0.as_str(), status.ready_servers), ("False", 2));
    for kind in ["Available", "AvailabilityZones"] {
        assert_eq!(since(&status, kind), since(&ready, kind), "{kind}");
    }

    world.kill_pod("eventing-nats-1").await;
    let status = world
        .status_becomes("the quorum is lost", |status| has(status, "not ready: eventing-nats-0, eventing-nats-1"))
        .await;
    assert_eq!((status.state.as_str(), status.url.as_str(), status.availability_zones_used), ("Processing", URL, 0));
    for (kind, expected) in
        [("StatefulSet", "False Pending"), ("AvailabilityZones", "False Pending"), ("Available", "False Deploying")]
    {
        assert_eq!(is(&status, kind).as_deref(), Some(expected), "{kind}");
    }
    world.kill_pod("eventing-nats-2").await;
    world
        .status_becomes("no server is left", |status| {
            has(status, "not ready: eventing-nats-0, eventing-nats-1, eventing-nats-2")
        })
        .await;

    world.cordon(false).await;
    world.is_ready_for_the_newest_spec().await;
    eventually("both transitions are reported twice", TIMEOUT, || async {
        let counts = event_counts(&world).await;
        if counts == [("Processing".to_owned(), 1), ("Deploying".to_owned(), 2), ("Deployed".to_owned(), 2)] {
            Seen::Done(())
        } else {
            Seen::NotYet(format!("{counts:?}"))
        }
    })
    .await;
}

#[tokio::test]
async fn scale_up_is_no_outage() {
    let world = World::new().await;
    let _manager = world.manager().await;
    world.create(json!({})).await;
    world.state_becomes("Ready").await;

    world.cordon(true).await;
    world.patch(json!({"spec": {"cluster": {"size": 7}}})).await.unwrap();
    let status = world
        .status_becomes("servers are missing", |status| {
            has(status, "not ready: eventing-nats-3, eventing-nats-4, eventing-nats-5, eventing-nats-6")
        })
        .await;
    assert_eq!((status.state.as_str(), status.url.as_str(), status.availability_zones_used), ("Ready", URL, 3));
    let available = condition(&status, "Available").map(|(holds, reason, _)| (holds, reason));
    assert_eq!(available, Some(("True".to_owned(), "Deployed".to_owned())));

    world.cordon(false).await;
    world.is_ready_for_the_newest_spec().await;
    assert!(event_counts(&world).await.iter().all(|(_, times)| *times == 1), "no outage is reported");
}

#[tokio::test]
async fn steady_cluster_causes_only_watches() {
    let world = World::new().await;
    let _manager = world.manager().await;
    // The apiserver stores other spellings of these quantities.
    let resources = json!({"limits": {"cpu": "1.0", "memory": "1024Mi"}, "requests": {"cpu": "0.1", "memory": "1e8"}});
    world.create(json!({"resources": resources})).await;
    world.state_becomes("Ready").await;
    world.events_are(3).await;
    world.reconcile_again().await;
    let nats = world.api::<nats_manager_api::Nats>();
    let version = nats.get(NAME).await.unwrap().resource_version();
    let audit = world.cluster.audit().unwrap();
    let mark = audit.mark().await.unwrap();

    // The status of the Pods changes 150 times within 30 s.
    let mut ticker = tokio::time::interval(std::time::Duration::from_millis(200));
    for tick in 0..150 {
        ticker.tick().await;
        let condition = json!({"type": "Probed", "status": if tick % 2 == 0 { "True" } else { "False" }});
        let patch = Patch::Strategic(json!({"status": {"conditions": [condition]}}));
        let pod = format!("eventing-nats-{}", tick % 3);
        world.api::<Pod>().patch_status(&pod, &PatchParams::default(), &patch).await.unwrap();
    }

    let requests = audit.since(mark).await.unwrap();
    let ours: Vec<String> = requests
        .iter()
        .filter(|event| event.user == crate::world::SERVICE_ACCOUNT && event.verb != "watch")
        .map(|event| format!("{} {}", event.verb, event.uri))
        .collect();
    assert_eq!(ours, [""; 0]);
    assert_eq!(nats.get(NAME).await.unwrap().resource_version(), version);
    assert!(event_counts(&world).await.iter().all(|(_, times)| *times == 1));
}

#[tokio::test]
async fn restarted_manager_writes_no_status_and_no_events() {
    let world = World::new().await;
    let manager = world.manager().await;
    world.create(json!({})).await;
    world.state_becomes("Ready").await;
    world.events_are(3).await;
    let nats = world.api::<nats_manager_api::Nats>();
    let version = nats.get(NAME).await.unwrap().resource_version();
    manager.terminate().await.unwrap();

    let _manager = world.manager().await;
    world.reconcile_again().await;
    assert_eq!(nats.get(NAME).await.unwrap().resource_version(), version);
    assert_eq!(event_texts(&world).await.len(), 3);
}

#[tokio::test]
async fn every_spec_change_is_observed() {
    let world = World::new().await;
    let _manager = world.manager().await;
    let created = world.create(json!({})).await;
    world.is_ready_for_the_newest_spec().await;
    let changed = world.patch(json!({"spec": {"labels": {"a": "1"}}})).await.unwrap();
    assert_ne!(created.metadata.generation, changed.metadata.generation);
    let status = world.is_ready_for_the_newest_spec().await;
    for condition in &status.conditions {
        assert_eq!(condition.observed_generation, changed.metadata.generation, "{}", condition.type_);
    }
}

impl World {
    /// Deletes a Pod without grace period.
    pub async fn kill_pod(&self, pod: &str) {
        let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
        self.api::<Pod>().delete(pod, &now).await.unwrap();
    }
}

/// Returns one line for each condition.
fn condition_lines(status: &NatsStatus) -> Vec<String> {
    let line = |kind: &str| {
        let (holds, reason, message) = condition(status, kind)?;
        Some(format!("{kind} {holds} {reason}: {message}"))
    };
    // The other two conditions, `Storage` and `JetStream`, depend on polling.
    assert_eq!(status.conditions.len(), 8, "{:?}", status.conditions);
    let kinds = ["Ready", "Available", "Reconciling", "Stalled", "StatefulSet", "AvailabilityZones"];
    kinds.into_iter().filter_map(line).collect()
}

/// Returns whether a condition has this message.
fn has(status: &NatsStatus, message: &str) -> bool {
    status.conditions.iter().any(|condition| condition.message == message)
}

/// Returns the reasons of the events, oldest first, each with its number of occurrences.
async fn event_counts(world: &World) -> Vec<(String, i32)> {
    let mut events = world.api::<Event>().list(&ListParams::default()).await.unwrap().items;
    events.retain(|event| event.involved_object.kind.as_deref() == Some("NATS"));
    events.sort_by_key(|event| event.event_time.as_ref().map(|time| time.0));
    events.iter().map(|event| (event.reason.clone().unwrap_or_default(), event.count.unwrap_or_default())).collect()
}

/// Returns reason and note of the events, oldest first.
async fn event_texts(world: &World) -> Vec<String> {
    world.events().await.into_iter().map(|(_, reason, note)| format!("{reason}: {note}")).collect()
}
