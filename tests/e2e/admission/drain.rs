//! Termination of a replica: readiness, open connections, requests during the lame-duck period.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{DeleteParams, Patch, PatchParams};
use nats_manager_harness::eventually;
use serde_json::json;

use super::{configurations::configurations, tls::answer, webhook_options_at};
use crate::{
    manager::{free_address, http_get},
    world::{SERVICE_ACCOUNT, TIMEOUT, World},
};

#[tokio::test]
async fn terminating_replica_is_unready_at_once_and_still_responds() {
    let world = World::new().await;
    let port = free_address().unwrap().port();
    let manager = world.manager_with(&webhook_options_at(port, port)).await;
    world.webhook_is_active().await;
    world.create(json!({})).await;
    world.state_becomes("Ready").await;
    let secret = world.api::<Secret>().get("nats-manager-webhook-ca").await.unwrap();
    let bundle = secret.data.unwrap().remove("ca.crt").unwrap().0;
    let keep_alive = answer(port, &bundle).await.unwrap().to_lowercase();
    assert!(keep_alive.starts_with("http/1.1 400") && !keep_alive.contains("connection: close"), "{keep_alive}");

    let probes_port = manager.probes;
    let started = Instant::now();
    let ended = tokio::spawn(manager.terminate());
    eventually("it is not ready", Duration::from_secs(1), || async {
        matches!(http_get(probes_port, "/readyz").await, Ok((503, text)) if text.contains("[-]running: shutting down"))
    })
    .await;
    let mut answers = 0;
    // This is shorter than the lame-duck period.
    while started.elapsed() < Duration::from_secs(4) {
        let answer = answer(port, &bundle).await.unwrap().to_lowercase();
        assert!(answer.starts_with("http/1.1 400") && answer.contains("connection: close"), "{answer}");
        world.dry_run(json!({})).await.unwrap();
        answers += 1;
        assert_eq!(http_get(probes_port, "/healthz").await.unwrap().0, 200, "liveness holds");
    }
    assert!(answers > 3, "{answers}");
    assert_eq!(ended.await.unwrap().unwrap(), Some(0));
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    eventually("the port is closed", TIMEOUT, || async { answer(port, &bundle).await.is_err() }).await;
}

#[tokio::test]
async fn terminating_replica_is_unready_at_once_while_a_reconcile_hangs() {
    let world = World::new().await;
    let port = free_address().unwrap().port();
    let manager = world.manager_with(&webhook_options_at(port, port)).await;
    world.webhook_is_active().await;
    // This webhook accepts connections and never responds.
    let unresponsive = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let slow = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "slow"},
        "webhooks": [{
            "name": "slow.example.com",
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "timeoutSeconds": 20,
            "failurePolicy": "Ignore",
            "clientConfig": {"url": format!("https://{}/", unresponsive.local_addr().unwrap())},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["configmaps"]}],
            "matchConditions": [{"name": "by-us", "expression": format!("request.userInfo.username == '{SERVICE_ACCOUNT}'")}],
        }],
    });
    let [_, api] = configurations(&world);
    api.patch("slow", &PatchParams::apply("user"), &Patch::Apply(&slow)).await.unwrap();
    // The ConfigMap is deleted until its recreation hangs.
    world.create(json!({})).await;
    let _connection = eventually("a reconcile hangs", TIMEOUT, || async {
        let _ = world.api::<ConfigMap>().delete("eventing-nats-config", &DeleteParams::default()).await;
        tokio::time::timeout(Duration::from_millis(500), unresponsive.accept()).await.ok()?.ok()
    })
    .await;

    let probes_port = manager.probes;
    let ended = tokio::spawn(manager.terminate());
    eventually("it is not ready", Duration::from_secs(1), || async {
        matches!(http_get(probes_port, "/readyz").await, Ok((503, _)))
    })
    .await;
    assert_eq!(ended.await.unwrap().unwrap(), Some(0));
    api.delete("slow", &DeleteParams::default()).await.unwrap();
}
