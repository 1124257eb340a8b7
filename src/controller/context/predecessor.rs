//! The predecessor: the manager that this one replaces.
//!
//! The Go manager takes no lease and forces its writes under the same field manager. A takeover happens in place (same
//! Deployment, same ServiceAccount), so for a moment its Pod still runs. Nothing is written until that Pod has ended,
//! except for a report in the status after [`REPORT_AFTER`].

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use k8s_openapi::{
    api::core::v1::{Pod, PodStatus},
    jiff::{SignedDuration, Timestamp},
};
use kube::ResourceExt;

use crate::telemetry::Metrics;

/// Time after which the status reports a Pod that still runs. A takeover takes less.
const REPORT_AFTER: Duration = Duration::from_secs(30);
/// Minimum interval between two reports. The predecessor writes the status as well, so that each report can cause
/// another write of it.
const REPORT_INTERVAL: Duration = Duration::from_mins(1);
/// Interval between checks while a Pod runs, for the loss of its node, which no watch reports.
const CHECK_INTERVAL: Duration = Duration::from_secs(10);
/// Time between the end of the grace period of a terminating Pod and the conclusion that its node is unreachable. The
/// kubelet kills the containers at the end of the grace period.
const UNREACHABLE_AFTER: SignedDuration = SignedDuration::from_secs(30);

/// Returns the name of a Pod of the predecessor that may write now.
pub(crate) fn running<'a>(pods: impl IntoIterator<Item = &'a Pod>, now: Timestamp) -> Option<String> {
    pods.into_iter().filter(|pod| may_write(pod, now)).map(ResourceExt::name_any).min()
}

/// Returns whether a container of the Pod runs, on a node that is reachable as far as the Pod shows it.
fn may_write(pod: &Pod, now: Timestamp) -> bool {
    let Some(status) = &pod.status else { return false };
    let has_ended = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
    let is_running = status.container_statuses.iter().flatten().any(|container| {
        let state = container.state.as_ref();
        state.is_some_and(|state| state.running.is_some())
    });
    is_running && !has_ended && !is_lost(pod, status, now)
}

/// Returns whether the Pod is terminating on an unreachable node: the kubelet has not ended it in time, and the control
/// plane has marked it as not ready. Its last status is out of date then, and a manager without a connection to the
/// apiserver writes nothing.
fn is_lost(pod: &Pod, status: &PodStatus, now: Timestamp) -> bool {
    // The apiserver adds the grace period to this time.
    let Some(end) = &pod.metadata.deletion_timestamp else { return false };
    let is_ready = status.conditions.iter().flatten().any(|known| known.type_ == "Ready" && known.status == "True");
    status.reason.as_deref() == Some("NodeLost") || (!is_ready && now.duration_since(end.0) >= UNREACHABLE_AFTER)
}

/// Record of the predecessor that reconciles wait for, with its log messages and its metric.
#[derive(Debug)]
pub(crate) struct Predecessors {
    metrics: Metrics,
    wait: Mutex<Option<Wait>>,
}

/// Predecessor that runs, with the times of the wait for its end.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wait {
    pod: String,
    since: Instant,
    reported: Option<Instant>,
}

impl Predecessors {
    pub(crate) fn new(metrics: Metrics) -> Self {
        Self { metrics, wait: Mutex::default() }
    }

    /// Records the Pod of the predecessor, or that none runs. Logs each change once, not at each reconcile. Returns the
    /// delay until the next check if a Pod runs.
    pub(crate) fn record(&self, running: Option<&str>, now: Instant) -> Option<Duration> {
        self.metrics.set_predecessor_running(running.is_some());
        let mut wait = self.wait.lock().unwrap_or_else(PoisonError::into_inner);
        let before = wait.take();
        let Some(pod) = running else {
            if before.is_some() {
                tracing::info!("resumed: the other NATS manager is gone");
            }
            return None;
        };
        if before.as_ref().is_none_or(|before| before.pod != pod) {
            tracing::warn!(pod, "another NATS manager still runs; no writes until it is gone");
        }
        let (since, reported) = before.map_or((now, None), |before| (before.since, before.reported));
        *wait = Some(Wait { pod: pod.to_owned(), since, reported });
        let until_report = REPORT_AFTER.saturating_sub(now.duration_since(since));
        Some(if until_report.is_zero() { CHECK_INTERVAL } else { until_report.min(CHECK_INTERVAL) })
    }

    /// Returns whether to report the wait in the status now. The report counts as sent.
    pub(crate) fn take_report(&self, now: Instant) -> bool {
        let mut wait = self.wait.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(wait) = wait.as_mut() else { return false };
        let has_lasted = now.duration_since(wait.since) >= REPORT_AFTER;
        let is_due = has_lasted && wait.reported.is_none_or(|last| now.duration_since(last) >= REPORT_INTERVAL);
        if is_due {
            wait.reported = Some(now);
        }
        is_due
    }

    /// Clears the metric, since no resource waits any more.
    pub(crate) fn clear(&self) {
        self.metrics.set_predecessor_running(false);
    }
}

#[cfg(test)]
mod tests;
