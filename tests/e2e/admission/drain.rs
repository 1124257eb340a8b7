//! How a replica leaves.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{DeleteParams, Patch, PatchParams};
use nats_manager_harness::eventually;
use serde_json::json;

use super::{configurations::configurations, reached_at, tls::answer};
use crate::{
    manager::{free_port, get},
    world::{SERVICE_ACCOUNT, SOON, World},
};

#[tokio::test]
async fn it_is_unready_at_once_and_answers_on_for_a_while() {
    let world = World::new().await;
    let port = free_port();
    let manager = world.manager_with(&reached_at(port, port)).await;
    world.is_guarded().await;
    world.create(json!({})).await;
    world.state_becomes("Ready").await;
    let secret = world.api::<Secret>().get("nats-manager-webhook-ca").await.unwrap();
    let bundle = secret.data.unwrap().remove("ca.crt").unwrap().0;
    let kept = answer(port, &bundle).await.unwrap().to_lowercase();
    assert!(kept.starts_with("http/1.1 400") && !kept.contains("connection: close"), "{kept}");

    let probes_port = manager.probes_port;
    let begun = Instant::now();
    let ended = tokio::spawn(manager.terminate());
    eventually("it is not ready", Duration::from_secs(1), || async {
        matches!(get(probes_port, "/readyz").await, Some((503, text)) if text.contains("[-]running: shutting down"))
    })
    .await;
    let mut answers = 0;
    // Somewhat shorter than its lame-duck time.
    while begun.elapsed() < Duration::from_secs(4) {
        let answer = answer(port, &bundle).await.unwrap().to_lowercase();
        assert!(answer.starts_with("http/1.1 400") && answer.contains("connection: close"), "{answer}");
        world.tries(json!({})).await.unwrap();
        answers += 1;
        assert_eq!(get(probes_port, "/healthz").await.unwrap().0, 200, "it is not to be killed");
    }
    assert!(answers > 3, "{answers}");
    assert_eq!(ended.await.unwrap(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    eventually("nobody listens", SOON, || async { answer(port, &bundle).await.is_err() }).await;
}

#[tokio::test]
async fn it_is_unready_at_once_while_a_reconcile_hangs() {
    let world = World::new().await;
    let port = free_port();
    let manager = world.manager_with(&reached_at(port, port)).await;
    world.is_guarded().await;
    // Whoever is asked there never answers.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
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
            "clientConfig": {"url": format!("https://{}/", silent.local_addr().unwrap())},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["configmaps"]}],
            "matchConditions": [{"name": "by-us", "expression": format!("request.userInfo.username == '{SERVICE_ACCOUNT}'")}],
        }],
    });
    let [_, api] = configurations(&world);
    api.patch("slow", &PatchParams::apply("user"), &Patch::Apply(&slow)).await.unwrap();
    // Somebody deletes the ConfigMap until its coming back hangs.
    world.create(json!({})).await;
    let _held = eventually("a reconcile hangs", SOON, || async {
        let _ = world.api::<ConfigMap>().delete("eventing-nats-config", &DeleteParams::default()).await;
        tokio::time::timeout(Duration::from_millis(500), silent.accept()).await.ok()?.ok()
    })
    .await;

    let probes_port = manager.probes_port;
    let ended = tokio::spawn(manager.terminate());
    eventually("it is not ready", Duration::from_secs(1), || async {
        matches!(get(probes_port, "/readyz").await, Some((503, _)))
    })
    .await;
    assert_eq!(ended.await.unwrap(), Some(0));
    api.delete("slow", &DeleteParams::default()).await.unwrap();
}
