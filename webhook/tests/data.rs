//! Changes and deletions of resources whose stored status has a JetStream summary.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

mod world;

use nats_manager_webhook::{ReviewOutcome, WebhookKind};
use serde_json::{Value, json};
use world::{FixedFacts, UID, http::Server, object, review, spec, with};

const WAITS: &str = "NATS eventing-nats has streams or consumers of users: its deletion waits (state Warning) until they are deleted, see: nats stream ls; nats consumer ls sap";

/// Builds a stored resource of `size` servers with this status.
fn stored(size: i64, status: &Value) -> Value {
    let mut stored = object("eventing-nats", &with(&spec(), "/cluster/size", json!(size)));
    stored["status"] = status.clone();
    stored
}

#[allow(clippy::needless_pass_by_value, reason = "as json! takes it")]
fn status_with(jet_stream: Value) -> Value {
    json!({"state": "Ready", "conditions": [], "jetStream": jet_stream})
}

fn customer_data() -> Value {
    status_with(json!({"streams": true, "customerData": true, "highestReplicas": 3, "storage": "Healthy"}))
}

fn deletion(stored: &Value) -> Value {
    let mut deletion = review("DELETE", &Value::Null, stored);
    deletion["request"]["name"] = json!("eventing-nats");
    deletion
}

#[tokio::test]
async fn change_that_loses_data_is_rejected_by_both_webhooks() {
    let server = Server::new(FixedFacts::default());
    let streams = status_with(json!({"streams": true, "highestReplicas": 5}));
    for (from, to, message) in [
        (1, 3, "Invalid value: 3: cannot be set to 3 while there are streams"),
        (5, 3, "Invalid value: 3: is too small for a stream with 5 replicas"),
    ] {
        let change = review("UPDATE", &stored(to, &streams), &stored(from, &streams));
        for webhook in [WebhookKind::Mutate, WebhookKind::Validate] {
            let response = server.ask(webhook, &change).await;
            let causes = response["status"]["details"]["causes"].as_array().unwrap();
            assert_eq!(causes.len(), 1, "{causes:?}");
            assert_eq!(causes[0]["field"], "spec.cluster.size");
            assert!(causes[0]["message"].as_str().unwrap().starts_with(message), "{causes:?}");
        }
    }
}

#[tokio::test]
async fn only_stored_status_counts() {
    let server = Server::new(FixedFacts::default());
    let (streams, none) =
        (status_with(json!({"streams": true, "highestReplicas": 5})), status_with(json!({"streams": false})));
    let allowed = |old: Value, new: Value| {
        let change = review("UPDATE", &stored(3, &new), &stored(1, &old));
        let server = &server;
        async move { server.validate(&change).await["allowed"] == true }
    };
    assert!(!allowed(streams.clone(), none.clone()).await);
    assert!(allowed(none, streams.clone()).await);
    // No poll of JetStream yet, or a status that is unreadable.
    for status in [
        Value::Null,
        json!({}),
        json!([]),
        json!("x"),
        status_with(Value::Null),
        status_with(json!("x")),
        status_with(json!({"streams": "yes"})),
        status_with(json!({"streams": true, "highestReplicas": -1})),
    ] {
        assert!(allowed(status.clone(), streams.clone()).await, "{status}");
    }
}

#[tokio::test]
async fn change_from_one_server_is_revertible_by_stored_status() {
    let server = Server::new(FixedFacts::default());
    let members = |members: Value| json!({"members": members, "jetStream": "unreadable"});
    for (old, new, allowed) in [
        (members(json!(1)), Value::Null, true),
        (members(json!(3)), members(json!(1)), false),
        (members(json!("1")), members(json!(1)), false),
        (Value::Null, members(json!(1)), false),
    ] {
        let change = review("UPDATE", &stored(1, &new), &stored(3, &old));
        assert_eq!(server.validate(&change).await["allowed"], allowed, "{old} {new}");
    }
}

#[tokio::test]
async fn memory_store_with_streams_in_memory_cannot_be_turned_off() {
    let server = Server::new(FixedFacts::default());
    let status = status_with(json!({"streams": true, "memoryStreams": true, "memoryUsed": "64Mi"}));
    let mut off = stored(3, &status);
    off["spec"]["jetStream"]["memStorage"]["enabled"] = json!(false);
    let response = server.validate(&review("UPDATE", &off, &stored(3, &status))).await;
    let causes = response["status"]["details"]["causes"].as_array().unwrap();
    assert_eq!((causes.len(), &causes[0]["field"]), (1, &json!("spec.jetStream.memStorage.enabled")), "{causes:?}");
}

#[tokio::test]
async fn blocked_deletion_is_allowed_with_warning() {
    let server = Server::new(FixedFacts::default());
    let response = server.ask(WebhookKind::Delete, &deletion(&stored(3, &customer_data()))).await;
    assert_eq!(response, json!({"uid": UID, "allowed": true, "warnings": [WAITS]}));
    assert_eq!(server.counts.last_review(), Some((WebhookKind::Delete, ReviewOutcome::Allowed)));

    let mut forced = stored(3, &customer_data());
    forced["metadata"]["annotations"] = json!({"nats.operator.kyma-project.io/force-deletion": "true"});
    let response = server.ask(WebhookKind::Delete, &deletion(&forced)).await;
    assert!(response["warnings"][0].as_str().unwrap().contains("which are deleted with it"), "{response}");
}

#[tokio::test]
async fn every_deletion_is_allowed() {
    let server = Server::new(FixedFacts::default());
    let of = |stored: Value| deletion(&stored);
    let mut another = deletion(&stored(3, &customer_data()));
    another["request"]["kind"]["kind"] = json!("Eventing");
    let mut malformed = deletion(&stored(3, &customer_data()));
    malformed["request"]["dryRun"] = json!("yes");
    for deletion in [
        of(stored(3, &status_with(json!({"streams": true, "customerData": false})))),
        of(stored(3, &Value::Null)),
        of(stored(3, &json!([]))),
        of(stored(2, &json!({}))),
        of(json!({"metadata": {"annotations": "?"}, "spec": [], "status": "?"})),
        of(json!({"metadata": []})),
        of(json!("x")),
        of(Value::Null),
        another,
        malformed,
    ] {
        let response = server.ask(WebhookKind::Delete, &deletion).await;
        assert_eq!(response, json!({"uid": UID, "allowed": true}), "{deletion}");
    }
}

/// Checks the apiserver's own limit, 256 characters.
#[tokio::test]
async fn warning_is_truncated() {
    let server = Server::new(FixedFacts::default());
    let mut deletion = deletion(&stored(3, &customer_data()));
    deletion["request"]["name"] = json!("n".repeat(253));
    let response = server.ask(WebhookKind::Delete, &deletion).await;
    assert_eq!(response["warnings"][0].as_str().unwrap().chars().count(), 256);
    assert!(WAITS.len() < 256);
}
