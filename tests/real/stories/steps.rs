//! Shared steps of the stories.

use std::time::Duration;

use k8s_openapi::{
    api::{apps::v1::StatefulSet, core::v1::Pod},
    apimachinery::pkg::apis::meta::v1::Condition,
};
use kube::ResourceExt;
use nats_manager_api::{Nats, NatsStatus};
use nats_manager_harness::{Seen, eventually};
use serde_json::{Value, json};

use crate::{
    manager::ManagerProcess,
    servers::is_ready,
    world::{NAME, World},
};

/// Timeout of a change with several restarts.
pub const CHANGED: Duration = Duration::from_mins(8);

/// Starts a manager and a cluster with `servers` servers, and waits until it is Ready.
pub async fn running(world: &World<'_>, servers: usize) -> ManagerProcess {
    let manager = world.manager().await;
    world.create(json!({"cluster": {"size": servers}})).await;
    world.state_becomes("Ready").await;
    manager
}

/// Returns a spec with another memory limit, which changes the Pod template.
pub fn memory_limit(limit: &str) -> Value {
    json!({"resources": {"limits": {"cpu": "500m", "memory": limit}, "requests": {"cpu": "40m", "memory": "64Mi"}}})
}

/// Waits until a condition has this status and reason, and a message that contains `text`. Returns the condition.
pub async fn condition_becomes(world: &World<'_>, kind: &str, status: &str, reason: &str, text: &str) -> Condition {
    eventually(&format!("{kind} {status} {reason}: {text}"), CHANGED, || async {
        let found = status_of(world).await?.conditions;
        let is_met = |condition: &&Condition| {
            condition.type_ == kind
                && condition.status == status
                && condition.reason == reason
                && condition.message.contains(text)
        };
        let condition = found.iter().find(is_met).cloned();
        Ok::<_, kube::Error>(condition.map_or_else(|| Seen::NotYet(summary(&found)), Seen::Done))
    })
    .await
}

/// Waits until no change is in progress, the cluster is healthy, and all servers have Pods other than the `old` ones.
/// Returns the Pods.
pub async fn becomes_steady(world: &World<'_>, servers: usize, old: &[Pod]) -> Vec<Pod> {
    eventually(&format!("{servers} servers are ready, and nothing is in progress"), CHANGED, || async {
        let status = status_of(world).await?;
        let pods = world.pods().await;
        let is_new = |pod: &Pod| old.iter().all(|old| old.uid() != pod.uid());
        let ready = pods.iter().filter(|pod| is_ready(pod) && is_new(pod)).count();
        let is_steady = status.operation.is_none() && is_true(&status, "Ready") && is_true(&status, "JetStream");
        Ok::<_, kube::Error>(if is_steady && ready == servers && pods.len() == servers {
            Seen::Done(pods)
        } else {
            Seen::NotYet(format!("{ready} of {}; {}", pods.len(), summary(&status.conditions)))
        })
    })
    .await
}

/// Checks every second for a duration that the StatefulSet has these replicas and the servers have the same Pods.
pub async fn nothing_changes(world: &World<'_>, replicas: i32, duration: Duration) {
    let uids = |pods: &[Pod]| pods.iter().map(ResourceExt::uid).collect::<Vec<_>>();
    let before = uids(&world.pods().await);
    let end = tokio::time::Instant::now() + duration;
    while tokio::time::Instant::now() < end {
        assert_eq!(replicas_of(world).await, Some(replicas));
        assert_eq!(uids(&world.pods().await), before, "a server was restarted or stopped");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Returns the replicas of the StatefulSet.
pub async fn replicas_of(world: &World<'_>) -> Option<i32> {
    world.api::<StatefulSet>().get(NAME).await.unwrap().spec?.replicas
}

/// Waits until the StatefulSet has these replicas.
pub async fn replicas_become(world: &World<'_>, replicas: i32) {
    eventually(&format!("the StatefulSet has {replicas} replicas"), CHANGED, || async {
        let found = world.api::<StatefulSet>().get(NAME).await?.spec.and_then(|spec| spec.replicas);
        let conditions = status_of(world).await?.conditions;
        Ok::<_, kube::Error>(if found == Some(replicas) {
            Seen::Done(())
        } else {
            Seen::NotYet(format!("{found:?}; {}", summary(&conditions)))
        })
    })
    .await;
}

/// Returns the memory limit of the container `nats` of each Pod.
pub fn memory_limits(pods: &[Pod]) -> Vec<String> {
    let limit = |pod: &Pod| {
        let container = pod.spec.as_ref()?.containers.iter().find(|container| container.name == "nats")?;
        Some(container.resources.as_ref()?.limits.as_ref()?.get("memory")?.0.clone())
    };
    pods.iter().filter_map(limit).collect()
}

/// Waits until the message of each stream can be read.
pub async fn streams_are_readable(world: &World<'_>, names: &[String]) {
    for name in names {
        eventually(&format!("stream {name} can be read"), CHANGED, || async {
            let context = world.nats().await;
            let stream = context.get_stream(name).await.map_err(|error| error.to_string())?;
            let message = stream.get_raw_message(1).await.map_err(|error| error.to_string())?;
            Ok::<_, String>(message.payload == "kept")
        })
        .await;
    }
}

/// Returns whether a condition is True.
pub fn is_true(status: &NatsStatus, kind: &str) -> bool {
    status.conditions.iter().any(|condition| condition.type_ == kind && condition.status == "True")
}

async fn status_of(world: &World<'_>) -> kube::Result<NatsStatus> {
    Ok(world.api::<Nats>().get(NAME).await?.status.unwrap_or_default())
}

fn summary(conditions: &[Condition]) -> String {
    let line = |condition: &Condition| {
        let Condition { type_, status, reason, message, .. } = condition;
        format!("{type_} {status} {reason}: {message}")
    };
    conditions.iter().map(line).collect::<Vec<_>>().join(" | ")
}
