//! What one reconcile leaves for the next.
//!
//! In memory only: a new leader starts empty. Whatever must survive is in the StatefulSet's annotations or the status.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use nats_manager_planner::{
    Time,
    plan::{History, Plan, ServerRef},
};

use super::{poll::PollMemory, reload::Reloads, status::StatusMemory};

/// What is known of the one cluster beside its caches.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// The last polls of the servers.
    pub(super) polls: PollMemory,
    /// What earlier plans did.
    pub(super) history: History,
    /// The last plan that was made of caches that agree.
    pub(super) last_plan: Option<Plan>,
    /// Which servers have loaded the newest configuration.
    pub(super) reloads: Reloads,
    /// Servers that have to be told to reload.
    pub(super) late_reloads: Vec<ServerRef>,
    /// Since when Pods are missing, and why.
    pub(super) missing: Missing,
    /// Since when the status would report what it does not report yet.
    pub(super) status: StatusMemory,
}

/// Pods that the StatefulSet should have and that do not exist.
#[derive(Debug, Default)]
pub(super) struct Missing {
    since: Option<Timestamp>,
    asked: Option<Timestamp>,
    /// The apiserver's sentence, once it is known.
    pub(super) cause: Option<String>,
}

/// Pods that are replaced are missing for a moment.
const MISSING_FOR: Duration = Duration::from_secs(4);
/// The pause between two lists of events.
const ASK_EVERY: Duration = Duration::from_secs(10);
/// The StatefulSet controller repeats an event with growing pauses; after a new leader's start an older one counts.
const OLD_EVENTS: Duration = Duration::from_mins(20);

impl Missing {
    /// Takes note of whether Pods are missing. Returns since when an event counts, if events have to be listed now.
    pub(super) fn note(&mut self, is_missing: bool, now: Timestamp) -> Option<Timestamp> {
        if !is_missing {
            *self = Self::default();
            return None;
        }
        let since = *self.since.get_or_insert(now);
        let lasted = |from: Timestamp| Duration::try_from(now.duration_since(from)).unwrap_or_default();
        if lasted(since) < MISSING_FOR || self.asked.is_some_and(|asked| lasted(asked) < ASK_EVERY) {
            return None;
        }
        self.asked = Some(now);
        let slack = if lasted(since) > 2 * ASK_EVERY { OLD_EVENTS } else { MISSING_FOR };
        since.checked_sub(slack).ok().or(Some(since))
    }
}

/// The present time, as the planner counts it.
pub(super) fn now() -> Time {
    Time::from_millis(Timestamp::now().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_listed_while_pods_stay_missing() {
        let at = |seconds| Timestamp::from_second(10_000 + seconds).unwrap();
        let mut missing = Missing::default();
        for (seconds, is_missing, since) in [
            (0, true, None),
            (3, true, None),
            (4, true, Some(-4)),
            (9, true, None),
            (14, true, Some(-4)),
            (25, true, Some(-1200)),
            (26, false, None),
            (27, true, None),
            (31, true, Some(23)),
        ] {
            assert_eq!(missing.note(is_missing, at(seconds)), since.map(at), "{seconds}");
        }
    }
}
