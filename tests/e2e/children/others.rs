//! Other clients that change children all the time: admission webhooks, and scalers.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    routing::{MethodRouter, post},
};
use futures::StreamExt;
use k8s_openapi::{
    api::{admissionregistration::v1::MutatingWebhookConfiguration, apps::v1::StatefulSet, core::v1::Pod},
    jiff::Timestamp,
};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams},
    runtime::{WatchStreamExt, watcher},
};
use nats_manager_certs::{Authority, DnsNames, Resolver};
use nats_manager_harness::{Seen, eventually};
use nats_manager_webhook::{Observer, Rejection, ReviewOutcome, ServerOptions, TlsIdentity, WebhookKind, serve};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{
    history::History,
    objects::STATEFUL_SET,
    world::{NAME, SERVICE_ACCOUNT, TIMEOUT, World, condition},
};

#[tokio::test]
async fn field_that_admission_replaces_is_written_once_per_change_and_reported_once() {
    let world = World::new().await;
    let mirror = Mirror::start(&world).await;
    let _manager = world.manager().await;
    world.create(json!({})).await;
    world.is_ready_for_the_newest_spec().await;
    let image = |set: &Value| set["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap().to_owned();
    assert!(image(&STATEFUL_SET.get(&world).await).starts_with("mirror.example/"));
    let audit = world.cluster.audit().unwrap();
    let mark = audit.mark().await.unwrap();
    let writes = async || {
        let events = audit.since(mark).await.unwrap();
        events.writes().filter(|event| event.user == SERVICE_ACCOUNT && event.resource == "statefulsets").count()
    };
    for _ in 0..3 {
        world.reconcile_again().await;
    }
    assert_eq!(writes().await, 0, "neither side has changed");

    // A change of ours, and one of the live object.
    world.patch(json!({"spec": {"labels": {"a": "1"}}})).await.unwrap();
    STATEFUL_SET.becomes(&world, "has the label", |set| set["metadata"]["labels"]["a"] == "1").await;
    world.is_ready_for_the_newest_spec().await;
    STATEFUL_SET.change(&world, json!({"metadata": {"labels": {"a": "2"}}})).await;
    STATEFUL_SET.becomes(&world, "has the label again", |set| set["metadata"]["labels"]["a"] == "1").await;
    world.reconcile_again().await;
    let before = writes().await;
    for _ in 0..3 {
        world.reconcile_again().await;
    }
    assert_eq!(writes().await, before, "neither side has changed");

    // Rolling updates continue.
    world.patch(json!({"spec": {"resources": {"limits": {"memory": "1500Mi"}}}})).await.unwrap();
    STATEFUL_SET
        .becomes(&world, "has restarted all servers", |set| {
            let limit = &set["spec"]["template"]["spec"]["containers"][2]["resources"]["limits"]["memory"];
            let status = &set["status"];
            limit == "1500Mi" && status["updatedReplicas"] == 3 && status["currentRevision"] == status["updateRevision"]
        })
        .await;
    world.is_ready_for_the_newest_spec().await;

    let notes = events(&world, "FieldOverridden").await;
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(
        notes[0].starts_with("StatefulSet eventing-nats: an admission webhook or policy replaces the field "),
        "{notes:?}"
    );
    assert!(notes[0].contains(".spec.template.spec.containers[config-reloader].image"), "{notes:?}");
    mirror.stop().await;
}

#[tokio::test]
async fn fight_over_replicas_names_the_other_field_manager_once() {
    let world = World::new().await;
    let _manager = world.manager().await;
    world.create(json!({})).await;
    world.is_ready_for_the_newest_spec().await;
    assert_eq!(events(&world, "ReplicasChanged").await, [""; 0]);
    let parameters = |manager: &str| PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() };
    let replicas = |replicas: i32| Patch::Merge(json!({"spec": {"replicas": replicas}}));
    let sets = world.api::<StatefulSet>();
    for number in [2, 1, 2] {
        sets.patch_scale(NAME, &parameters("autoscaler"), &replicas(number)).await.unwrap();
        STATEFUL_SET.becomes(&world, "is restored", |set| set["spec"]["replicas"] == 3).await;
    }
    sets.patch(NAME, &parameters("downscaler"), &replicas(0)).await.unwrap();
    STATEFUL_SET.becomes(&world, "is restored", |set| set["spec"]["replicas"] == 3).await;
    let expected = ["autoscaler (subresource scale)", "downscaler"].map(|manager| {
        format!(
            "StatefulSet eventing-nats: the field manager {manager} changes the replicas, and NATS Manager restores \
             them. Stop that client, and set spec.cluster.size instead"
        )
    });
    eventually("both are reported", TIMEOUT, || async {
        let notes = events(&world, "ReplicasChanged").await;
        if notes == expected { Seen::Done(()) } else { Seen::NotYet(format!("{notes:?}")) }
    })
    .await;
    world.is_ready_for_the_newest_spec().await;
}

/// The webhook of a policy is removed in the middle of a rolling update.
#[tokio::test]
async fn partition_is_not_opened_in_a_write_that_changes_the_template() {
    let world = World::new().await;
    let mirror = Mirror::start(&world).await;
    let _manager = world.manager().await;
    world.create(json!({"cluster": {"size": 5}})).await;
    world.is_ready_for_the_newest_spec().await;
    let history = History::record(world.api::<StatefulSet>(), |set| {
        let spec = set.spec?;
        let partition = spec.update_strategy?.rolling_update?.partition?;
        Some((partition, serde_json::to_string(&spec.template).ok()?))
    });
    world.patch(json!({"spec": {"resources": {"limits": {"memory": "1500Mi"}}}})).await.unwrap();
    STATEFUL_SET
        .becomes(&world, "restarts the first server", |set| {
            set["spec"]["updateStrategy"]["rollingUpdate"]["partition"] == 4
        })
        .await;
    // The next write comes when the apiserver no longer calls the webhook.
    world.reject(&["UPDATE"], "apps", "statefulsets").await;
    mirror.stop().await;
    eventually("the webhook is not called", TIMEOUT, || async {
        let probe = PatchParams::apply("user").force().dry_run();
        let stored = world.api::<StatefulSet>().patch("probe", &probe, &Patch::Apply(&probe_object())).await?;
        Ok::<_, kube::Error>(!is_mirrored(&serde_json::to_value(stored).unwrap()))
    })
    .await;
    world.accept("statefulsets").await;
    STATEFUL_SET
        .becomes(&world, "has restarted all servers", |set| {
            let status = &set["status"];
            status["updatedReplicas"] == 5 && status["currentRevision"] == status["updateRevision"]
        })
        .await;
    world.is_ready_for_the_newest_spec().await;
    let states = history.states();
    assert!(states.iter().any(|(partition, _)| *partition == 0), "{states:?}");
    for pair in states.windows(2) {
        let [(before, old), (after, new)] = pair else { continue };
        assert!(after >= before || old == new, "opened from {before} to {after} with another template: {old} {new}");
    }
}

#[tokio::test]
async fn stateful_set_whose_immutable_field_admission_replaces_is_recreated_once() {
    let world = World::new().await;
    let mut manager = world.manager().await;
    world.create(json!({})).await;
    world.is_ready_for_the_newest_spec().await;
    manager.terminate().await.unwrap();
    let is_ordered = |set: &Value| set["spec"]["podManagementPolicy"] == "OrderedReady";
    let policy = Mirror::with(&world, post(order), is_ordered).await;
    STATEFUL_SET.delete(&world).await;
    manager = world.manager().await;
    let uid = |set: &Value| set["metadata"]["uid"].clone();
    let first = STATEFUL_SET.becomes(&world, "is created as the policy wants it", is_ordered).await;
    let second = STATEFUL_SET
        .becomes(&world, "is recreated once", |set| uid(set) != uid(&first) && set["status"]["readyReplicas"] == 3)
        .await;
    world.is_ready_for_the_newest_spec().await;
    for round in 0..3 {
        world.patch(json!({"spec": {"labels": {"round": round.to_string()}}})).await.unwrap();
        world.is_ready_for_the_newest_spec().await;
    }
    assert_eq!(uid(&STATEFUL_SET.get(&world).await), uid(&second));
    let notes = events(&world, "FieldOverridden").await;
    assert!(notes.iter().any(|note| note.contains("the immutable field .spec.podManagementPolicy")), "{notes:?}");
    policy.stop().await;
    drop(manager);
}

/// Another controller adds a node selector as often as it is removed.
#[tokio::test]
async fn fight_over_the_pod_template_is_bounded_and_names_the_other_field_manager() {
    let world = World::new().await;
    let mut manager = world.manager().await;
    world.create(json!({})).await;
    world.is_ready_for_the_newest_spec().await;
    let audit = world.cluster.audit().unwrap();
    let mark = audit.mark().await.unwrap();
    let sets = world.api::<StatefulSet>();
    let pinner = tokio::spawn(async move {
        let selector = json!({"spec": {"template": {"spec": {"nodeSelector": {"disk": "fast"}}}}});
        let parameters = PatchParams { field_manager: Some("pinner".to_owned()), ..PatchParams::default() };
        let mut changes = watcher(sets.clone(), watcher::Config::default()).applied_objects().boxed();
        while let Some(set) = changes.next().await {
            let pod = set.ok().and_then(|set| set.spec?.template.spec);
            if pod.is_some_and(|pod| pod.node_selector.is_none()) {
                sets.patch(NAME, &parameters, &Patch::Merge(&selector)).await.ok();
            }
        }
    });
    let status = world
        .status_becomes("the other client is named", |status| {
            condition(status, "Stalled").is_some_and(|(_, _, message)| message.contains("pinner"))
        })
        .await;
    let (_, reason, message) = condition(&status, "Stalled").unwrap();
    assert_eq!(reason, "FailedProcessing");
    assert!(
        message.starts_with(
            "StatefulSet eventing-nats: the field manager pinner sets .spec.template.spec.nodeSelector again after each"
        ),
        "{message}"
    );
    assert_eq!(condition(&status, "Available").unwrap().0, "True");
    let pods = world.pods().await;
    for _ in 0..5 {
        world.reconcile_again().await;
    }
    let events = audit.since(mark).await.unwrap();
    let writes =
        events.writes().filter(|event| event.user == SERVICE_ACCOUNT && event.resource == "statefulsets").count();
    assert!((5..=16).contains(&writes), "{writes} writes of the StatefulSet");
    let uids = |pods: &[Pod]| pods.iter().map(|pod| pod.metadata.uid.clone()).collect::<Vec<_>>();
    assert_eq!(uids(&world.pods().await), uids(&pods), "no server restarts");

    pinner.abort();
    manager.terminate().await.unwrap();
    manager = world.manager().await;
    STATEFUL_SET
        .becomes(&world, "has no node selector", |set| set["spec"]["template"]["spec"]["nodeSelector"].is_null())
        .await;
    world.is_ready_for_the_newest_spec().await;
    drop(manager);
}

/// Returns the notes of the events with this reason.
async fn events(world: &World, reason: &str) -> Vec<String> {
    world.events().await.into_iter().filter(|event| event.1 == reason).map(|(_, _, note)| note).collect()
}

/// Mutating webhook that prefixes the images of `StatefulSets`, as a policy for an image mirror does.
struct Mirror {
    server: JoinHandle<()>,
    configurations: Api<MutatingWebhookConfiguration>,
}

const CONFIGURATION: &str = "image-mirror";

impl Mirror {
    /// Starts a webhook that replaces images, and waits until it is called.
    async fn start(world: &World) -> Self {
        Self::with(world, post(review), is_mirrored).await
    }

    /// Starts a webhook, and waits until the apiserver calls it for a StatefulSet, which is changed as expected then.
    async fn with(world: &World, handler: MethodRouter, is_changed: impl Fn(&Value) -> bool) -> Self {
        let now = Timestamp::now();
        let authority = Authority::generate(now).unwrap();
        let names = DnsNames { dns: Vec::new(), addresses: vec![std::net::Ipv4Addr::LOCALHOST.into()] };
        let resolver = Arc::new(Resolver::new());
        resolver.swap(authority.issue(&names, now).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let router = Router::new().route("/", handler);
        let server = tokio::spawn(async move {
            let never = std::future::pending();
            let identity = TlsIdentity { resolver, client_verifier: None };
            serve(listener, identity, router, Arc::new(Silent), ServerOptions::default(), never).await.unwrap();
        });
        let configurations: Api<MutatingWebhookConfiguration> = Api::all(world.client.clone());
        let bundle = k8s_openapi::ByteString(authority.certificate().to_pem().into_bytes());
        let configuration = json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": CONFIGURATION},
            "webhooks": [{
                "name": "mirror.example.com",
                "admissionReviewVersions": ["v1"],
                "sideEffects": "None",
                // A failed test leaves it behind, without a server.
                "failurePolicy": "Ignore",
                "clientConfig": {"url": format!("https://127.0.0.1:{port}/"), "caBundle": bundle},
                "rules": [{
                    "apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["statefulsets"],
                    "operations": ["CREATE", "UPDATE"],
                }],
            }],
        });
        let apply = PatchParams::apply("user").force();
        configurations.patch(CONFIGURATION, &apply, &Patch::Apply(&configuration)).await.unwrap();
        let sets = world.api::<StatefulSet>();
        eventually("the apiserver calls the webhook", TIMEOUT, || async {
            let stored = sets.patch("probe", &apply.clone().dry_run(), &Patch::Apply(&probe_object())).await?;
            let stored = serde_json::to_value(stored).unwrap();
            Ok::<_, kube::Error>(is_changed(&stored))
        })
        .await;
        Self { server, configurations }
    }

    async fn stop(self) {
        self.configurations.delete(CONFIGURATION, &DeleteParams::default()).await.unwrap();
        self.server.abort();
    }
}

/// Builds a StatefulSet that shows whether the apiserver calls a webhook.
fn probe_object() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "probe"},
        "spec": {
            "serviceName": "probe",
            "selector": {"matchLabels": {"a": "1"}},
            "template": {
                "metadata": {"labels": {"a": "1"}},
                "spec": {"containers": [{"name": "a", "image": "a"}]},
            },
        },
    })
}

fn is_mirrored(probe: &Value) -> bool {
    probe["spec"]["template"]["spec"]["containers"][0]["image"] == "mirror.example/a"
}

/// Answers a review with a patch that prefixes each image that has no prefix, and adds an environment variable.
async fn review(Json(review): Json<Value>) -> Json<Value> {
    let containers = &review["request"]["object"]["spec"]["template"]["spec"]["containers"];
    let images = containers.as_array().into_iter().flatten().map(|container| container["image"].as_str().unwrap());
    let mut patch: Vec<Value> = images
        .enumerate()
        .filter(|(_, image)| !image.starts_with("mirror.example/"))
        .map(|(index, image)| {
            let path = format!("/spec/template/spec/containers/{index}/image");
            json!({"op": "replace", "path": path, "value": format!("mirror.example/{image}")})
        })
        .collect();
    // An addition that NATS Manager removes.
    let environment = json!([{"name": "MIRROR", "value": "1"}]);
    if containers[0]["env"] != environment {
        patch.push(json!({"op": "add", "path": "/spec/template/spec/containers/0/env", "value": environment}));
    }
    let patch = k8s_openapi::ByteString(serde_json::to_vec(&patch).unwrap());
    let uid = &review["request"]["uid"];
    Json(json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "response": {"uid": uid, "allowed": true, "patchType": "JSONPatch", "patch": patch},
    }))
}

/// Answers a review with a patch that sets an immutable field.
async fn order(Json(review): Json<Value>) -> Json<Value> {
    let is_created = review["request"]["operation"] == "CREATE";
    let patch = json!([{"op": "add", "path": "/spec/podManagementPolicy", "value": "OrderedReady"}]);
    let patch = if is_created { patch } else { json!([]) };
    let patch = k8s_openapi::ByteString(serde_json::to_vec(&patch).unwrap());
    Json(json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "response": {"uid": review["request"]["uid"], "allowed": true, "patchType": "JSONPatch", "patch": patch},
    }))
}

/// Observer that records nothing.
struct Silent;

impl Observer for Silent {
    fn reviewed(&self, _: WebhookKind, _: ReviewOutcome, _: Duration) {}

    fn handshake_rejected(&self, _: Rejection) {}
}
