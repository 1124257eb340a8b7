//! Other clients that change children all the time: admission webhooks, and scalers.

use std::{sync::Arc, time::Duration};

use axum::{Json, Router, routing::post};
use k8s_openapi::{
    api::{admissionregistration::v1::MutatingWebhookConfiguration, apps::v1::StatefulSet},
    jiff::Timestamp,
};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams},
};
use nats_manager_certs::{Authority, DnsNames, Resolver};
use nats_manager_harness::{Seen, eventually};
use nats_manager_webhook::{Observer, Rejection, ReviewOutcome, ServerOptions, TlsIdentity, WebhookKind, serve};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{
    objects::STATEFUL_SET,
    world::{NAME, SERVICE_ACCOUNT, TIMEOUT, World},
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
    async fn start(world: &World) -> Self {
        let now = Timestamp::now();
        let authority = Authority::generate(now).unwrap();
        let names = DnsNames { dns: Vec::new(), addresses: vec![std::net::Ipv4Addr::LOCALHOST.into()] };
        let resolver = Arc::new(Resolver::new());
        resolver.swap(authority.issue(&names, now).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let router = Router::new().route("/", post(review));
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
        let probe = json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "probe"},
            "spec": {
                "serviceName": "probe",
                "selector": {"matchLabels": {"a": "1"}},
                "template": {
                    "metadata": {"labels": {"a": "1"}},
                    "spec": {"containers": [{"name": "a", "image": "a"}]},
                },
            },
        });
        let sets = world.api::<StatefulSet>();
        eventually("the apiserver calls the webhook", TIMEOUT, || async {
            let stored = sets.patch("probe", &apply.clone().dry_run(), &Patch::Apply(&probe)).await?;
            let stored = serde_json::to_value(stored).unwrap();
            Ok::<_, kube::Error>(stored["spec"]["template"]["spec"]["containers"][0]["image"] == "mirror.example/a")
        })
        .await;
        Self { server, configurations }
    }

    async fn stop(self) {
        self.configurations.delete(CONFIGURATION, &DeleteParams::default()).await.unwrap();
        self.server.abort();
    }
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

/// Observer that records nothing.
struct Silent;

impl Observer for Silent {
    fn reviewed(&self, _: WebhookKind, _: ReviewOutcome, _: Duration) {}

    fn handshake_rejected(&self, _: Rejection) {}
}
