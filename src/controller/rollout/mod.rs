//! Rolling updates one server at a time, each only when JetStream is whole again.
//!
//! Kubernetes alone takes the next pod as soon as the last one is ready, which a server is before
//! its copies have caught up. So the StatefulSet's partition holds them back: pods below it keep
//! their revision, those from it on get the new one, from the highest down
//! (`pkg/controller/statefulset/stateful_set_control.go`).
//!
//! Broken pods of an old revision are let through: the new template may be what mends them. Where
//! one of a low ordinal is broken, Kubernetes takes the sound ones above it first, so JetStream can
//! be without a majority for as long as a pod takes to start; no message is lost by that.

mod broken;

use k8s_openapi::api::apps::v1::StatefulSet;
use kube::ResourceExt;
use nats_manager_api::naming;

pub use broken::broken;

use super::observe::ServerPod;

/// What is known of JetStream, as far as a roll depends on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sight {
    /// It is not to be waited for: it could never be looked at, or the user said so.
    Unguarded,
    /// It is whole.
    Whole,
    /// It is not, or cannot be looked at: why.
    Lacking(String),
}

/// How far a roll may go now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gate {
    /// Pods of this ordinal and above get the new template.
    pub partition: u32,
    /// A roll is not finished.
    pub underway: bool,
    /// What it waits for before the next pod.
    pub waiting: Option<String>,
}

/// Decides how far the roll of `wanted` may go, from what is there.
pub fn decide(live: Option<&StatefulSet>, wanted: &StatefulSet, pods: &[ServerPod], sight: &Sight) -> Gate {
    let Some(live) = live else { return Gate::default() };
    let size = replicas(wanted);
    if *sight == Sight::Unguarded {
        return Gate { underway: is_outdated(live, wanted, pods), ..Gate::default() };
    }
    if template_hash(live) != template_hash(wanted) {
        // The change itself restarts nobody. Pods that come with it are of the new kind.
        return Gate { partition: replicas(live).min(size), underway: true, waiting: None };
    }
    let partition = partition(live);
    let stay = Gate { partition, underway: partition > 0, waiting: None };
    let Some(revision) = current_revision(live) else { return stay };
    let outdated = || {
        pods.iter()
            .filter(|pod| pod.ordinal.is_some_and(|ordinal| ordinal < size))
            .filter(|pod| is_of_another(pod, revision))
    };
    let Some(next) = outdated().max_by_key(|pod| pod.ordinal) else {
        let is_complete = pods.len() >= size as usize;
        return if is_complete { Gate::default() } else { stay };
    };
    let obstacle = obstacle(size, pods, sight);
    let ordinal = next.ordinal.unwrap_or_default();
    // One that is on its way out has been let through.
    let is_taken = next.terminating.is_some() && partition <= ordinal;
    let gated = if obstacle.is_none() || is_taken { ordinal } else { ordinal + 1 };
    let broken = outdated().filter(|pod| pod.broken.is_some()).filter_map(|pod| pod.ordinal).min();
    Gate {
        partition: broken.map_or(gated, |broken| broken.min(gated)),
        underway: true,
        waiting: obstacle.map(|obstacle| format!("{} is restarted next: {obstacle}", next.name)),
    }
}

/// Why no sound pod may be taken away now.
fn obstacle(size: u32, pods: &[ServerPod], sight: &Sight) -> Option<String> {
    let servers: Vec<&ServerPod> =
        pods.iter().filter(|pod| pod.ordinal.is_some_and(|ordinal| ordinal < size)).collect();
    if let Some(broken) = servers.iter().find(|pod| pod.broken.is_some()) {
        return Some(format!("{} is broken: {}", broken.name, broken.broken.as_deref().unwrap_or_default()));
    }
    if let Some(leaving) = servers.iter().find(|pod| pod.terminating.is_some()) {
        return Some(format!("{} is stopping", leaving.name));
    }
    if servers.len() < size as usize {
        return Some(format!("{} of {size} pods are there", servers.len()));
    }
    if let Some(unready) = servers.iter().find(|pod| !pod.ready) {
        return Some(format!("{} is not ready", unready.name));
    }
    match sight {
        Sight::Lacking(lack) => Some(lack.clone()),
        Sight::Whole | Sight::Unguarded => None,
    }
}

/// The revision that the template has now, unless the counts are still those of another.
fn current_revision(live: &StatefulSet) -> Option<&str> {
    let status = live.status.as_ref()?;
    (status.observed_generation >= live.metadata.generation).then_some(status.update_revision.as_deref()?)
}

fn is_outdated(live: &StatefulSet, wanted: &StatefulSet, pods: &[ServerPod]) -> bool {
    let differs = template_hash(live) != template_hash(wanted);
    differs || current_revision(live).is_some_and(|revision| pods.iter().any(|pod| is_of_another(pod, revision)))
}

fn is_of_another(pod: &ServerPod, revision: &str) -> bool {
    pod.revision.as_deref().is_some_and(|own| own != revision)
}

fn template_hash(stateful_set: &StatefulSet) -> Option<&String> {
    stateful_set.annotations().get(naming::TEMPLATE_HASH)
}

fn replicas(stateful_set: &StatefulSet) -> u32 {
    let replicas = stateful_set.spec.as_ref().and_then(|spec| spec.replicas);
    replicas.and_then(|replicas| u32::try_from(replicas).ok()).unwrap_or(1)
}

fn partition(stateful_set: &StatefulSet) -> u32 {
    let strategy = stateful_set.spec.as_ref().and_then(|spec| spec.update_strategy.as_ref());
    let partition = strategy.and_then(|strategy| strategy.rolling_update.as_ref()?.partition);
    partition.and_then(|partition| u32::try_from(partition).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests;
