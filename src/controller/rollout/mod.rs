//! Rolling updates one server at a time, each only when JetStream is whole again.
//!
//! Kubernetes alone takes the next pod as soon as the last one is ready, which a server is before
//! its copies have caught up. So the StatefulSet's partition holds them back: pods below it keep
//! their revision (one made anew gets the *current* one), those from it on get the new one, from
//! the highest down (`pkg/controller/statefulset/stateful_set_control.go`).
//!
//! Broken pods of an old revision are let through: the new template may be what mends them. Where
//! one of a low ordinal is broken, Kubernetes takes the sound ones above it first, so JetStream can
//! be without a majority for as long as a pod takes to start; no message is lost by that.

mod broken;
mod picture;
mod replace;

use k8s_openapi::api::apps::v1::StatefulSet;
use kube::ResourceExt;
use nats_manager_api::naming;

pub use broken::broken;
pub use replace::{delete, replace};

use super::{build, observe::ServerPod};
use picture::{Picture, Slot};

/// What is known of JetStream, as far as a roll depends on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sight {
    /// It is not to be waited for: it could never be looked at, or the user said so.
    Unguarded,
    /// Every server says that it holds nothing, and there is no majority: nobody can lose anything.
    /// So it is when a single server becomes a cluster: the new ones wait for it to join them.
    Empty,
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
    /// The version of the StatefulSet that another partition than its own was decided on: it is for
    /// that one only.
    pub decided_on: Option<String>,
    /// Broken pods to delete: they are let through, and Kubernetes may not get to them. It waits for
    /// the updated ones above to be ready, which they are with a majority of servers only.
    pub replace: Vec<String>,
}

/// Decides how far the roll of `wanted` may go, from what is there.
pub fn decide(live: Option<&StatefulSet>, wanted: &StatefulSet, pods: &[ServerPod], sight: &Sight) -> Gate {
    let Some(live) = live else { return Gate::default() };
    let differs = template_hash(live) != template_hash(wanted);
    let picture = Picture::of(live, pods);
    if *sight == Sight::Unguarded {
        let is_outdated = picture.as_ref().is_some_and(|picture| picture.last_outdated().is_some());
        let replace = picture.filter(|_| !differs).map(|picture| picture.victims(0));
        return Gate { underway: differs || is_outdated, replace: replace.unwrap_or_default(), ..Gate::default() };
    }
    if *sight == Sight::Empty {
        let through = picture.filter(|picture| !differs && picture.partition == 0);
        let replace = through.map(|picture| picture.outdated()).unwrap_or_default();
        return Gate { underway: true, replace, ..Gate::default() };
    }
    if differs {
        // The change itself restarts nobody. Pods that come with it are of the new kind.
        let partition = picture::replicas(live).min(picture::replicas(wanted));
        return Gate { partition, underway: true, ..Gate::default() };
    }
    let Some(picture) = picture else {
        let partition = picture::partition(live);
        return Gate { partition, underway: partition > 0, ..Gate::default() };
    };
    let gate = picture.gate(sight);
    let moves = gate.partition != picture::partition(live);
    Gate { decided_on: live.resource_version().filter(|_| moves), ..gate }
}

impl Gate {
    /// Has the StatefulSet that is to be applied go so far and no further. A cache that was behind
    /// makes that a conflict, and nothing worse.
    pub fn put_on(&self, wanted: &mut StatefulSet) {
        build::set_partition(wanted, self.partition);
        wanted.metadata.resource_version.clone_from(&self.decided_on);
    }
}

impl Picture<'_> {
    fn gate(&self, sight: &Sight) -> Gate {
        let Some(last) = self.last_outdated() else { return self.finish() };
        let (sound, waiting) =
            if self.partition <= last { (self.rein_in(last), self.absence()) } else { self.go_on(sight) };
        let partition = self.hopeless().next().map_or(sound, |(lowest, _)| lowest.min(sound));
        Gate { partition, underway: true, waiting, replace: self.victims(partition), ..Gate::default() }
    }

    /// Who is to be replaced, of those that were let through already, and still are.
    fn victims(&self, partition: u32) -> Vec<String> {
        let partition = self.partition.max(partition);
        let through = self.hopeless().filter(|(ordinal, _)| *ordinal >= partition);
        through.map(|(_, pod)| pod.name.clone()).collect()
    }

    /// All pods of an old revision that are not on their way out.
    fn outdated(&self) -> Vec<String> {
        let outdated = self.slots().filter_map(|(_, slot)| match slot {
            Slot::Outdated(pod) if pod.terminating.is_none() => Some(pod.name.clone()),
            _ => None,
        });
        outdated.collect()
    }

    /// Every pod that there is has the new revision. The others get it too, whatever the old one.
    fn finish(&self) -> Gate {
        let underway = !self.is_complete;
        Gate { underway, waiting: self.absence().filter(|_| underway), ..Gate::default() }
    }

    /// The last outdated pod is let through, maybe by somebody else, who let more through: no more of
    /// them than have to. What Kubernetes has deleted, or is about to, must not come back outdated.
    fn rein_in(&self, last: u32) -> u32 {
        let through = || self.slots().filter(|(ordinal, _)| *ordinal >= self.partition);
        let waits = through().any(|(_, slot)| matches!(slot, Slot::Updated(pod) if !is_serving(pod, false)));
        let target = if waits { last.saturating_add(1) } else { last };
        let in_flight = through().find(|(_, slot)| slot.is_away()).map(|(ordinal, _)| ordinal);
        in_flight.map_or(target, |in_flight| in_flight.min(target))
    }

    /// No outdated pod is let through: the next one, if nothing is in its way.
    fn go_on(&self, sight: &Sight) -> (u32, Option<String>) {
        let outdated = self.slots().rev().find(|(_, slot)| !matches!(slot, Slot::Updated(_)));
        let Some((next, slot)) = outdated.filter(|(next, _)| *next < self.partition) else {
            return (self.partition, self.absence());
        };
        match self.obstacle(next, slot, sight) {
            None => (next, None),
            Some(obstacle) => {
                let waiting = format!("{} is restarted next: {obstacle}", self.name(next));
                (next.saturating_add(1).min(self.partition), Some(waiting))
            }
        }
    }

    /// Why this one may not be taken away now. One that does not run takes nothing away, as long as
    /// all others serve.
    fn obstacle(&self, next: u32, slot: Slot<'_>, sight: &Sight) -> Option<String> {
        let is_missing = matches!(slot, Slot::Missing);
        let serving = self.slots().filter(|(_, slot)| slot.is_serving()).count();
        if is_missing && serving <= self.slots().count() / 2 {
            return None;
        }
        let away = self.slots().filter(|(ordinal, _)| *ordinal != next).find_map(|(_, slot)| self.lack(slot));
        let own = match slot {
            Slot::Outdated(pod) if pod.terminating.is_some() || pod.running => self.lack(slot),
            Slot::Outdated(pod) if pod.ready => None,
            _ => return away,
        };
        away.or(own).or_else(|| self.leaving()).or_else(|| match sight {
            Sight::Lacking(lack) => Some(lack.clone()),
            Sight::Whole | Sight::Empty | Sight::Unguarded => None,
        })
    }

    /// Whom everything waits for, if somebody is away.
    fn absence(&self) -> Option<String> {
        self.slots().find_map(|(_, slot)| self.lack(slot))
    }

    fn lack(&self, slot: Slot<'_>) -> Option<String> {
        let (Slot::Outdated(pod) | Slot::Updated(pod)) = slot else {
            return Some(format!("{} of {} pods are there", self.present(), self.slots().count()));
        };
        if pod.terminating.is_some() {
            return Some(format!("{} is stopping", pod.name));
        }
        if slot.is_serving() {
            return None;
        }
        Some(match &pod.broken {
            Some(cause) => format!("{} is broken: {cause}", pod.name),
            None => format!("{} is not ready", pod.name),
        })
    }

    /// Outdated pods that cannot run as they are, from the lowest up: replacing one takes nothing
    /// away. One that no node takes for another reason than its resources is not mended by another
    /// template, so sound ones are not restarted for it.
    fn hopeless(&self) -> impl Iterator<Item = (u32, &ServerPod)> {
        let sound = self.slots().rev().find(|(_, slot)| matches!(slot, Slot::Outdated(_)) && slot.is_serving());
        let last_sound = sound.map_or(0, |(ordinal, _)| ordinal);
        self.slots().filter_map(move |(ordinal, slot)| match slot {
            Slot::Outdated(pod) if pod.terminating.is_none() && !pod.running => {
                let cause = pod.broken.as_deref()?;
                let is_stranded = pod.node.is_none() && !cause.contains("Insufficient");
                (!is_stranded || ordinal > last_sound || sound.is_none()).then_some((ordinal, pod))
            }
            _ => None,
        })
    }
}

impl Slot<'_> {
    fn is_serving(self) -> bool {
        match self {
            Slot::Missing => false,
            Slot::Outdated(pod) => is_serving(pod, true),
            Slot::Updated(pod) => is_serving(pod, false),
        }
    }

    /// On its way out, or gone.
    fn is_away(self) -> bool {
        match self {
            Slot::Missing => true,
            Slot::Outdated(pod) | Slot::Updated(pod) => pod.terminating.is_some(),
        }
    }
}

/// Whether its NATS server does its work. Of an old revision another container may be broken, which
/// the new one mends.
fn is_serving(pod: &ServerPod, may_limp: bool) -> bool {
    pod.terminating.is_none() && (pod.ready || (may_limp && pod.running && pod.broken.is_some()))
}

fn template_hash(stateful_set: &StatefulSet) -> Option<&String> {
    stateful_set.annotations().get(naming::TEMPLATE_HASH)
}

#[cfg(test)]
mod simulator;
#[cfg(test)]
mod tests;
