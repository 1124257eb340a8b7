//! What one reconcile leaves for the next.
//!
//! In memory only: a new leader starts empty. Whatever must survive is in the StatefulSet's annotations or the status.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use nats_manager_planner::{
    actual::{PodState, ServerMode},
    health::MissingStreams,
    plan::{History, Plan, ServerRef},
};

use crate::controller::{
    observe::Observed,
    poll::{ConfigReloads, PollMemory, Polled},
    status::AppliedCounts,
};

/// What is known of the one cluster beside its caches.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// The last polls of the servers.
    pub(crate) polls: PollMemory,
    /// What earlier plans did.
    pub(crate) history: History,
    /// The last plan that was made of caches that agree.
    pub(crate) last_plan: Option<Plan>,
    /// Which servers have loaded the newest configuration.
    pub(crate) reloads: ConfigReloads,
    /// Servers that have to be told to reload.
    pub(crate) late_reloads: Vec<ServerRef>,
    /// Since when Pods are missing, and why.
    pub(crate) missing: MissingPods,
    /// Streams that are gone since a server restarted.
    pub(crate) missing_streams: MissingStreams,
    /// The most servers that were ready at a time.
    most_ready: Option<u32>,
}

impl Memory {
    /// Returns whether nothing is in progress, and nothing is wrong.
    pub(crate) fn is_at_rest(&self, observed: &Observed) -> bool {
        let is_idle = self.last_plan.as_ref().is_some_and(|plan| plan.operation.is_none() && plan.action.is_none());
        let servers = observed.actual.stateful_set.as_ref().map_or(0, |set| set.replicas);
        is_idle
            && self.polls.is_healthy()
            && u32::try_from(observed.actual.pods.len()) == Ok(servers)
            && observed.actual.pods.iter().all(PodState::is_serving)
    }

    /// Takes note of a plan that was carried out. Returns the newest one that was made of caches that agree.
    pub(crate) fn carried_out(&mut self, plan: Plan) -> Plan {
        if plan.is_settled || self.last_plan.is_none() {
            self.last_plan = Some(plan.clone());
        }
        // The status must not take it for the plan of a spec that was changed since.
        let is_settled = plan.is_settled;
        Plan { is_settled, ..self.last_plan.clone().unwrap_or(plan) }
    }

    /// Sets the servers that have to reload, with their identities in the last snapshot.
    pub(crate) fn set_late_reloads(&mut self, names: &[String], polled: &Polled) {
        let snapshot = polled.assessment().map(|assessment| assessment.snapshot.clone());
        let server = |name: &String| {
            let id = snapshot.as_ref()?.answer(name)?.id.clone();
            Some(ServerRef { name: name.clone(), id })
        };
        self.late_reloads = names.iter().filter_map(server).collect();
    }

    /// Returns the number of servers that a majority is of, where JetStream gives no answer: new ones do not count
    /// before they were ready, or a growing cluster would seem to have lost its quorum.
    pub(crate) fn count_servers(&mut self, applied: AppliedCounts) -> u32 {
        let before = self.most_ready.unwrap_or(applied.desired);
        let counted = before.max(applied.ready).min(applied.desired);
        self.most_ready = Some(counted);
        // A standalone server has to restart to become a member of a cluster.
        if ServerMode::of(counted) == ServerMode::Clustered { counted } else { applied.desired }
    }
}

/// Pods that the StatefulSet should have and that do not exist.
#[derive(Debug, Default)]
pub(crate) struct MissingPods {
    since: Option<Timestamp>,
    asked: Option<Timestamp>,
    /// When Pods were missing last: events from before have another cause.
    ended: Option<Timestamp>,
    /// The apiserver's sentence, once it is known.
    pub(crate) cause: Option<String>,
}

/// Pods that are replaced are missing for a moment.
const MISSING_FOR: Duration = Duration::from_secs(4);
/// The pause between two lists of events.
const ASK_EVERY: Duration = Duration::from_secs(10);
/// The StatefulSet controller repeats an event with growing pauses; after a new leader's start an older one counts.
const OLD_EVENTS: Duration = Duration::from_mins(20);

impl MissingPods {
    /// Returns whether Pods are missing.
    pub(crate) fn are_missing(&self) -> bool {
        self.since.is_some()
    }

    /// Takes note of whether Pods are missing. Returns since when an event counts, if events have to be listed now.
    pub(crate) fn note(&mut self, is_missing: bool, now: Timestamp) -> Option<Timestamp> {
        if !is_missing {
            let ended = self.since.map(|_| now).or(self.ended);
            *self = Self { ended, ..Self::default() };
            return None;
        }
        let since = *self.since.get_or_insert(now);
        let lasted = |from: Timestamp| Duration::try_from(now.duration_since(from)).unwrap_or_default();
        if lasted(since) < MISSING_FOR || self.asked.is_some_and(|asked| lasted(asked) < ASK_EVERY) {
            return None;
        }
        self.asked = Some(now);
        let slack = if lasted(since) > 2 * ASK_EVERY { OLD_EVENTS } else { MISSING_FOR };
        since.checked_sub(slack).ok().max(self.ended).or(Some(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_listed_while_pods_stay_missing() {
        let at = |seconds: i64| Timestamp::from_second(10_000 + seconds).unwrap();
        let mut missing = MissingPods::default();
        for (seconds, is_missing, since) in [
            (0, true, None),
            (3, true, None),
            (4, true, Some(-4)),
            (9, true, None),
            (14, true, Some(-4)),
            (25, true, Some(-1200)),
            (26, false, None),
            (27, true, None),
            (31, true, Some(26)),
            (52, true, Some(26)),
        ] {
            assert_eq!(missing.note(is_missing, at(seconds)), since.map(at), "{seconds}");
        }
    }
}
