//! Renewal of certificates, decided at each check, only from the certificate and the clock. No timer is involved,
//! so that a clock that jumped, or a machine that slept, is detected at the next check, at most [`MAX_CHECK_INTERVAL`]
//! later.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::{Validity, validity::after};

/// Maximum time until the next check. Timers stop while a machine sleeps. A minute is short compared with the third of
/// a lifetime (two days for a leaf) that remains for a renewal.
pub const MAX_CHECK_INTERVAL: Duration = Duration::from_mins(1);

/// Minimum time until the next check, which prevents a busy loop.
pub const MIN_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Decision on the renewal of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// Renewal is due at this time.
    At(Timestamp),
    /// Renewal is due now.
    Due(RenewalCause),
}

/// Cause of a renewal that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RenewalCause {
    /// Two thirds of the lifetime have passed.
    Age,
    /// The certificate has expired, because the machine slept or the clock jumped.
    Expired,
    /// The validity has not started: the certificate was created while the clock was ahead.
    NotYetValid,
}

impl Renewal {
    /// Decides on the renewal of a certificate with this validity at `now`.
    pub fn of(validity: Validity, now: Timestamp) -> Self {
        let at = renew_at(validity);
        if now < validity.not_before {
            Self::Due(RenewalCause::NotYetValid)
        } else if validity.is_expired(now) {
            Self::Due(RenewalCause::Expired)
        } else if now >= at {
            Self::Due(RenewalCause::Age)
        } else {
            Self::At(at)
        }
    }

    /// Returns whether the renewal is due now.
    pub fn is_due(self) -> bool {
        matches!(self, Self::Due(_))
    }
}

/// Returns the time of renewal: two thirds into the lifetime of a certificate with this validity.
pub fn renew_at(validity: Validity) -> Timestamp {
    let lifetime = validity.not_after.duration_since(validity.not_before);
    after(validity.not_before, SignedDuration::from_secs(lifetime.as_secs() / 3 * 2))
}

/// Returns the time to wait at `now` for an action that is planned `at` a time, limited to at least
/// [`MIN_CHECK_INTERVAL`] and at most [`MAX_CHECK_INTERVAL`].
pub fn next_check(at: Timestamp, now: Timestamp) -> Duration {
    // A time that has passed is a negative duration, which `Duration` cannot represent.
    Duration::try_from(at.duration_since(now))
        .unwrap_or(MIN_CHECK_INTERVAL)
        .clamp(MIN_CHECK_INTERVAL, MAX_CHECK_INTERVAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn renewal_is_due_at_two_thirds_of_lifetime() {
        let validity = Validity { not_before: at(300), not_after: at(600) };
        let cases = [
            (i64::from(i32::MIN), Renewal::Due(RenewalCause::NotYetValid)),
            (299, Renewal::Due(RenewalCause::NotYetValid)),
            (300, Renewal::At(at(500))),
            (499, Renewal::At(at(500))),
            (500, Renewal::Due(RenewalCause::Age)),
            (600, Renewal::Due(RenewalCause::Age)),
            (601, Renewal::Due(RenewalCause::Expired)),
            (600 + 365 * 86_400, Renewal::Due(RenewalCause::Expired)),
        ];
        for (now, expected) in cases {
            assert_eq!(Renewal::of(validity, at(now)), expected, "at {now}");
        }
    }

    #[test]
    fn renewal_of_extreme_lifetimes_never_panics() {
        let forever = Validity { not_before: Timestamp::MIN, not_after: Timestamp::MAX };
        let backwards = Validity { not_before: Timestamp::MAX, not_after: Timestamp::MIN };
        let (before, behind) = (Renewal::of(forever, at(0)), Renewal::of(backwards, at(0)));
        assert!(!before.is_due() && behind.is_due());
    }

    #[test]
    fn next_check_is_within_bounds() {
        let cases = [
            (at(1_000_000), MAX_CHECK_INTERVAL),
            (at(30), Duration::from_secs(30)),
            (at(0), MIN_CHECK_INTERVAL),
            (Timestamp::MIN, MIN_CHECK_INTERVAL),
            (Timestamp::MAX, MAX_CHECK_INTERVAL),
        ];
        for (planned, expected) in cases {
            assert_eq!(next_check(planned, at(0)), expected, "{planned}");
        }
    }
}
