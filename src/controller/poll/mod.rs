//! When the servers are polled, and what was seen last.
//!
//! Reconciles come in bursts, polls do not: one that is young enough is used again. At rest that is less than one poll
//! in ten seconds.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use nats_manager_jetstream::{MonitoringEndpoint, Poller};
use nats_manager_planner::{
    Time, actual::ActualState, health::Assessment, plan::Observation, snapshot::JetStreamSnapshot,
};

mod config_reload;

pub(super) use config_reload::ConfigReloads;

use crate::controller::{observe::Observed, resources::MONITOR_PORT};

/// The age that a poll may have while nothing is in progress.
pub(super) const AT_REST: Duration = Duration::from_secs(12);
/// The age that it may have otherwise.
pub(super) const BUSY: Duration = Duration::from_secs(1);
/// How long servers may be ready and unreached until that is permanent (a network policy).
const UNOBSERVABLE_AFTER: Duration = Duration::from_secs(90);

/// Polls the servers' monitoring ports.
#[derive(Debug)]
pub(super) struct Polls {
    /// `None` where Pods cannot be reached: outside the cluster.
    poller: Option<Poller>,
}

/// What the last polls showed.
#[derive(Debug, Default)]
pub(super) struct PollMemory {
    /// The newest assessment.
    last: Option<Arc<Assessment>>,
    /// A server has answered at least once.
    reached: bool,
    /// Since when servers are ready and none has ever answered.
    unreached: Option<Time>,
}

/// What is known of the servers; owns what an [`Observation`] borrows.
#[derive(Clone, Debug)]
pub(super) enum Polled {
    /// Polling is off.
    Off,
    /// No server is ready, and none has ever answered.
    Starting,
    /// Servers are ready, and none has answered so far.
    Pending,
    /// None ever answered; the cause.
    Unobservable(String),
    /// Servers answered.
    Seen(Arc<Assessment>),
}

impl Polled {
    /// Returns it as the planner takes it.
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
    /// Builds the polls; `is_on` is false where Pods cannot be reached.
    pub(super) fn new(is_on: bool) -> Self {
        Self { poller: is_on.then(Poller::default) }
    }

    /// Returns whether the servers are polled at all.
    pub(super) fn is_on(&self) -> bool {
        self.poller.is_some()
    }

    /// Returns what is known, from a poll that is not older than `age`. `was_reached`: an earlier manager reached the
    /// servers.
    pub(super) async fn poll(
        &self,
        memory: &mut PollMemory,
        observed: &Observed,
        was_reached: bool,
        now: Time,
        age: Duration,
    ) -> Polled {
        let Some(poller) = &self.poller else { return Polled::Off };
        let targets = targets(observed);
        let is_young =
            |last: &&Arc<Assessment>| now.since(last.snapshot.taken_at) < age && is_of(&last.snapshot, &targets);
        let assessment = if let Some(last) = memory.last.as_ref().filter(is_young) {
            last.clone()
        } else {
            let snapshot = Arc::new(poller.poll(&targets, now).await);
            Arc::new(Assessment::next(memory.last.as_deref(), snapshot, &observed.actual))
        };
        memory.last = Some(assessment.clone());
        memory.known(assessment, &observed.actual, was_reached, now)
    }
}

impl PollMemory {
    /// Returns whether the last poll, and the one before, showed nothing wrong. True where nothing is polled.
    pub(super) fn is_healthy(&self) -> bool {
        self.last.as_ref().is_none_or(|last| last.is_healthy())
    }

    fn known(&mut self, assessment: Arc<Assessment>, actual: &ActualState, was_reached: bool, now: Time) -> Polled {
        self.reached |= was_reached || assessment.snapshot.answers().next().is_some();
        if self.reached {
            return Polled::Seen(assessment);
        }
        if !actual.pods.iter().any(nats_manager_planner::actual::PodState::is_serving) {
            self.unreached = None;
            return Polled::Starting;
        }
        if now.since(*self.unreached.get_or_insert(now)) < UNOBSERVABLE_AFTER {
            return Polled::Pending;
        }
        Polled::Unobservable(first_cause(&assessment.snapshot))
    }
}

/// Returns the monitoring ports of all Pods that have an address.
pub(super) fn targets(observed: &Observed) -> Vec<MonitoringEndpoint> {
    let pods = observed.actual.pods.iter();
    pods.filter_map(|pod| {
        let address = SocketAddr::new(*observed.addresses.get(&pod.name)?, MONITOR_PORT);
        Some(MonitoringEndpoint { name: pod.name.clone(), address, stopping: pod.terminating.is_some() })
    })
    .collect()
}

fn is_of(snapshot: &JetStreamSnapshot, targets: &[MonitoringEndpoint]) -> bool {
    snapshot.servers.len() == targets.len() && targets.iter().all(|target| snapshot.servers.contains_key(&target.name))
}

fn first_cause(snapshot: &JetStreamSnapshot) -> String {
    let first = snapshot.servers.iter().find_map(|(name, answer)| Some((name, answer.as_ref().err()?)));
    first.map_or_else(|| "no server has an address".to_owned(), |(name, cause)| format!("{name}: {cause}"))
}

#[cfg(test)]
mod tests {
    use nats_manager_planner::{actual::PodState, snapshot::Unreachable};

    use super::*;

    #[test]
    fn servers_that_never_answered_are_unobservable_after_a_while() {
        let unreachable = Err(Unreachable("no route".to_owned()));
        let snapshot = JetStreamSnapshot { servers: [("n-0".to_owned(), unreachable)].into(), ..Default::default() };
        let assessment = Arc::new(Assessment::next(None, Arc::new(snapshot), &ActualState::default()));
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
            let polled = memory.known(assessment.clone(), &actual, false, Time::from_millis(seconds * 1000));
            assert_eq!(format!("{polled:?}"), expected, "{seconds}");
        }
        let known = memory.known(assessment, &ActualState::default(), true, Time::default());
        assert!(matches!(known, Polled::Seen(_)), "an earlier manager reached them");
    }

    #[tokio::test]
    async fn polling_that_is_off_shows_nothing() {
        let polls = Polls::new(false);
        let mut memory = PollMemory::default();
        let polled = polls.poll(&mut memory, &Observed::default(), true, Time::default(), AT_REST).await;
        assert!(matches!(polled, Polled::Off));
    }
}
