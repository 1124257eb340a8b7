//! The DestinationRule, for as long as the cluster knows such a thing.

use serde_json::json;

use crate::{objects::DESTINATION_RULE, world::World};

#[tokio::test]
async fn a_destination_rule_comes_and_goes_with_istio() {
    let world = World::new().await;
    let manager = world.manager().await;
    world.create(json!({})).await;
    world.state_becomes("Ready").await;
    world.events_are(3).await;

    for _ in 0..2 {
        world.install_istio().await;
        let rule = DESTINATION_RULE.becomes(&world, "is made", |_| true).await;
        assert_eq!(rule["spec"]["host"], "eventing-nats.kyma-system.svc.cluster.local");
        assert_eq!(rule["spec"]["trafficPolicy"]["tls"]["mode"], "DISABLE");
        DESTINATION_RULE.comes_back(&world).await;

        world.remove_istio().await;
        world.looked_again().await;
    }

    let status = world.state_becomes("Ready").await;
    assert_eq!(status.conditions.iter().filter(|condition| condition.reason == "FailedProcessing").count(), 0);
    // Nothing went wrong on the way that anybody was told of.
    let reasons: Vec<String> = world.events().await.into_iter().map(|(_, reason, _)| reason).collect();
    assert_eq!(reasons, ["Processing", "Deploying", "Deployed"]);
    assert!(!manager.log().contains("reconcile failed"), "{}", manager.log());
}

#[tokio::test]
async fn istio_that_comes_while_the_manager_is_away_is_seen() {
    let world = World::new().await;
    let manager = world.manager().await;
    world.create(json!({})).await;
    world.state_becomes("Ready").await;
    manager.terminate().await;

    world.install_istio().await;
    let _manager = world.manager().await;
    DESTINATION_RULE.becomes(&world, "is made", |_| true).await;
}
