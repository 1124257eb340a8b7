//! Requests that the webhook causes at the apiserver: none.

use futures::{StreamExt, stream};
use serde_json::json;

use crate::world::{SERVICE_ACCOUNT, World};

#[tokio::test]
async fn reviews_and_steady_state_cause_no_requests() {
    let world = World::new().await;
    let manager = world.manager_with_webhook().await;
    world.create(json!({})).await;
    world.state_becomes("Ready").await;
    world.events_are(3).await;
    world.reconcile_again().await;
    let reviewed = "nats_manager_admission_reviews_total{webhook=\"validate\",outcome=\"allowed\"}";
    let before = manager.metric(reviewed).await.unwrap();
    let audit = world.cluster.audit().unwrap();
    let mark = audit.mark().await.unwrap();

    let requested = stream::iter(0..500).map(|number| world.dry_run(json!({"labels": {"number": number.to_string()}})));
    let changed = requested.buffer_unordered(16).filter(|result| std::future::ready(result.is_ok())).count().await;
    assert_eq!(changed, 500);
    assert!(manager.metric(reviewed).await.unwrap() >= before + 500.0);

    // This is longer than the shortest interval of the webhook's periodic checks.
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    let requests = audit.since(mark).await.unwrap();
    let is_own = |user: &str| user == SERVICE_ACCOUNT;
    let ours: Vec<String> = requests
        .iter()
        .filter(|event| is_own(&event.user) && event.verb != "watch")
        .map(|event| format!("{} {}", event.verb, event.uri))
        .collect();
    assert_eq!(ours, [""; 0]);
    let reviews = requests.iter().filter(|event| event.resource == "nats" && event.verb == "patch").count();
    assert!(reviews >= 500, "the audit log shows {reviews} of the burst");
}
