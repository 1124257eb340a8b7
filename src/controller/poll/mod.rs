//! The poll stage: takes the addresses of the Pods, and returns the last assessment of the servers.
//!
//! Reconciles come in bursts, polls do not: a recent poll is reused. At rest that is less than one poll in ten seconds.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use nats_manager_jetstream::{MonitoringEndpoint, Poller};
use nats_manager_planner::{
    Time, actual::ActualState, health::Assessment, plan::Observation, snapshot::JetStreamSnapshot,
};

mod config_reload;

pub(super) use config_reload::ConfigReloads;

use crate::controller::{observe::Observed, resources::MONITOR_PORT};

/// Maximum age of a reused poll while nothing is in progress.
pub(super) const MAX_AGE_AT_REST: Duration = Duration::from_secs(12);
/// Maximum age of a reused poll while something is in progress.
pub(super) const MAX_AGE_BUSY: Duration = Duration::from_secs(1);
/// Time after which ready servers that never answered count as unobservable, for example because of a network policy.
const UNOBSERVABLE_AFTER: Duration = Duration::from_secs(90);

/// Poller of the servers' monitoring ports.
#[derive(Debug)]
pub(super) struct Polls {
    /// `None` outside the cluster, where Pods cannot be reached.
    poller: Option<Poller>,
}

/// Result of the last polls.
#[derive(Debug, Default)]
pub(super) struct PollMemory {
    last: Option<Arc<Assessment>>,
    /// True if a server has answered at least once.
    has_answered: bool,
    /// Start of the time in which servers are ready and none has ever answered.
    unreached_since: Option<Time>,
}

/// State of the servers as far as it is known. Owns the values that an [`Observation`] borrows.
#[derive(Clone, Debug)]
pub(super) enum Polled {
    Off,
    /// No ready server, and no answer ever.
    Starting,
    /// Ready servers, and no answer so far.
    Pending,
    /// Ready servers, and no answer for too long, with the cause.
    Unobservable(String),
    /// The newest assessment, after at least one answer.
    Seen(Arc<Assessment>),
}

impl Polled {
    /// Returns the observation that the planner takes.
    pub(super) fn observation(&self) -> Observation<'_> {
        match self {
            Self::Off => Observation::Off,
            Self::Starting => Observation::Starting,
            Self::Pending => Observation::Pending,
            Self::Unobservable(cause) => Observation::Unobservable { cause: cause.clone() },
            Self::Seen(assessment) => Observation::Seen(assessment),
        }
    }

    /// Returns the assessment, if servers ever answered.
    pub(super) fn assessment(&self) -> Option<&Arc<Assessment>> {
        match self {
            Self::Seen(assessment) => Some(assessment),
            Self::Off | Self::Starting | Self::Pending | Self::Unobservable(_) => None,
        }
    }
}

impl Polls {
    /// Creates the poller. `is_enabled` is false where Pods cannot be reached.
    pub(super) fn new(is_enabled: bool) -> Self {
        Self { poller: is_enabled.then(Poller::default) }
    }

    /// Returns whether the servers are polled at all.
    pub(super) fn is_enabled(&self) -> bool {
        self.poller.is_some()
    }

    /// Returns the state of the servers from a poll that is not older than `max_age`. `was_reached` is true if an
    /// earlier manager reached the servers.
    pub(super) async fn poll(
        &self,
        memory: &mut PollMemory,
        observed: &Observed,
        was_reached: bool,
        now: Time,
        max_age: Duration,
    ) -> Polled {
        let Some(poller) = &self.poller else { return Polled::Off };
        let targets = targets(observed);
        let is_fresh =
            |last: &&Arc<Assessment>| now.since(last.snapshot.taken_at) < max_age && covers(&last.snapshot, &targets);
        let assessment = if let Some(last) = memory.last.as_ref().filter(is_fresh) {
            last.clone()
        } else {
            let snapshot = Arc::new(poller.poll(&targets, now).await);
            Arc::new(Assessment::next(memory.last.as_deref(), snapshot, &observed.actual))
        };
        memory.last = Some(assessment.clone());
        memory.classify(assessment, &observed.actual, was_reached, now)
    }
}

impl PollMemory {
    /// Builds the memory after a poll that was answered.
    #[cfg(test)]
    pub(super) fn after(assessment: Assessment) -> Self {
        Self { last: Some(Arc::new(assessment)), has_answered: true, unreached_since: None }
    }

    /// Returns whether the last two polls contain no issue. True before the first poll, and without polling.
    pub(super) fn is_healthy(&self) -> bool {
        self.last.as_ref().is_none_or(|last| last.is_healthy())
    }

    /// Records the assessment and returns it, or the reason for which it proves nothing yet.
    fn classify(&mut self, assessment: Arc<Assessment>, actual: &ActualState, was_reached: bool, now: Time) -> Polled {
        self.has_answered |= was_reached || assessment.snapshot.answers().next().is_some();
        if self.has_answered {
            return Polled::Seen(assessment);
        }
        if !actual.pods.iter().any(nats_manager_planner::actual::PodState::is_serving) {
            self.unreached_since = None;
            return Polled::Starting;
        }
        if now.since(*self.unreached_since.get_or_insert(now)) < UNOBSERVABLE_AFTER {
            return Polled::Pending;
        }
        Polled::Unobservable(first_cause(&assessment.snapshot))
    }
}

/// Returns the monitoring endpoints of all Pods that have an IP address.
pub(super) fn targets(observed: &Observed) -> Vec<MonitoringEndpoint> {
    let pods = observed.actual.pods.iter();
    pods.filter_map(|pod| {
        let address = SocketAddr::new(*observed.addresses.get(&pod.name)?, MONITOR_PORT);
        Some(MonitoringEndpoint { name: pod.name.clone(), address, stopping: pod.terminating.is_some() })
    })
    .collect()
}

/// Returns whether the snapshot has an entry for each target and for no other server.
fn covers(snapshot: &JetStreamSnapshot, targets: &[MonitoringEndpoint]) -> bool {
    snapshot.servers.len() == targets.len() && targets.iter().all(|target| snapshot.servers.contains_key(&target.name))
}

fn first_cause(snapshot: &JetStreamSnapshot) -> String {
    let first = snapshot.servers.iter().find_map(|(name, answer)| Some((name, answer.as_ref().err()?)));
    first.map_or_else(|| "no server has an address".to_owned(), |(name, cause)| format!("{name}: {cause}"))
}

#[cfg(test)]
mod tests {
    use nats_manager_planner::{
        actual::PodState,
        testing::{at, snapshot, unreachable},
    };

    use super::*;

    #[test]
    fn ready_servers_that_never_answer_become_unobservable() {
        let snapshot = Arc::new(snapshot([unreachable()]));
        let assessment = Arc::new(Assessment::next(None, snapshot, &ActualState::default()));
        let mut memory = PollMemory::default();
        for (seconds, ready, expected) in [
            (0, false, "Starting"),
            (600, false, "Starting"),
            (601, true, "Pending"),
            (690, true, "Pending"),
            (691, true, r#"Unobservable("n-0: no route")"#),
            (692, false, "Starting"),
            (693, true, "Pending"),
        ] {
            let actual =
                ActualState { pods: vec![PodState { ready, ..PodState::default() }], ..ActualState::default() };
            let polled = memory.classify(assessment.clone(), &actual, false, at(seconds));
            assert_eq!(format!("{polled:?}"), expected, "{seconds}");
        }
        let polled = memory.classify(assessment, &ActualState::default(), true, Time::default());
        assert!(matches!(polled, Polled::Seen(_)), "an earlier manager reached them");
    }

    #[tokio::test]
    async fn disabled_polling_returns_off() {
        let polls = Polls::new(false);
        let mut memory = PollMemory::default();
        let polled = polls.poll(&mut memory, &Observed::default(), true, Time::default(), MAX_AGE_AT_REST).await;
        assert!(matches!(polled, Polled::Off));
    }
}
