//! Model of the StatefulSet controller under `Parallel` (`pkg/controller/statefulset/stateful_set_control.go`).

use super::{
    Kubernetes, VolumeChange,
    objects::{Actor, ConfigMap, Pod, Pvc, Rules, StatefulSet, Template},
};
use crate::servers::{SERVERS, ServerId};

/// A Pod that the controller deletes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deletion {
    /// Ordinal of the Pod.
    pub ordinal: ServerId,
    /// Actor that caused the deletion.
    pub by: Actor,
    /// The Pod is beyond the replicas and is not created again.
    pub is_condemned: bool,
}

/// Synchronises the StatefulSet once. Returns the Pods that it deleted.
pub fn sync(kubernetes: &mut Kubernetes, now: u64) -> Vec<Deletion> {
    let Some(mut set) = kubernetes.set else { return Vec::new() };
    let before = set.status;
    if set.status.observed == 0 {
        set.status.current = set.template;
    }
    set.status.update = set.template;
    set.status.observed = set.generation;
    count(kubernetes, &mut set);
    create_missing(kubernetes, &set, now);
    let mut deletions = condemned(kubernetes, &set);
    if !set.on_delete {
        deletions.extend(outdated(kubernetes, &set));
        complete(&mut set);
    }
    if set.status != before {
        set.version = kubernetes.count();
    }
    kubernetes.set = Some(set);
    for deletion in &deletions {
        kubernetes.terminate(deletion.ordinal, now);
    }
    deletions
}

fn count(kubernetes: &Kubernetes, set: &mut StatefulSet) {
    (set.status.present, set.status.updated, set.status.ready) = (0, 0, 0);
    for pod in kubernetes.pods.iter().flatten() {
        set.status.present += 1;
        set.status.updated += u32::from(pod.template == set.template && pod.terminating.is_none());
        set.status.ready += u32::from(pod.ready);
    }
}

/// Creates missing Pods and PVCs. Pods below the partition get the current revision.
fn create_missing(kubernetes: &mut Kubernetes, set: &StatefulSet, now: u64) {
    for ordinal in ordinals(0, set.replicas) {
        if kubernetes.pods[ordinal].is_some() || kubernetes.quota_until > now {
            continue;
        }
        match kubernetes.pvcs[ordinal] {
            // "pvc ... is being deleted": the Pod is not created.
            Some(pvc) if pvc.terminating => continue,
            Some(_) => {}
            None => {
                let uid = kubernetes.count();
                kubernetes.pvcs[ordinal] = Some(Pvc::new(uid, set.volume));
                kubernetes.pvcs_version += 1;
                kubernetes.volumes.push(VolumeChange::Created(ordinal, set.volume));
            }
        }
        let is_below = u32::try_from(ordinal).is_ok_and(|ordinal| ordinal < set.partition) && !set.on_delete;
        let template = if is_below { set.status.current } else { set.status.update };
        let uid = kubernetes.count();
        kubernetes.pods[ordinal] = Some(new_pod(uid, ordinal, template, kubernetes.config, now));
        kubernetes.pods_version += 1;
    }
}

fn new_pod(uid: u64, ordinal: ServerId, template: Template, config: Option<ConfigMap>, now: u64) -> Pod {
    Pod {
        uid,
        ordinal,
        template,
        created: now,
        terminating: None,
        exposure: None,
        started: false,
        running: false,
        ready: false,
        ready_changed: now,
        broken: None,
        stranded: false,
        start_at: now + 2,
        crashes: 0,
        mounted: config,
        mount_at: None,
    }
}

fn condemned(kubernetes: &Kubernetes, set: &StatefulSet) -> Vec<Deletion> {
    let first = usize::try_from(set.replicas).unwrap_or(SERVERS);
    let pods = kubernetes.pods.iter().flatten();
    let leaving = pods.filter(|pod| pod.ordinal >= first && pod.terminating.is_none());
    leaving.map(|pod| deletion(pod, true)).collect()
}

/// Returns the outdated Pods to delete: under both rule sets Pods at or above the partition, from the highest ordinal
/// down.
fn outdated(kubernetes: &Kubernetes, set: &StatefulSet) -> Vec<Deletion> {
    let mut deletions = Vec::new();
    let is_outdated = |pod: &Pod| pod.template != set.status.update && pod.terminating.is_none();
    match set_rules(kubernetes) {
        Rules::V1_34 => {
            for ordinal in ordinals(set.partition, set.replicas).rev() {
                match &kubernetes.pods[ordinal] {
                    Some(pod) if is_outdated(pod) => {
                        deletions.push(deletion(pod, false));
                        break;
                    }
                    Some(pod) if is_available(pod) => {}
                    _ => break,
                }
            }
        }
        Rules::V1_37 => {
            let available = |ordinal: &ServerId| kubernetes.pods[*ordinal].as_ref().is_some_and(is_available);
            let unavailable = ordinals(0, set.replicas).filter(|ordinal| !available(ordinal)).count();
            let pods = || ordinals(set.partition, set.replicas).rev().filter_map(|at| kubernetes.pods[at].as_ref());
            deletions
                .extend(pods().filter(|pod| is_outdated(pod) && !is_available(pod)).map(|pod| deletion(pod, false)));
            let serving = pods().filter(|pod| is_outdated(pod) && is_available(pod));
            deletions.extend(serving.take(usize::from(unavailable == 0)).map(|pod| deletion(pod, false)));
        }
    }
    deletions
}

fn set_rules(kubernetes: &Kubernetes) -> Rules {
    kubernetes.rules
}

fn is_available(pod: &Pod) -> bool {
    pod.ready && pod.terminating.is_none()
}

fn deletion(pod: &Pod, is_condemned: bool) -> Deletion {
    Deletion { ordinal: pod.ordinal, by: pod.exposure.map_or(Actor::Other, |exposure| exposure.by), is_condemned }
}

fn complete(set: &mut StatefulSet) {
    let status = &mut set.status;
    if [status.updated, status.ready, status.present] == [set.replicas; 3] {
        status.current = status.update;
    }
}

fn ordinals(from: u32, to: u32) -> std::ops::Range<ServerId> {
    let bound = |ordinal| usize::try_from(ordinal).unwrap_or(SERVERS).min(SERVERS);
    bound(from)..bound(to)
}

#[cfg(test)]
mod tests;
