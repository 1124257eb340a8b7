//! An apiserver that does not do as asked.

use std::time::Duration;

use axum::http::Method;
use kube::{
    Api,
    api::{DeleteParams, DynamicObject},
};
use nats_manager_harness::eventually;
use serde_json::json;

use crate::{
    manager::{Manager, Options},
    objects::{BUDGET, CONFIG_MAP, SECRET, SERVICE, STATEFUL_SET},
    proxy::{Fault, Proxy},
    world::{NAME, SOON, World, condition},
};

/// How often a request is refused until it is enough.
const ENOUGH: usize = 4;

#[tokio::test]
async fn a_write_that_fails_is_tried_again_ever_less_often_and_the_status_says_why() {
    let world = World::new().await;
    let (proxy, _manager) = manager_behind_a_proxy(&world).await;
    let mut exists = false;
    for (fault, path_end, child) in [
        (Fault::Refuse(503), "nats/eventing-nats", None),
        (Fault::Refuse(409), "configmaps/eventing-nats-config", Some(CONFIG_MAP)),
        (Fault::Refuse(429), "services/eventing-nats", Some(SERVICE)),
        (Fault::Refuse(500), "statefulsets/eventing-nats", Some(STATEFUL_SET)),
        (Fault::Cut, "secrets/eventing-nats-secret", Some(SECRET)),
    ] {
        proxy.break_requests(Method::PATCH, path_end, fault);
        match child {
            Some(child) => child.delete(&world).await,
            None => drop(world.create(json!({})).await),
        }
        eventually(&format!("{path_end} failed often enough"), SOON, || async { proxy.met() >= ENOUGH }).await;
        let status = world.state_becomes("Error").await;
        let (holds, reason, message) = condition(&status, "Available").unwrap();
        assert_eq!((holds.as_str(), reason.as_str()), ("False", "FailedProcessing"));
        let cause = if fault == Fault::Cut { "Secret eventing-nats-secret" } else { "the line is bad" };
        assert!(message.contains(cause), "{fault:?}: {message}");
        assert!(!message.contains("Status {"), "not for people: {message}");
        assert_eq!(!status.url.is_empty(), exists, "what was deployed before still is");
        let pauses = proxy.pauses();
        let least = Duration::from_millis(250 * ((1 << (ENOUGH - 1)) - 1));
        let waited: Duration = pauses.iter().take(ENOUGH - 1).sum();
        assert!(waited >= least, "{fault:?}: {pauses:?}");

        proxy.mend();
        world.is_ready_for_the_newest_spec().await;
        for child in [SECRET, CONFIG_MAP, SERVICE, BUDGET, STATEFUL_SET] {
            child.get(&world).await;
        }
        exists = true;
    }
}

#[tokio::test]
async fn an_answer_that_is_lost_is_not_missed() {
    let world = World::new().await;
    let (proxy, _manager) = manager_behind_a_proxy(&world).await;
    for path_end in ["configmaps/eventing-nats-config", "statefulsets/eventing-nats"] {
        proxy.break_requests(Method::PATCH, path_end, Fault::CutAfterwards);
    }
    world.create(json!({})).await;
    world.state_becomes("Ready").await;
    assert_eq!(proxy.met(), 2, "what was written is not written again");
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
    eventually("the watches have failed", SOON, || async { manager.log().contains("cannot watch, trying again") })
        .await;
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
