//! State that one reconcile leaves for the next.
//!
//! It exists in memory only, so a new leader starts without it. State that must survive is in the annotations of the
//! StatefulSet or in the status.

use std::{collections::BTreeSet, time::Duration};

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use nats_manager_api::{Nats, NetworkPolicyMode, Reason, rules};
use nats_manager_planner::{
    actual::{PodState, ServerMode},
    health::MissingStreams,
    plan::{History, Plan, ServerRef},
};

use super::expansion_failures::ExpansionFailures;
use crate::controller::{
    apply::WriteMemory,
    observe::Observed,
    poll::{ConfigReloads, PollMemory, Polled},
    resources::SystemAccount,
    status::{Announcement, AppliedCounts},
};

/// State of the one deployed cluster beside the watch caches.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// Uid of the resource that the state belongs to.
    resource_uid: Option<String>,
    pub(crate) polls: PollMemory,
    /// Actions of earlier plans.
    pub(crate) history: History,
    /// The newest plan that was made from watch caches that agree.
    pub(crate) last_plan: Option<Plan>,
    /// Progress of the servers with the newest configuration.
    pub(crate) reloads: ConfigReloads,
    /// Servers whose reload is to be requested.
    pub(crate) late_reloads: Vec<ServerRef>,
    /// Missing Pods, with the time and the cause.
    pub(crate) missing: MissingPods,
    /// Causes for which volumes do not grow.
    pub(crate) expansion_failures: ExpansionFailures,
    /// Streams that are missing since a server restarted.
    pub(crate) missing_streams: MissingStreams,
    /// Outcomes of earlier writes of the children.
    pub(crate) writes: WriteMemory,
    /// Events that are published with the next status.
    pub(crate) notices: Vec<Announcement>,
    /// Field managers that were reported because they changed the replicas.
    scalers: BTreeSet<String>,
    /// Reports about annotations whose value has no effect.
    ineffective_annotations: BTreeSet<String>,
    /// The highest number of servers that were ready at the same time, limited by the desired number.
    most_ready: Option<u32>,
}

impl Memory {
    /// Clears what belongs to another resource, which had the same name: its finalizer may have been removed by hand.
    pub(crate) fn reset_for(&mut self, nats: &Nats) {
        if self.resource_uid != nats.uid() {
            *self = Self { resource_uid: nats.uid(), ..Self::default() };
        }
    }

    /// Returns whether no change is in progress, JetStream is healthy, and every Pod exists and is serving.
    pub(crate) fn is_at_rest(&self, observed: &Observed) -> bool {
        let is_idle = self.last_plan.as_ref().is_some_and(|plan| plan.operation.is_none() && plan.action.is_none());
        let servers = observed.actual.stateful_set.as_ref().map_or(0, |set| set.replicas);
        is_idle
            && self.polls.is_healthy()
            && u32::try_from(observed.actual.pods.len()) == Ok(servers)
            && observed.actual.pods.iter().all(PodState::is_serving)
    }

    /// Returns the system account in the Secret, or in the one that was deleted to be created again. `None` if there is
    /// no account yet.
    pub(crate) fn account(&self, observed: &Observed) -> Option<SystemAccount> {
        let live = observed.live.secret.as_deref().and_then(SystemAccount::from_secret);
        live.or_else(|| SystemAccount::from_secret(&self.writes.deleted_secret()?))
    }

    /// Records the field manager that changed the replicas of a StatefulSet, which is reported once.
    pub(crate) fn record_scaler(&mut self, stateful_set: &str, scaler: String) {
        if self.scalers.contains(&scaler) {
            return;
        }
        let message = format!(
            "StatefulSet {stateful_set}: the field manager {scaler} changes the replicas, and NATS Manager restores \
             them. Stop that client, and set spec.cluster.size instead"
        );
        self.notices.push(Announcement { is_warning: true, reason: Reason::ReplicasChanged, message });
        self.scalers.insert(scaler);
    }

    /// Returns reports about annotations whose value has no effect, each once. Admission does not review changes of
    /// annotations only.
    pub(crate) fn ineffective_annotations(&mut self, nats: &Nats) -> Vec<Announcement> {
        let mut warnings = rules::ineffective_flags(nats.annotations());
        warnings.extend(NetworkPolicyMode::warning(Some(nats.annotations())));
        let messages = warnings.iter().map(ToString::to_string);
        let new = messages.filter(|message| self.ineffective_annotations.insert(message.clone()));
        new.map(|message| Announcement { is_warning: true, reason: Reason::InvalidAnnotation, message }).collect()
    }

    /// Records a plan that was carried out. Returns the newest plan that was made from watch caches that agree.
    pub(crate) fn record_plan(&mut self, plan: Plan) -> Plan {
        if plan.is_consistent || self.last_plan.is_none() {
            self.last_plan = Some(plan.clone());
        }
        // The status must not attribute the previous plan to a spec that has changed since.
        let is_consistent = plan.is_consistent;
        Plan { is_consistent, ..self.last_plan.clone().unwrap_or(plan) }
    }

    /// Records the streams that are missing since a server restarted.
    pub(crate) fn record_missing_streams(&mut self, observed: &Observed, polled: &Polled) {
        if let Some(assessment) = polled.assessment() {
            let expected = observed.actual.expected_servers();
            self.missing_streams = self.missing_streams.next(&assessment.snapshot, &expected);
        }
    }

    /// Sets the servers that have to reload, with their ids in the last snapshot. Servers without an answer are left
    /// out.
    pub(crate) fn set_late_reloads(&mut self, names: &[String], polled: &Polled) {
        let snapshot = polled.assessment().map(|assessment| assessment.snapshot.clone());
        let server = |name: &String| {
            let id = snapshot.as_ref()?.answer(name)?.id.clone();
            Some(ServerRef { name: name.clone(), id })
        };
        self.late_reloads = names.iter().filter_map(server).collect();
    }

    /// Returns the number of servers that the majority is computed from, where JetStream does not answer. New servers
    /// count once they were ready: otherwise a cluster that scales up would appear to have lost its quorum.
    pub(crate) fn count_servers(&mut self, applied: AppliedCounts) -> u32 {
        let before = self.most_ready.unwrap_or(applied.desired);
        let counted = before.max(applied.ready).min(applied.desired);
        self.most_ready = Some(counted);
        // A standalone server has to restart to become a member of a cluster.
        if ServerMode::of(counted) == ServerMode::Clustered { counted } else { applied.desired }
    }
}

/// Pods of the StatefulSet that do not exist.
#[derive(Debug, Default)]
pub(crate) struct MissingPods {
    since: Option<Timestamp>,
    listed_at: Option<Timestamp>,
    /// End of the last time in which Pods were missing. Older events have another cause.
    ended: Option<Timestamp>,
    /// The apiserver's message, once it is known.
    pub(crate) cause: Option<String>,
}

/// Time after which missing Pods are reported. Pods that are replaced are missing for a moment.
const MISSING_FOR: Duration = Duration::from_secs(4);
/// Interval between two lists of events.
const LIST_INTERVAL: Duration = Duration::from_secs(10);
/// Maximum age of an event. The StatefulSet controller repeats an event at growing intervals, so that a new leader has
/// to accept older ones.
const MAX_EVENT_AGE: Duration = Duration::from_mins(20);

impl MissingPods {
    /// Returns whether Pods are missing.
    pub(crate) fn has_missing(&self) -> bool {
        self.since.is_some()
    }

    /// Records whether Pods are missing. If events have to be listed now, returns the time from which on they count.
    pub(crate) fn record(&mut self, is_missing: bool, now: Timestamp) -> Option<Timestamp> {
        if !is_missing {
            let ended = self.since.map(|_| now).or(self.ended);
            *self = Self { ended, ..Self::default() };
            return None;
        }
        let since = *self.since.get_or_insert(now);
        let lasted = |from: Timestamp| Duration::try_from(now.duration_since(from)).unwrap_or_default();
        if lasted(since) < MISSING_FOR || self.listed_at.is_some_and(|at| lasted(at) < LIST_INTERVAL) {
            return None;
        }
        self.listed_at = Some(now);
        let event_age = if lasted(since) > 2 * LIST_INTERVAL { MAX_EVENT_AGE } else { MISSING_FOR };
        since.checked_sub(event_age).ok().max(self.ended).or(Some(since))
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
            assert_eq!(missing.record(is_missing, at(seconds)), since.map(at), "{seconds}");
        }
    }
}
