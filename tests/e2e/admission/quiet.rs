//! What the webhook costs the apiserver: nothing.

use futures::{StreamExt, stream};
use serde_json::json;

use crate::world::{SERVICE_ACCOUNT, World};

#[tokio::test]
async fn reviews_make_no_requests_and_a_steady_state_no_writes() {
    let world = World::new().await;
    let manager = world.guarded().await;
    world.create(json!({})).await;
    world.state_becomes("Ready").await;
    world.events_are(3).await;
    world.looked_again().await;
    let reviewed = "nats_manager_admission_reviews_total{webhook=\"validate\",verdict=\"allowed\"}";
    let before = manager.metric(reviewed).await.unwrap();
    let audit = world.cluster.audit().unwrap();
    let mark = audit.mark().await.unwrap();

    let requested = stream::iter(0..500).map(|number| world.tries(json!({"labels": {"number": number.to_string()}})));
    let changed = requested.buffer_unordered(16).filter(|tried| std::future::ready(tried.is_ok())).count().await;
    assert_eq!(changed, 500);
    assert!(manager.metric(reviewed).await.unwrap() >= before + 500.0);

    // Longer than any of the webhook's own looks at something are apart when it is in a hurry.
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
