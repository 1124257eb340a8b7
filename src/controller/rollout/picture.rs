//! The StatefulSet and its pods as one consistent picture.
//!
//! They come by two watches, each of which can be behind. Both must tell of the same pods, or
//! nothing is decided: the next event is not far.

use k8s_openapi::api::apps::v1::StatefulSet;
use kube::ResourceExt;
use nats_manager_api::rules::MAX_SIZE;

use crate::controller::observe::ServerPod;

/// The pods of a StatefulSet whose controller has seen its newest spec.
#[derive(Debug)]
pub(super) struct Picture<'a> {
    /// Pods of this ordinal and above are let through now.
    pub(super) partition: u32,
    /// The controller says that all pods are updated and were ready.
    pub(super) is_complete: bool,
    set: String,
    replicas: u32,
    slots: Vec<Slot<'a>>,
    leaving: Option<&'a ServerPod>,
}

/// The place of a pod.
#[derive(Clone, Copy, Debug)]
pub(super) enum Slot<'a> {
    /// Nobody is there.
    Missing,
    /// A pod of another revision than the newest.
    Outdated(&'a ServerPod),
    /// A pod of the newest revision.
    Updated(&'a ServerPod),
}

impl<'a> Picture<'a> {
    /// The picture, unless the two disagree, or the counts are those of an older spec. Nor is there one
    /// of more servers than there may be, which somebody else asked for: that is undone.
    pub(super) fn of(live: &StatefulSet, pods: &'a [ServerPod]) -> Option<Self> {
        let status = live.status.as_ref()?;
        let newest = status.update_revision.as_deref()?;
        let set = live.name_any();
        let places = usize::try_from(replicas(live)).ok().filter(|_| i64::from(replicas(live)) <= MAX_SIZE)?;
        let mut slots = vec![Slot::Missing; places];
        let (mut present, mut updated, mut ready, mut leaving) = (0, 0, 0, None);
        for pod in pods {
            let Some(ordinal) = pod.ordinal.filter(|ordinal| pod.name == format!("{set}-{ordinal}")) else { continue };
            let is_newest = pod.revision.as_deref() == Some(newest);
            present += 1;
            updated += i32::from(is_newest && pod.terminating.is_none());
            ready += i32::from(pod.ready);
            match usize::try_from(ordinal).ok().and_then(|ordinal| slots.get_mut(ordinal)) {
                Some(slot) => *slot = if is_newest { Slot::Updated(pod) } else { Slot::Outdated(pod) },
                None => leaving = Some(pod),
            }
        }
        let is_of_this_spec = status.observed_generation >= live.metadata.generation;
        let counts = [Some(status.replicas), status.updated_replicas, status.ready_replicas];
        let is_agreed = counts.map(Option::unwrap_or_default) == [present, updated, ready];
        (is_of_this_spec && is_agreed).then(|| Self {
            partition: partition(live).min(replicas(live)),
            is_complete: status.current_revision.as_deref().is_none_or(|current| current == newest),
            set,
            replicas: replicas(live),
            slots,
            leaving,
        })
    }

    /// The places, by ordinal.
    pub(super) fn slots(&self) -> impl DoubleEndedIterator<Item = (u32, Slot<'a>)> {
        (0..self.replicas).zip(self.slots.iter().copied())
    }

    /// The highest ordinal of an outdated pod: Kubernetes takes this one next.
    pub(super) fn last_outdated(&self) -> Option<u32> {
        self.slots().rev().find(|(_, slot)| matches!(slot, Slot::Outdated(_))).map(|(ordinal, _)| ordinal)
    }

    /// How many of its places are taken.
    pub(super) fn present(&self) -> usize {
        self.slots.iter().filter(|slot| !matches!(slot, Slot::Missing)).count()
    }

    /// A pod that is there no more in a moment, since there are to be fewer.
    pub(super) fn leaving(&self) -> Option<String> {
        self.leaving.map(|pod| format!("{} is leaving", pod.name))
    }

    pub(super) fn name(&self, ordinal: u32) -> String {
        format!("{}-{ordinal}", self.set)
    }
}

pub(super) fn replicas(stateful_set: &StatefulSet) -> u32 {
    let replicas = stateful_set.spec.as_ref().and_then(|spec| spec.replicas);
    replicas.and_then(|replicas| u32::try_from(replicas).ok()).unwrap_or(1)
}

/// The partition that it has. Where pods are updated by hand none is let through.
pub(super) fn partition(stateful_set: &StatefulSet) -> u32 {
    let strategy = stateful_set.spec.as_ref().and_then(|spec| spec.update_strategy.as_ref());
    if strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("OnDelete") {
        return replicas(stateful_set);
    }
    let partition = strategy.and_then(|strategy| strategy.rolling_update.as_ref()?.partition);
    partition.and_then(|partition| u32::try_from(partition).ok()).unwrap_or(0)
}
