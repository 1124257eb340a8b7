//! A replica's view of the Lease, and its next step: values in, values out.
//!
//! The rules are those of client-go's `leaderelection`. Clocks of replicas are never compared: a Lease expires when this
//! replica has seen no change of it for its duration, measured from the moment at which it first saw the record.

use std::time::Duration;

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
    jiff::Timestamp,
};
use tokio::time::Instant;

use crate::watch::is_older;

/// Time without a renewal after which other replicas take the Lease.
pub(super) const DURATION: Duration = Duration::from_secs(20);
/// Time after a renewal at which the leader stops, if no other succeeded. The rest of [`DURATION`] is for its work to end.
pub(super) const VALIDITY: Duration = Duration::from_secs(17);
/// Interval of renewals.
const RENEW_EVERY: Duration = Duration::from_secs(6);
/// Limit of the duration that another holder may ask for.
const MAX_DURATION: Duration = Duration::from_mins(1);
/// Duration in a Lease that its holder released, as client-go writes it: the apiserver rejects 0.
const RELEASED: Duration = Duration::from_secs(1);

/// A replica that competes for the Lease.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    identity: String,
    view: View,
    /// The known version has been overwritten, or its fate is unknown.
    needs_read: bool,
    /// Send time of the last write whose answer names this replica as the holder.
    renewed: Option<Instant>,
}

/// The Lease, as this replica saw it last.
#[derive(Clone, Debug)]
enum View {
    Unread,
    Missing,
    Seen {
        lease: Box<Lease>,
        /// First time at which this replica saw the record.
        since: Instant,
        /// The Lease was created again. A leader of the deleted one may not have found out yet.
        is_recreated: bool,
    },
}

/// The next step of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Read the Lease.
    Read,
    /// Write the record that [`Candidate::claim`] returns.
    Write,
    /// Nothing before this time, unless the Lease changes.
    Wait(Instant),
    /// Nothing until the Lease is restored.
    Missing,
}

/// The end of leadership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// The Lease has another holder, or none.
    Taken,
    /// The Lease was deleted.
    Deleted,
    /// The Lease was not renewed in time. Another replica may take it.
    NotRenewed,
}

impl Candidate {
    /// Returns a candidate that has not read the Lease. `identity` must be unique among all processes.
    pub(super) fn new(identity: String) -> Self {
        Self { identity, view: View::Unread, needs_read: false, renewed: None }
    }

    /// Returns the name that the Lease's holder has if it is this replica.
    pub(super) fn identity(&self) -> &str {
        &self.identity
    }

    /// Records the Lease as it was read, or that it does not exist. An older version than the known one is ignored: watch
    /// events can arrive after the answer to a write.
    pub(super) fn observe(&mut self, lease: Option<Lease>, now: Instant) {
        let Some(lease) = lease else {
            self.view = View::Missing;
            return;
        };
        let (since, is_recreated) = match &self.view {
            View::Seen { lease: known, .. } if is_older(&lease, known) => return,
            View::Seen { lease: known, .. } if known.metadata.uid != lease.metadata.uid => (now, true),
            View::Seen { lease: known, since, is_recreated } if known.spec == lease.spec => (*since, *is_recreated),
            View::Missing => (now, true),
            View::Seen { .. } | View::Unread => (now, false),
        };
        self.view = View::Seen { lease: Box::new(lease), since, is_recreated };
    }

    /// Records the Lease as it was read by a request, or that it does not exist.
    pub(super) fn read(&mut self, lease: Option<Lease>, now: Instant) {
        self.needs_read = false;
        self.observe(lease, now);
    }

    /// Forces a read before the next write: the known version has been overwritten. The time at which its record was
    /// seen first stays.
    pub(super) fn outdate(&mut self) {
        self.needs_read = true;
    }

    /// Records the answer to a write that was sent at `sent`. It is a renewal only if it names this replica.
    pub(super) fn answered(&mut self, lease: Lease, sent: Instant, now: Instant) {
        let is_ours = holder(&lease) == Some(self.identity.as_str());
        self.observe(Some(lease), now);
        if is_ours {
            self.renewed = Some(sent);
        }
    }

    /// Returns the next step.
    pub(super) fn next(&self, now: Instant) -> Step {
        let (lease, since, is_recreated) = match &self.view {
            _ if self.needs_read => return Step::Read,
            View::Unread => return Step::Read,
            View::Missing => return Step::Missing,
            View::Seen { lease, since, is_recreated } => (lease, *since, *is_recreated),
        };
        let due = match (holder(lease), self.renewed) {
            (Some(holder), Some(renewed)) if holder == self.identity => renewed + RENEW_EVERY,
            // An answer that names this replica was lost.
            (Some(holder), None) if holder == self.identity => now,
            (Some(_), _) => since + duration(lease).min(MAX_DURATION),
            (None, _) if is_recreated => since + DURATION,
            (None, _) => now,
        };
        if due <= now { Step::Write } else { Step::Wait(due) }
    }

    /// Returns whether this replica leads.
    pub(super) fn leads(&self, now: Instant) -> bool {
        self.renewed.is_some() && self.lost(now).is_none()
    }

    /// Returns the end of leadership, if this replica has led and does not any more.
    pub(super) fn lost(&self, now: Instant) -> Option<Lost> {
        let renewed = self.renewed?;
        match &self.view {
            View::Missing => Some(Lost::Deleted),
            View::Seen { lease, .. } if holder(lease) != Some(self.identity.as_str()) => Some(Lost::Taken),
            View::Seen { .. } | View::Unread => (now >= renewed + VALIDITY).then_some(Lost::NotRenewed),
        }
    }

    /// Returns the time at which leadership ends without another renewal.
    pub(super) fn expires(&self) -> Option<Instant> {
        self.renewed.map(|renewed| renewed + VALIDITY)
    }

    /// Ends leadership. The candidate competes again.
    pub(super) fn resign(&mut self) {
        self.renewed = None;
    }

    /// Returns the Lease with this replica as its holder, for a replacement of the version that was read. `None` before
    /// the first read. `wall` is for readers only.
    pub(super) fn claim(&self, wall: Timestamp) -> Option<Lease> {
        let View::Seen { lease, .. } = &self.view else { return None };
        let spec = lease.spec.clone().unwrap_or_default();
        let is_renewal = holder(lease) == Some(self.identity.as_str());
        let transitions = spec.lease_transitions.unwrap_or_default();
        let spec = LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: seconds(DURATION),
            acquire_time: spec.acquire_time.filter(|_| is_renewal).or(Some(MicroTime(wall))),
            renew_time: Some(MicroTime(wall)),
            lease_transitions: Some(if is_renewal { transitions } else { transitions.saturating_add(1) }),
            ..spec
        };
        Some(Lease { metadata: lease.metadata.clone(), spec: Some(spec) })
    }

    /// Returns the Lease without a holder, if this replica is the holder of the version that was read.
    pub(super) fn release(&self, wall: Timestamp) -> Option<Lease> {
        let View::Seen { lease, .. } = &self.view else { return None };
        if holder(lease) != Some(self.identity.as_str()) {
            return None;
        }
        let spec = LeaseSpec {
            holder_identity: Some(String::new()),
            lease_duration_seconds: seconds(RELEASED),
            renew_time: Some(MicroTime(wall)),
            ..lease.spec.clone().unwrap_or_default()
        };
        Some(Lease { metadata: lease.metadata.clone(), spec: Some(spec) })
    }
}

/// Returns the holder; an empty name is none.
pub(super) fn holder(lease: &Lease) -> Option<&str> {
    lease.spec.as_ref()?.holder_identity.as_deref().filter(|holder| !holder.is_empty())
}

/// Returns the duration of a Lease; none counts as expired at once.
fn duration(lease: &Lease) -> Duration {
    let seconds = lease.spec.as_ref().and_then(|spec| spec.lease_duration_seconds).unwrap_or_default();
    Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
}

fn seconds(duration: Duration) -> Option<i32> {
    i32::try_from(duration.as_secs()).ok()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

    use super::*;

    const US: &str = "us";

    fn lease(holder: &str, duration: i32, version: u32, renewed: i64) -> Lease {
        let meta = ObjectMeta {
            name: Some("nats-manager".to_owned()),
            uid: Some("uid".to_owned()),
            resource_version: Some(version.to_string()),
            ..ObjectMeta::default()
        };
        let spec = LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: Some(duration),
            renew_time: Some(MicroTime(Timestamp::from_second(renewed).unwrap())),
            lease_transitions: Some(4),
            ..LeaseSpec::default()
        };
        Lease { metadata: meta, spec: Some(spec) }
    }

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn step_follows_from_the_record_and_the_time_since_it_was_seen() {
        let start = Instant::now();
        for (case, record, elapsed, expected) in [
            ("no holder", lease("", 1, 1, 0), 0, Step::Write),
            ("another holder", lease("other", 20, 1, 0), 19, Step::Wait(start + seconds(20))),
            ("another holder that expired", lease("other", 20, 1, 0), 20, Step::Write),
            ("a clock an hour ahead", lease("other", 20, 1, 1_800_000_000), 19, Step::Wait(start + seconds(20))),
            ("a clock an hour behind", lease("other", 20, 1, 1), 19, Step::Wait(start + seconds(20))),
            ("a duration of a day", lease("other", 86_400, 1, 0), 59, Step::Wait(start + seconds(60))),
            ("a duration of a day, expired", lease("other", 86_400, 1, 0), 60, Step::Write),
            ("no duration", lease("other", 0, 1, 0), 0, Step::Write),
            ("a negative duration", lease("other", -5, 1, 0), 0, Step::Write),
            ("an acquisition whose answer was lost", lease(US, 20, 1, 0), 0, Step::Write),
        ] {
            let mut candidate = Candidate::new(US.to_owned());
            assert_eq!(candidate.next(start), Step::Read, "{case}");
            candidate.observe(Some(record), start);
            assert_eq!(candidate.next(start + seconds(elapsed)), expected, "{case}");
            assert!(!candidate.leads(start), "{case}");
        }
    }

    #[test]
    fn renewal_of_another_holder_restarts_the_time() {
        let start = Instant::now();
        let mut candidate = Candidate::new(US.to_owned());
        candidate.observe(Some(lease("other", 20, 1, 0)), start);
        candidate.observe(Some(lease("other", 20, 2, 8)), start + seconds(8));
        // The record is the same: only its metadata changed.
        candidate.observe(Some(lease("other", 20, 3, 8)), start + seconds(12));
        // An event from before.
        candidate.observe(Some(lease("other", 20, 1, 0)), start + seconds(13));
        assert_eq!(candidate.next(start + seconds(13)), Step::Wait(start + seconds(28)));
    }

    #[test]
    fn leadership_counts_from_the_send_time_of_an_answered_write() {
        let start = Instant::now();
        let mut candidate = Candidate::new(US.to_owned());
        candidate.observe(Some(lease("", 1, 1, 0)), start);
        let claim = candidate.claim(Timestamp::from_second(100).unwrap()).unwrap();
        let spec = claim.spec.clone().unwrap();
        assert_eq!((holder(&claim), spec.lease_transitions), (Some(US), Some(5)));
        assert_eq!((claim.metadata.resource_version.as_deref(), spec.lease_duration_seconds), (Some("1"), Some(20)));
        assert!(!candidate.leads(start));

        candidate.answered(lease(US, 20, 2, 100), start, start + seconds(2));
        assert!(candidate.leads(start + seconds(16)));
        assert_eq!(candidate.next(start + seconds(5)), Step::Wait(start + seconds(6)));
        assert_eq!(candidate.next(start + seconds(6)), Step::Write);
        let renewal = candidate.claim(Timestamp::from_second(108).unwrap()).unwrap().spec.unwrap();
        assert_eq!(renewal.lease_transitions, Some(4), "kept");
        assert_eq!(
            candidate.lost(start + seconds(17)),
            Some(Lost::NotRenewed),
            "for example a process that was paused"
        );
        candidate.answered(lease(US, 20, 3, 108), start + seconds(8), start + seconds(9));
        assert_eq!(candidate.expires(), Some(start + seconds(25)));
    }

    #[test]
    fn leadership_ends_when_the_record_names_another() {
        let start = Instant::now();
        for (record, expected) in [
            (Some(lease("other", 20, 3, 101)), Some(Lost::Taken)),
            (Some(lease("", 1, 3, 101)), Some(Lost::Taken)),
            (None, Some(Lost::Deleted)),
            (Some(lease("other", 20, 1, 90)), None),
        ] {
            let mut candidate = Candidate::new(US.to_owned());
            candidate.observe(Some(lease("", 1, 1, 0)), start);
            candidate.answered(lease(US, 20, 2, 100), start, start);
            candidate.observe(record.clone(), start + seconds(1));
            assert_eq!(candidate.lost(start + seconds(1)), expected, "{record:?}");
        }
    }

    #[test]
    fn answer_that_names_another_is_no_renewal() {
        let start = Instant::now();
        let mut candidate = Candidate::new(US.to_owned());
        candidate.observe(Some(lease("", 1, 1, 0)), start);
        candidate.answered(lease("other", 20, 2, 100), start, start);
        assert!(!candidate.leads(start));
        assert_eq!(candidate.next(start), Step::Wait(start + seconds(20)));
    }

    #[test]
    fn only_the_holder_releases() {
        let start = Instant::now();
        let wall = Timestamp::from_second(100).unwrap();
        for (record, is_ours) in
            [(lease(US, 20, 7, 0), true), (lease("other", 20, 7, 0), false), (lease("", 1, 7, 0), false)]
        {
            let mut candidate = Candidate::new(US.to_owned());
            candidate.observe(Some(record), start);
            let released = candidate.release(wall);
            assert_eq!(released.is_some(), is_ours);
            let Some(released) = released else { continue };
            let spec = released.spec.unwrap();
            assert_eq!((spec.holder_identity.as_deref(), spec.lease_duration_seconds), (Some(""), Some(1)));
            assert_eq!(released.metadata.resource_version.as_deref(), Some("7"), "the version is a precondition");
        }
    }

    #[test]
    fn failed_takeover_does_not_restart_the_time() {
        let start = Instant::now();
        let mut candidate = Candidate::new(US.to_owned());
        candidate.observe(Some(lease("other", 20, 1, 0)), start);
        candidate.outdate();
        assert_eq!(candidate.next(start + seconds(21)), Step::Read);
        candidate.read(Some(lease("other", 20, 1, 0)), start + seconds(22));
        assert_eq!(candidate.next(start + seconds(22)), Step::Write);
    }

    #[test]
    fn recreated_lease_is_free_after_the_duration() {
        let start = Instant::now();
        let mut recreated = lease("", 1, 9, 0);
        recreated.metadata.uid = Some("other uid".to_owned());
        let mut candidate = Candidate::new(US.to_owned());
        candidate.observe(Some(lease("other", 20, 1, 0)), start);
        candidate.observe(Some(recreated.clone()), start);
        assert_eq!(candidate.next(start), Step::Wait(start + DURATION));
        candidate.read(None, start);
        candidate.read(Some(recreated), start + seconds(5));
        assert_eq!(candidate.next(start + seconds(5)), Step::Wait(start + seconds(5) + DURATION));
    }

    #[test]
    fn missing_lease_is_waited_for() {
        let start = Instant::now();
        let mut candidate = Candidate::new(US.to_owned());
        candidate.observe(None, start);
        assert_eq!(candidate.next(start), Step::Missing);
        assert!(candidate.claim(Timestamp::UNIX_EPOCH).is_none());
        candidate.observe(Some(lease("", 1, 1, 0)), start);
        assert_eq!(candidate.next(start + DURATION), Step::Write);
    }
}
