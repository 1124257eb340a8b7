//! Requests to the apiserver that fail, hang or lose their response.

use std::time::Duration;

use axum::http::Method;
use kube::{
    Api,
    api::{DeleteParams, DynamicObject},
};
use nats_manager_harness::eventually;
use serde_json::json;

use crate::{
    manager::{ManagerOptions, ManagerProcess},
    objects::{BUDGET, CONFIG_MAP, SECRET, SERVICE, STATEFUL_SET},
    proxy::{Fault, Proxy},
    world::{NAME, TIMEOUT, World, condition},
};

/// Number of failed requests after which a case continues.
const MIN_FAILURES: usize = 4;
/// Least delay after the third failure, four times the first delay. Events of Pods that are deleted with their StatefulSet
/// cause attempts before a delay has passed.
const LONG_DELAY: Duration = Duration::from_secs(1);

#[tokio::test]
async fn failed_write_is_retried_with_backoff_and_reported_in_status() {
    let world = World::new().await;
    let (proxy, _manager) = manager_behind_proxy(&world).await;
    let mut is_deployed = false;
    for (fault, path_end, child) in [
        (Fault::Reject(503), "nats/eventing-nats", None),
        (Fault::Reject(409), "configmaps/eventing-nats-config", Some(CONFIG_MAP)),
        (Fault::Reject(429), "services/eventing-nats", Some(SERVICE)),
        (Fault::Reject(500), "statefulsets/eventing-nats", Some(STATEFUL_SET)),
        (Fault::Cut, "secrets/eventing-nats-secret", Some(SECRET)),
    ] {
        proxy.break_requests(Method::PATCH, path_end, fault);
        match child {
            Some(child) => child.delete(&world).await,
            None => drop(world.create(json!({})).await),
        }
        eventually(&format!("{path_end} is retried less and less often"), TIMEOUT, || async {
            proxy.fault_count() >= MIN_FAILURES && proxy.intervals().iter().any(|interval| *interval >= LONG_DELAY)
        })
        .await;
        // Servers that run keep serving, whatever else cannot be applied.
        let serves = child.is_some_and(|child| child.kind != STATEFUL_SET.kind);
        let status = world
            .status_becomes("the failure is reported", |status| {
                condition(status, "Stalled").is_some_and(|(_, reason, _)| reason == "FailedProcessing")
                    && status.state == if serves { "Warning" } else { "Error" }
            })
            .await;
        let (holds, reason, _) = condition(&status, "Available").unwrap();
        let expected = if serves { ("True", "Deployed") } else { ("False", "FailedProcessing") };
        assert_eq!((holds.as_str(), reason.as_str()), expected, "{fault:?}");
        let (_, _, message) = condition(&status, "Stalled").unwrap();
        let cause = if fault == Fault::Cut { "Secret eventing-nats-secret" } else { "injected fault" };
        assert!(message.contains(cause), "{fault:?}: {message}");
        assert!(!message.contains("Status {"), "debug output: {message}");
        assert_eq!(!status.url.is_empty(), is_deployed, "the deployed URL stays");

        proxy.remove_faults();
        world.is_ready_for_the_newest_spec().await;
        for child in [SECRET, CONFIG_MAP, SERVICE, BUDGET, STATEFUL_SET] {
            child.get(&world).await;
        }
        is_deployed = true;
    }
}

#[tokio::test]
async fn lost_response_causes_no_second_write() {
    let world = World::new().await;
    let (proxy, _manager) = manager_behind_proxy(&world).await;
    for path_end in ["configmaps/eventing-nats-config", "statefulsets/eventing-nats"] {
        proxy.break_requests(Method::PATCH, path_end, Fault::CutAfterwards);
    }
    world.create(json!({})).await;
    world.state_becomes("Ready").await;
    assert_eq!(proxy.fault_count(), 2, "no second write");
}

#[tokio::test]
async fn hanging_request_times_out_and_is_reported() {
    let world = World::new().await;
    let (proxy, manager) = manager_behind_proxy(&world).await;
    proxy.break_requests(Method::PATCH, "services/eventing-nats", Fault::Hang);
    world.create(json!({})).await;
    let status = world.state_becomes("Error").await;
    let (_, _, message) = condition(&status, "Available").unwrap();
    assert!(message.contains("cannot apply Service eventing-nats"), "{message}");
    assert!(message.contains("the apiserver did not answer within 30 s"), "{message}");
    proxy.remove_faults();
    world.state_becomes("Ready").await;
    assert_eq!(manager.terminate().await.unwrap(), Some(0));
}

#[tokio::test]
async fn failed_status_write_is_retried() {
    let world = World::new().await;
    let (proxy, manager) = manager_behind_proxy(&world).await;
    proxy.break_requests(Method::PATCH, "nats/eventing-nats/status", Fault::Reject(500));
    world.create(json!({})).await;
    eventually("the status write failed often enough", TIMEOUT, || async { proxy.fault_count() >= MIN_FAILURES }).await;
    assert!(manager.log().contains("cannot write the status: injected fault"));
    proxy.remove_faults();
    world.state_becomes("Ready").await;
}

#[tokio::test]
async fn changes_during_failed_watches_are_processed_afterwards() {
    let world = World::new().await;
    let (proxy, manager) = manager_behind_proxy(&world).await;
    world.create(json!({})).await;
    world.state_becomes("Ready").await;
    proxy.break_watches();
    eventually("the watches have failed", TIMEOUT, || async { manager.log().contains("cannot watch, trying again") })
        .await;
    let uid = SERVICE.get(&world).await["metadata"]["uid"].clone();
    let services: Api<DynamicObject> = SERVICE.api(&world);
    services.delete(NAME, &DeleteParams::default()).await.unwrap();
    world.patch(json!({"spec": {"labels": {"team": "a"}}})).await.unwrap();
    assert_eq!(manager.readyz().await.unwrap().0, 200, "the caches are still usable");

    proxy.remove_faults();
    SERVICE.becomes(&world, "is recreated", |now| now["metadata"]["uid"] != uid).await;
    CONFIG_MAP.becomes(&world, "has the label", |now| now["metadata"]["labels"]["team"] == "a").await;
    assert!(manager.metric("nats_manager_watch_restarts_total{resource=\"services\"}").await.unwrap() >= 1.0);
}

/// Starts a proxy, and a manager that reaches the apiserver through it.
async fn manager_behind_proxy(world: &World) -> (Proxy, ManagerProcess) {
    let proxy = Proxy::start(world).await;
    let manager = ManagerOptions::default().spawn(proxy.kubeconfig(), world.cluster.folder()).ready().await;
    (proxy, manager)
}
