//! Causes for which volumes do not grow, which no watched object contains: rejected requests, and events.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::jiff::Timestamp;
use nats_manager_planner::actual::{ActualState, VolumeExpansion};

/// Causes by PVC.
#[derive(Debug, Default)]
pub(crate) struct ExpansionFailures {
    /// Messages of the apiserver about requests, by uid.
    rejected: BTreeMap<String, String>,
    /// Messages of events, by ordinal.
    reported: BTreeMap<u32, String>,
    /// Last time at which no volume was growing. Older events have another cause.
    quiet: Option<Timestamp>,
    listed_at: Option<Timestamp>,
}

/// Interval between two lists of events.
const LIST_INTERVAL: Duration = Duration::from_secs(10);
/// Maximum age of an event. A driver repeats a failed attempt after up to five minutes, and a new leader has not seen
/// the earlier ones.
const MAX_EVENT_AGE: Duration = Duration::from_mins(10);

impl ExpansionFailures {
    /// Adds the causes to the PVCs that do not report one themselves.
    pub(crate) fn complete(&self, actual: &mut ActualState) {
        for pvc in &mut actual.pvcs {
            let known = if pvc.is_growing() { self.reported.get(&pvc.ordinal) } else { self.rejected.get(&pvc.uid) };
            match &mut pvc.expansion {
                VolumeExpansion::Failed { cause } if cause.is_none() => *cause = known.cloned(),
                // A file system that cannot grow does not grow at the next mount either: the kubelet would refuse it.
                VolumeExpansion::Unreported
                | VolumeExpansion::InProgress
                | VolumeExpansion::FileSystemPending { .. }
                    if known.is_some() =>
                {
                    pvc.expansion = VolumeExpansion::Failed { cause: known.cloned() };
                }
                _ => {}
            }
        }
    }

    /// Records the result of requests for these PVCs.
    pub(crate) fn requested<'a>(
        &mut self,
        uids: impl Iterator<Item = &'a str>,
        rejected: impl Iterator<Item = (String, String)>,
    ) {
        uids.for_each(|uid| _ = self.rejected.remove(uid));
        self.rejected.extend(rejected);
    }

    /// Returns the time from which on events count, if they have to be listed now.
    pub(crate) fn due(&mut self, actual: &ActualState, now: Timestamp) -> Option<Timestamp> {
        let growing: Vec<u32> = actual.pvcs.iter().filter(|pvc| pvc.is_growing()).map(|pvc| pvc.ordinal).collect();
        self.reported.retain(|ordinal, _| growing.contains(ordinal));
        if growing.is_empty() {
            (self.quiet, self.listed_at) = (Some(now), None);
            return None;
        }
        let lasted = |from: Timestamp| Duration::try_from(now.duration_since(from)).unwrap_or_default();
        if self.listed_at.is_some_and(|at| lasted(at) < LIST_INTERVAL) {
            return None;
        }
        self.listed_at = Some(now);
        now.checked_sub(MAX_EVENT_AGE).ok().max(self.quiet)
    }

    /// Records the causes in events.
    pub(crate) fn report(&mut self, causes: BTreeMap<u32, String>) {
        self.reported.extend(causes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nats_manager_planner::{Time, actual::PvcState};

    fn actual(requested: u64, expansion: VolumeExpansion) -> ActualState {
        let pvc = PvcState { uid: "a".to_owned(), requested, capacity: Some(10), expansion, ..PvcState::default() };
        ActualState { pvcs: vec![pvc], ..ActualState::default() }
    }

    #[test]
    fn cause_of_a_pvc_is_its_own_else_the_event_or_the_rejection() {
        let failed = |cause: Option<&str>| VolumeExpansion::Failed { cause: cause.map(str::to_owned) };
        let mut failures = ExpansionFailures::default();
        failures.requested(["a"].into_iter(), [("a".to_owned(), "quota".to_owned())].into_iter());
        failures.report([(0, "event".to_owned())].into());
        for (requested, expansion, expected) in [
            (10, VolumeExpansion::Unreported, failed(Some("quota"))),
            (20, VolumeExpansion::Unreported, failed(Some("event"))),
            (20, VolumeExpansion::FileSystemPending { since: Time::default() }, failed(Some("event"))),
            (20, failed(None), failed(Some("event"))),
            (20, failed(Some("own")), failed(Some("own"))),
        ] {
            let mut actual = actual(requested, expansion.clone());
            failures.complete(&mut actual);
            assert_eq!(actual.pvcs[0].expansion, expected, "{requested} {expansion:?}");
        }
        failures.requested(["a"].into_iter(), std::iter::empty());
        let mut accepted = actual(10, VolumeExpansion::Unreported);
        failures.complete(&mut accepted);
        assert_eq!(accepted.pvcs[0].expansion, VolumeExpansion::Unreported);
    }

    #[test]
    fn events_are_listed_while_a_volume_is_too_small() {
        let at = |seconds: i64| Timestamp::from_second(10_000 + seconds).unwrap();
        let mut failures = ExpansionFailures::default();
        for (seconds, requested, since) in
            [(0, 20, Some(-600)), (5, 20, None), (10, 20, Some(-590)), (20, 10, None), (25, 20, Some(20))]
        {
            let due = failures.due(&actual(requested, VolumeExpansion::Unreported), at(seconds));
            assert_eq!(due, since.map(at), "{seconds}");
        }
    }
}
