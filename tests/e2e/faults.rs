//! An apiserver that does not do as asked.

use std::time::Duration;

use axum::http::Method;
use kube::{
    Api,
    api::{DeleteParams, DynamicObject},
};
use nats_manager_api::naming;
use nats_manager_harness::eventually;
use serde_json::json;

use crate::{
    manager::{Manager, Options},
    objects::{BUDGET, CONFIG_MAP, SECRET, SERVICE, STATEFUL_SET},
    proxy::{Fault, Proxy},
    world::{NAME, SOON, World, condition},
};

/// How often a request is refused until it is enough.
const ENOUGH: usize = 5;

#[tokio::test]
async fn a_write_that_fails_is_tried_again_ever_less_often_and_the_status_says_why() {
    let world = World::new().await;
    let (proxy, _manager) = manager_behind_a_proxy(&world).await;
    for (fault, path_end, cause) in [
        (Fault::Refuse(409), "configmaps/eventing-nats-config", "the line is bad"),
        (Fault::Refuse(429), "services/eventing-nats", "the line is bad"),
        (Fault::Refuse(500), "statefulsets/eventing-nats", "the line is bad"),
        (Fault::Refuse(503), "nats/eventing-nats", "the line is bad"),
        (Fault::Cut, "secrets/eventing-nats-secret", "Secret eventing-nats-secret"),
        (Fault::CutAfterwards, "poddisruptionbudgets/eventing-nats", "PodDisruptionBudget eventing-nats"),
    ] {
        proxy.break_requests(Method::PATCH, path_end, fault);
        world.create(json!({})).await;
        eventually(&format!("{path_end} failed often enough"), SOON, || async { proxy.met() >= ENOUGH }).await;
        let status = world.state_becomes("Error").await;
        let (holds, reason, message) = condition(&status, "Available").unwrap();
        assert_eq!((holds.as_str(), reason.as_str()), ("False", "FailedProcessing"));
        assert!(message.contains(cause), "{fault:?}: {message}");
        assert!(!message.contains("Status {"), "not for people: {message}");
        let pauses = proxy.pauses();
        let least = Duration::from_millis(250 * ((1 << (ENOUGH - 1)) - 1));
        let waited: Duration = pauses.iter().take(ENOUGH - 1).sum();
        assert!(waited >= least, "{fault:?}: {pauses:?}");

        proxy.mend();
        world.state_becomes("Ready").await;
        for child in [SECRET, CONFIG_MAP, SERVICE, BUDGET, STATEFUL_SET] {
            child.get(&world).await;
        }
        // The next case begins without it.
        world.patch(json!({"metadata": {"annotations": {naming::FORCE_DELETION: "true"}}})).await.unwrap();
        world.delete().await;
        world.gone().await;
        for child in [SECRET, CONFIG_MAP, SERVICE, BUDGET] {
            child.goes(&world).await;
        }
    }
}

#[tokio::test]
async fn a_hanging_apiserver_is_given_up() {
    let world = World::new().await;
    let (proxy, manager) = manager_behind_a_proxy(&world).await;
    proxy.break_requests(Method::PATCH, "services/eventing-nats", Fault::Hang);
    world.create(json!({})).await;
    let status = world.state_becomes("Error").await;
    let (_, _, message) = condition(&status, "Available").unwrap();
    assert!(message.contains("cannot apply Service eventing-nats"), "{message}");
    assert!(message.contains("the apiserver did not answer within 30 s"), "{message}");
    proxy.mend();
    world.state_becomes("Ready").await;
    assert_eq!(manager.terminate().await, Some(0));
}

#[tokio::test]
async fn a_status_that_cannot_be_written_is_written_later() {
    let world = World::new().await;
    let (proxy, manager) = manager_behind_a_proxy(&world).await;
    proxy.break_requests(Method::PATCH, "nats/eventing-nats/status", Fault::Refuse(500));
    world.create(json!({})).await;
    eventually("the status failed often enough", SOON, || async { proxy.met() >= ENOUGH }).await;
    assert!(manager.log().contains("cannot write the status: the line is bad"));
    proxy.mend();
    world.state_becomes("Ready").await;
}

#[tokio::test]
async fn what_happens_while_no_watch_works_is_seen_afterwards() {
    let world = World::new().await;
    let (proxy, manager) = manager_behind_a_proxy(&world).await;
    world.create(json!({})).await;
    world.state_becomes("Ready").await;
    proxy.break_watches();
    eventually("the watches have failed", SOON, || async { manager.log().contains("cannot watch, trying again") }).await;
    let uid = SERVICE.get(&world).await["metadata"]["uid"].clone();
    let services: Api<DynamicObject> = SERVICE.api(&world);
    services.delete(NAME, &DeleteParams::default()).await.unwrap();
    world.patch(json!({"spec": {"labels": {"team": "a"}}})).await.unwrap();
    assert_eq!(manager.readyz().await.unwrap().0, 200, "what is cached still serves");

    proxy.mend();
    SERVICE.becomes(&world, "comes back", |now| now["metadata"]["uid"] != uid).await;
    CONFIG_MAP.becomes(&world, "has the label", |now| now["metadata"]["labels"]["team"] == "a").await;
    assert!(manager.metric("nats_manager_watch_restarts_total{resource=\"services\"}").await.unwrap() >= 1.0);
}

async fn manager_behind_a_proxy(world: &World) -> (Proxy, Manager) {
    let proxy = Proxy::start(world).await;
    let manager = Manager::spawn(proxy.kubeconfig(), world.cluster.folder(), &Options::default()).ready().await;
    (proxy, manager)
}
