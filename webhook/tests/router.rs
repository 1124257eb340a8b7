//! Webhooks over HTTP, without a socket.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

mod world;

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use nats_manager_api::{
    Bytes, DeployedCluster, FileStore, NamespacedName, Provider, Spread,
    rules::{ClusterFacts, StorageClasses},
};
use nats_manager_webhook::{ReviewOutcome, WebhookKind};
use serde_json::{Value, json};
use world::{FixedFacts, UID, create, http::Server, object, review, spec, update, with};

fn deployed(gibi: u64) -> ClusterFacts {
    let deployed = DeployedCluster {
        size: 3,
        file_store: FileStore::Volume { size: Bytes::gibi(gibi), class: None },
        spread: Spread::Soft,
        memory_store: None,
        restarted_for_memory_store: None,
    };
    ClusterFacts { deployed: Some(deployed), ..ClusterFacts::default() }
}

const SIZE: &str = "/jetStream/fileStorage/size";

#[tokio::test]
async fn valid_resource_is_completed_and_allowed() {
    let server = Server::new(FixedFacts::default());
    let review = create(&spec());
    let patch = server.patch(&review).await.unwrap();
    assert_eq!(patch, json!([{"op": "add", "path": "/spec/jetStream/fileStorage/size", "value": "1Gi"}]));
    assert_eq!(server.counts.last_review(), Some((WebhookKind::Mutate, ReviewOutcome::Patched)));
    let mut patched = review["request"]["object"].clone();
    let patch: json_patch::Patch = serde_json::from_value(patch).unwrap();
    json_patch::patch(&mut patched, &patch).unwrap();
    let review = world::review("CREATE", &patched, &Value::Null);
    assert_eq!(server.patch(&review).await, None);
    assert_eq!(server.validate(&review).await, json!({"uid": UID, "allowed": true}));
    assert_eq!(server.counts.last_review(), Some((WebhookKind::Validate, ReviewOutcome::Allowed)));
}

#[tokio::test]
async fn dropped_file_size_is_restored() {
    let server = Server::new(FixedFacts { cluster_facts: deployed(5), ..FixedFacts::default() });
    let unset = spec();
    let set = |size: Value| with(&unset, SIZE, size);
    for (old, new, expected) in [
        (set(json!("5Gi")), unset.clone(), Some(json!("5Gi"))),
        (set(json!("5120Mi")), unset.clone(), Some(json!("5120Mi"))),
        (set(json!("0")), set(json!("0")), Some(json!("5Gi"))),
        (unset.clone(), unset.clone(), Some(json!("5Gi"))),
        (set(json!("5Gi")), set(json!("5120Mi")), None),
    ] {
        let patch = server.patch(&update(&old, &new)).await;
        assert_eq!(patch.map(|patch| patch[0]["value"].clone()), expected, "{old} {new}");
        if let Some(size) = expected {
            let filled = update(&old, &with(&new, SIZE, size));
            assert_eq!(server.validate(&filled).await["allowed"], true, "{filled}");
        }
    }
}

#[tokio::test]
async fn response_contains_every_finding() {
    let server = Server::new(FixedFacts::default());
    let mut bad = with(&spec(), "/cluster/size", json!(2));
    bad["resources"]["requests"]["memory"] = json!("2Gi");
    bad["labels"] = json!({"app.kubernetes.io/name": "mine"});
    let response = server.validate(&create(&bad)).await;
    let causes = json!([
        {"reason": "FieldValueInvalid", "field": "spec.cluster.size", "message": "Invalid value: 2: size only accepts odd numbers"},
        {"reason": "FieldValueInvalid", "field": "spec.resources.requests.memory", "message": "Invalid value: \"2Gi\": must not be more than the limit 1Gi, which is the default that is stored if no resources are set; set spec.resources.limits.memory too"},
        {"reason": "FieldValueForbidden", "field": "spec.labels[app.kubernetes.io/name]", "message": "Forbidden: is set by NATS Manager itself; remove it"},
    ]);
    let status = &response["status"];
    assert_eq!(
        status["details"],
        json!({"group": "operator.kyma-project.io", "kind": "NATS", "name": "eventing-nats", "causes": causes})
    );
    assert_eq!((&status["code"], &status["reason"]), (&json!(422), &json!("Invalid")));
    assert_eq!(
        status["message"],
        r#"NATS.operator.kyma-project.io "eventing-nats" is invalid: [spec.cluster.size: Invalid value: 2: size only accepts odd numbers, spec.resources.requests.memory: Invalid value: "2Gi": must not be more than the limit 1Gi, which is the default that is stored if no resources are set; set spec.resources.limits.memory too, spec.labels[app.kubernetes.io/name]: Forbidden: is set by NATS Manager itself; remove it]"#
    );
    assert_eq!(server.counts.last_review(), Some((WebhookKind::Validate, ReviewOutcome::Rejected)));
    // Reported before the schema is checked, whose one finding would hide the others.
    assert_eq!(server.ask(WebhookKind::Mutate, &create(&bad)).await["status"], *status);
}

#[tokio::test]
async fn stored_invalid_spec_stays_editable() {
    let server = Server::new(FixedFacts { cluster_facts: deployed(1), ..FixedFacts::default() });
    let bad = with(&spec(), "/cluster/size", json!(2));
    let debugging = with(&bad, "/logging/debug", json!(true));
    let response = server.validate(&update(&bad, &debugging)).await;
    assert_eq!(response["allowed"], true);
    assert_eq!(
        response["warnings"],
        json!([
            "spec.logging.debug: produces many log lines; turn it off after use",
            "spec.cluster.size: size only accepts odd numbers"
        ])
    );
    // Unreadable on both sides, and on one.
    let unreadable = with(&spec(), "/cluster/size", json!("?"));
    let response = server.validate(&update(&unreadable, &unreadable)).await;
    assert_eq!((&response["allowed"], response["warnings"].as_array().unwrap().len()), (&json!(true), 1));
    assert_eq!(server.validate(&update(&unreadable, &spec())).await["allowed"], true);
    let response = server.validate(&update(&spec(), &unreadable)).await;
    assert_eq!(response["status"]["details"]["causes"][0]["field"], "spec.cluster.size");
    assert_eq!(response["status"]["details"]["causes"][0]["reason"], "FieldValueTypeInvalid");
}

#[tokio::test]
async fn unknown_network_policy_mode_is_a_warning() {
    let server = Server::new(FixedFacts::default());
    for (value, warnings) in [
        ("restricted", json!(null)),
        (
            "off",
            json!([
                "metadata.annotations[nats.operator.kyma-project.io/network-policy]: \"off\" is not supported, so \
                    \"internal\" applies: use \"internal\", \"restricted\" or \"disabled\""
            ]),
        ),
    ] {
        let mut review = create(&spec());
        let annotations = json!({"nats.operator.kyma-project.io/network-policy": value});
        review["request"]["object"]["metadata"]["annotations"] = annotations;
        let response = server.validate(&review).await;
        assert_eq!((&response["allowed"], &response["warnings"]), (&json!(true), &warnings), "{value}");
    }
}

#[tokio::test]
async fn cluster_facts_affect_findings_and_warnings() {
    let alicloud = ClusterFacts { provider: Provider::AliCloud, zones: Some(1), ..ClusterFacts::default() };
    let classes = StorageClasses::default();
    let cluster_facts = ClusterFacts { storage_classes: Some(classes), ..alicloud };
    let server = Server::new(FixedFacts { cluster_facts, ..FixedFacts::default() });
    let response = server.validate(&create(&with(&spec(), SIZE, json!("1Gi")))).await;
    assert_eq!(
        response["status"]["details"]["causes"][0]["message"],
        "Invalid value: \"1Gi\": spec.jetStream.fileStorage.size 1Gi is below the minimum required size of 20Gi for alicloud"
    );
    let response = server.validate(&create(&with(&spec(), SIZE, json!("20Gi")))).await;
    assert_eq!(response["warnings"].as_array().unwrap().len(), 2, "{response}");
}

#[tokio::test]
async fn file_size_is_completed_from_servers_of_this_resource_only() {
    let elsewhere = "b2f0f2a9-6c3e-4a5c-8e6f-0b1b2f4ad0f5";
    for (owner, review, expected) in [
        (world::OBJECT_UID, update(&spec(), &spec()), "5Gi"),
        (world::OBJECT_UID, create(&spec()), "1Gi"),
        (elsewhere, update(&spec(), &spec()), "1Gi"),
        (elsewhere, create(&spec()), "1Gi"),
    ] {
        let server =
            Server::new(FixedFacts { cluster_facts: deployed(5), deployed_for: Some(owner), ..FixedFacts::default() });
        let patch = server.patch(&review).await.unwrap();
        assert_eq!(patch[0]["value"], expected, "{owner} {}", review["request"]["operation"]);
    }
}

#[tokio::test]
async fn only_allowed_resource_can_be_created() {
    let allowed = Some(NamespacedName::new("kyma-system", "eventing-nats"));
    let server = Server::new(FixedFacts { allowed, ..FixedFacts::default() });
    assert_eq!(server.validate(&create(&spec())).await["allowed"], true);
    let mut unnamed = object("", &spec());
    unnamed["metadata"] = json!({"generateName": "eventing-", "namespace": "kyma-system"});
    for object in [object("other", &spec()), unnamed] {
        let response = server.validate(&review("CREATE", &object, &Value::Null)).await;
        let status = &response["status"];
        assert_eq!((&status["code"], &status["reason"]), (&json!(403), &json!("Forbidden")));
        assert_eq!(
            status["message"],
            "Only a single NATS CR with name: eventing-nats and namespace: kyma-system is allowed to be created in a Kyma cluster."
        );
        // A resource that exists already may change.
        assert_eq!(server.validate(&review("UPDATE", &object, &object)).await["allowed"], true);
    }
    let mut elsewhere = create(&spec());
    elsewhere["request"]["namespace"] = json!("default");
    assert_eq!(server.validate(&elsewhere).await["allowed"], false);
}

#[tokio::test]
async fn requests_out_of_scope_are_allowed() {
    let server = Server::new(FixedFacts::default());
    let bad = with(&spec(), "/cluster/size", json!(2));
    let of = |pointer: &str, value: Value| with(&create(&bad), pointer, value);
    for review in [
        of("/request/operation", json!("DELETE")),
        of("/request/operation", json!("CONNECT")),
        of("/request/subResource", json!("status")),
        of("/request/kind", json!({"group": "", "version": "v1", "kind": "Pod"})),
        of("/request/kind", json!({"group": "operator.kyma-project.io", "version": "v1alpha1", "kind": "Eventing"})),
    ] {
        for webhook in [WebhookKind::Mutate, WebhookKind::Validate] {
            assert_eq!(server.ask(webhook, &review).await, json!({"uid": UID, "allowed": true}), "{review}");
            assert_eq!(server.counts.last_review(), Some((webhook, ReviewOutcome::Ignored)));
        }
    }
    for review in [create(&bad), update(&spec(), &bad)] {
        assert_eq!(server.ask(WebhookKind::Delete, &review).await, json!({"uid": UID, "allowed": true}), "{review}");
        assert_eq!(server.counts.last_review(), Some((WebhookKind::Delete, ReviewOutcome::Ignored)));
    }
}

#[tokio::test]
async fn terminating_resource_is_validated() {
    let server = Server::new(FixedFacts::default());
    let bad = with(&spec(), "/cluster/size", json!(2));
    let terminating = |spec: &Value| {
        with(&object("eventing-nats", spec), "/metadata/deletionTimestamp", json!("2026-06-01T10:00:00Z"))
    };
    let change = review("UPDATE", &terminating(&bad), &terminating(&spec()));
    for webhook in [WebhookKind::Mutate, WebhookKind::Validate] {
        assert_eq!(server.ask(webhook, &change).await["allowed"], false);
    }
    // Finalizers come off, whatever is stored.
    let unchanged = review("UPDATE", &with(&terminating(&bad), "/metadata/finalizers", json!([])), &terminating(&bad));
    assert_eq!(server.validate(&unchanged).await["allowed"], true);
}

#[tokio::test]
async fn stored_default_limit_gives_way_to_an_applied_request() {
    let server = Server::new(FixedFacts::default());
    let old = with(
        &spec(),
        "/resources",
        json!({"limits": {"cpu": "500m", "memory": "1Gi"}, "requests": {"cpu": "40m", "memory": "64Mi"}}),
    );
    let larger = with(&old, "/resources/requests/memory", json!("2Gi"));
    let applied = |fields: Value| {
        let managed =
            json!([{"manager": "kubectl", "operation": "Apply", "fieldsV1": {"f:spec": {"f:resources": fields}}}]);
        let new = with(&object("eventing-nats", &larger), "/metadata/managedFields", managed);
        review("UPDATE", &new, &object("eventing-nats", &old))
    };
    let request = json!({"f:requests": {"f:memory": {}}});
    let both = json!({"f:requests": {"f:memory": {}}, "f:limits": {"f:memory": {}}});
    let allowed = server.validate(&applied(request.clone())).await;
    assert_eq!(allowed["allowed"], true, "{allowed}");
    let warning = "spec.resources.limits.memory: the stored default 1Gi is ignored: the request is larger, and no apply set the limit";
    assert!(allowed["warnings"].as_array().unwrap().contains(&json!(warning)), "{allowed}");
    assert_eq!(server.ask(WebhookKind::Mutate, &applied(request)).await["allowed"], true);
    for (case, review) in [("limit applied", applied(both)), ("no record", update(&old, &larger))] {
        let message = server.validate(&review).await["status"]["message"].to_string();
        assert!(
            message.contains("must not be more than the limit 1Gi, which is the default that is stored"),
            "{case}: {message}"
        );
    }
}

#[tokio::test]
async fn annotation_that_pauses_or_has_no_effect_causes_warning() {
    let server = Server::new(FixedFacts::default());
    let pause = "nats.operator.kyma-project.io/pause-reconciliation";
    for (value, expected) in
        [("true", "reconciliation is paused: "), ("yes", "has no effect: the value must be \"true\""), ("false", "")]
    {
        let changed = with(&spec(), "/logging/debug", json!(true));
        let new = with(&object("eventing-nats", &changed), "/metadata/annotations", json!({pause: value}));
        let response = server.validate(&review("UPDATE", &new, &object("eventing-nats", &spec()))).await;
        assert_eq!(response["allowed"], true, "{response}");
        let warnings: Vec<String> = serde_json::from_value(response["warnings"].clone()).unwrap();
        let found: Vec<&String> = warnings.iter().filter(|warning| warning.contains(pause)).collect();
        assert_eq!(found.len(), usize::from(!expected.is_empty()), "{value}: {warnings:?}");
        assert!(found.iter().all(|warning| warning.contains(expected)), "{value}: {warnings:?}");
    }
}

#[tokio::test]
async fn dry_run_gets_same_response() {
    let server = Server::new(FixedFacts::default());
    for spec in [spec(), with(&spec(), "/cluster/size", json!(2))] {
        let review = create(&spec);
        let dry = with(&review, "/request/dryRun", json!(true));
        for webhook in [WebhookKind::Mutate, WebhookKind::Validate] {
            assert_eq!(server.ask(webhook, &review).await, server.ask(webhook, &dry).await);
        }
    }
}

#[tokio::test]
async fn other_paths_and_methods_are_rejected() {
    let server = Server::new(FixedFacts::default());
    for (method, path, expected) in
        [("GET", "/validate", 405), ("PUT", "/mutate", 405), ("GET", "/delete", 405), ("POST", "/", 404)]
    {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        assert_eq!(server.send(request).await.0, expected);
    }
}

#[tokio::test]
async fn panic_fails_one_request_only() {
    let server = Server::new(FixedFacts::default());
    let bomb = review("CREATE", &object("bomb", &spec()), &Value::Null);
    for webhook in [WebhookKind::Mutate, WebhookKind::Validate] {
        assert_eq!(
            server.post(webhook, bomb.to_string()).await,
            (StatusCode::INTERNAL_SERVER_ERROR, "the response failed\n".into())
        );
        assert_eq!(server.counts.last_review(), Some((webhook, ReviewOutcome::Failed)));
        assert_eq!(server.ask(webhook, &create(&spec())).await["allowed"], true);
    }
}
