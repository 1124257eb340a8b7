//! The DestinationRule, which exists only with the CRD of Istio.

use serde_json::json;

use crate::{
    objects::{DESTINATION_RULE, STATEFUL_SET},
    rejections::REJECTION,
    world::{World, condition},
};

#[tokio::test]
async fn destination_rule_follows_installation_of_istio() {
    let world = World::new().await;
    let manager = world.manager().await;
    world.create(json!({})).await;
    world.state_becomes("Ready").await;
    world.events_are(3).await;

    for _ in 0..2 {
        world.install_istio().await;
        let rule = DESTINATION_RULE.becomes(&world, "is created", |_| true).await;
        assert_eq!(rule["spec"]["host"], "eventing-nats.kyma-system.svc.cluster.local");
        assert_eq!(rule["spec"]["trafficPolicy"]["tls"]["mode"], "DISABLE");
        DESTINATION_RULE.comes_back(&world).await;

        world.remove_istio().await;
        world.reconcile_again().await;
    }

    let status = world.state_becomes("Ready").await;
    assert_eq!(status.conditions.iter().filter(|condition| condition.reason == "FailedProcessing").count(), 0);
    // No error was reported in between.
    let reasons: Vec<String> = world.events().await.into_iter().map(|(_, reason, _)| reason).collect();
    assert_eq!(reasons, ["Processing", "Deploying", "Deployed"]);
    assert!(!manager.log().contains("reconcile failed"), "{}", manager.log());
}

#[tokio::test]
async fn istio_installed_while_the_manager_is_down_is_detected() {
    let world = World::new().await;
    let manager = world.manager().await;
    world.create(json!({})).await;
    world.state_becomes("Ready").await;
    manager.terminate().await.unwrap();

    world.install_istio().await;
    let _manager = world.manager().await;
    DESTINATION_RULE.becomes(&world, "is created", |_| true).await;
}

#[tokio::test]
async fn rejected_destination_rule_does_not_block_servers() {
    let world = World::new().await;
    world.install_istio().await;
    world.reject(&["CREATE", "UPDATE"], "networking.istio.io", "destinationrules").await;
    world.cordon(true).await;
    let _manager = world.manager().await;
    world.create(json!({})).await;
    let status = world.state_becomes("Error").await;
    let (_, reason, message) = condition(&status, "Available").unwrap();
    assert_eq!(reason, "FailedProcessing");
    assert!(
        message.starts_with("cannot apply DestinationRule eventing-nats") && message.contains(REJECTION),
        "{message}"
    );
    assert_ne!(status.servers_started, Some(true));
    STATEFUL_SET.becomes(&world, "has Pods", |set| set["status"]["replicas"] == 3).await;

    // The start of a server is recorded, although each reconcile fails.
    world.cordon(false).await;
    STATEFUL_SET.becomes(&world, "is ready", |set| set["status"]["readyReplicas"] == 3).await;
    let status = world.status_becomes("the start is recorded", |status| status.servers_started == Some(true)).await;
    assert_eq!(condition(&status, "Stalled").unwrap().1, "FailedProcessing");
    world.patch(json!({"spec": {"cluster": {"size": 5}}})).await.unwrap();
    STATEFUL_SET.becomes(&world, "is scaled up", |set| set["status"]["readyReplicas"] == 5).await;

    world.accept("destinationrules").await;
    // The backoff has grown.
    world.reconcile_again().await;
    world.is_ready_for_the_newest_spec().await;
}
