//! Consistent view of the StatefulSet and its Pods.
//!
//! StatefulSet and Pods come from two watches, each of which can lag. No decision is made unless both show the same
//! Pods. The next event follows soon.

use crate::actual::{ActualState, MAX_SERVERS, PodState, StatefulSetState};

/// The slots of a StatefulSet, by ordinal.
#[derive(Debug)]
pub(super) struct Slots<'a> {
    all: Vec<Slot<'a>>,
    /// A Pod beyond the replicas, which is about to be deleted.
    leaving: Option<&'a PodState>,
    /// The controller has made the update revision the current one.
    pub(super) is_complete: bool,
}

/// The slot of one Pod.
#[derive(Clone, Copy, Debug)]
pub(super) enum Slot<'a> {
    /// No Pod exists.
    Missing,
    /// A Pod of another revision than the update revision.
    Outdated(&'a PodState),
    /// A Pod of the update revision.
    Updated(&'a PodState),
}

impl<'a> Slots<'a> {
    /// Builds the view; `None` if StatefulSet and Pods disagree, if the counts are those of an older spec, or for more
    /// than [`MAX_SERVERS`] replicas.
    pub(super) fn of(set: &StatefulSetState, actual: &'a ActualState) -> Option<Self> {
        let newest = set.update_revision.as_deref()?;
        let count = usize::try_from(set.replicas).ok().filter(|_| set.replicas <= MAX_SERVERS)?;
        let mut slots = vec![Slot::Missing; count];
        let (mut present, mut updated, mut ready, mut leaving) = (0, 0, 0, None);
        for pod in &actual.pods {
            let Some(ordinal) = pod.ordinal else { continue };
            let is_newest = pod.revision.as_deref() == Some(newest);
            present += 1;
            updated += u32::from(is_newest && pod.terminating.is_none());
            ready += u32::from(pod.ready);
            match usize::try_from(ordinal).ok().and_then(|ordinal| slots.get_mut(ordinal)) {
                Some(slot) => *slot = if is_newest { Slot::Updated(pod) } else { Slot::Outdated(pod) },
                None => leaving = Some(pod),
            }
        }
        let counts = set.counts;
        let is_agreed = (counts.present, counts.updated, counts.ready) == (present, updated, ready);
        let is_complete = set.current_revision.as_deref().is_none_or(|current| current == newest);
        (set.is_observed && is_agreed).then_some(Self { all: slots, leaving, is_complete })
    }

    /// Iterates over the slots, by ordinal.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (u32, Slot<'a>)> {
        (0..).zip(self.all.iter().copied()).collect::<Vec<_>>().into_iter()
    }

    /// Returns the number of slots.
    pub(super) fn count(&self) -> usize {
        self.all.len()
    }

    /// Returns the highest ordinal of an outdated Pod; `None` if none is outdated.
    pub(super) fn last_outdated(&self) -> Option<u32> {
        self.iter().rev().find(|(_, slot)| matches!(slot, Slot::Outdated(_))).map(|(ordinal, _)| ordinal)
    }

    /// Returns the cause for which another server than this one does not serve, or is about to stop; `None` if all
    /// others stay. The StatefulSet controller restarts outdated Pods from the ordinal `partition` on.
    pub(super) fn obstacle_beside(&self, ordinal: u32, partition: u32, actual: &ActualState) -> Option<String> {
        let mut others = self.iter().filter(|(other, _)| *other != ordinal);
        let away = others.find_map(|(other, slot)| slot.obstacle(&actual.server(other)));
        away.or_else(|| self.leaving()).or_else(|| {
            let is_opened = |(other, slot): &(u32, Slot<'_>)| {
                *other != ordinal && *other >= partition && matches!(slot, Slot::Outdated(_))
            };
            let opened = self.iter().find(is_opened);
            opened.map(|(other, _)| format!("{} is about to restart", actual.server(other)))
        })
    }

    /// Returns the obstacle of a Pod beyond the replicas, which is about to be deleted; `None` if there is none.
    pub(super) fn leaving(&self) -> Option<String> {
        self.leaving.map(|pod| format!("{} is terminating", pod.name))
    }

    /// Returns whether there are slots, and none has a Pod.
    pub(super) fn have_no_pod(&self) -> bool {
        !self.all.is_empty() && self.all.iter().all(|slot| matches!(slot, Slot::Missing))
    }

    /// Counts the servers that serve.
    pub(super) fn serving(&self) -> usize {
        self.iter().filter(|(_, slot)| slot.is_serving()).count()
    }
}

impl<'a> Slot<'a> {
    /// Returns the Pod in the slot, if it exists.
    pub(super) fn pod(self) -> Option<&'a PodState> {
        match self {
            Self::Missing => None,
            Self::Outdated(pod) | Self::Updated(pod) => Some(pod),
        }
    }

    /// Returns whether the slot's server serves. In an outdated Pod another container may be broken, which the new
    /// template repairs.
    pub(super) fn is_serving(self) -> bool {
        match self {
            Self::Missing => false,
            Self::Outdated(pod) => pod.terminating.is_none() && (pod.ready || (pod.running && pod.broken.is_some())),
            Self::Updated(pod) => pod.is_serving(),
        }
    }

    /// Returns whether the Pod is terminating or missing.
    pub(super) fn is_away(self) -> bool {
        self.pod().is_none_or(|pod| pod.terminating.is_some())
    }

    /// Returns whether the Pod is outdated and cannot run as it is: replacing it stops no server.
    pub(super) fn is_unrunnable(self) -> bool {
        matches!(self, Self::Outdated(pod) if pod.terminating.is_none() && !pod.running && pod.broken.is_some())
    }

    /// Returns the cause for which `server` does not serve, with its name; `None` if it does.
    pub(super) fn obstacle(self, server: &str) -> Option<String> {
        let Some(pod) = self.pod() else { return Some(format!("{server} has no Pod")) };
        if pod.terminating.is_some() {
            Some(format!("{server} is terminating"))
        } else if self.is_serving() {
            None
        } else {
            Some(
                pod.broken
                    .as_ref()
                    .map_or_else(|| format!("{server} is not ready"), |cause| format!("{server} cannot run: {cause}")),
            )
        }
    }
}
