//! When a certificate is to be replaced: a plan made anew at each look, from the certificate and
//! the clock alone. There is no timer to trust, so a clock that jumped or slept is noticed at the
//! next look, at most [`MAX_CHECK_INTERVAL`] away.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::{Validity, validity::after};

/// The longest time until somebody looks again. Timers stop while a machine sleeps; a minute is
/// short beside the third of a life (two days for a leaf) that is left for a renewal.
pub const MAX_CHECK_INTERVAL: Duration = Duration::from_mins(1);

/// The shortest time until somebody looks again, so that nothing spins.
pub const MIN_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Whether a certificate is to be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// Not before this time.
    At(Timestamp),
    /// Now.
    Due(RenewalCause),
}

/// Why a certificate is to be replaced now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RenewalCause {
    /// Two thirds of its life are over.
    Age,
    /// It is over, which a slept or jumped clock explains.
    Expired,
    /// Its life has not begun: it was made by a clock that was ahead.
    NotYetValid,
}

impl Renewal {
    /// Whether a certificate with this validity is to be replaced at `now`.
    pub fn of(validity: Validity, now: Timestamp) -> Self {
        let at = renew_at(validity);
        if now < validity.not_before {
            Self::Due(RenewalCause::NotYetValid)
        } else if validity.is_over(now) {
            Self::Due(RenewalCause::Expired)
        } else if now >= at {
            Self::Due(RenewalCause::Age)
        } else {
            Self::At(at)
        }
    }

    /// Whether it is to be replaced now.
    pub fn is_due(self) -> bool {
        matches!(self, Self::Due(_))
    }
}

/// Two thirds into the life of a certificate with this validity.
pub fn renew_at(validity: Validity) -> Timestamp {
    let life = validity.not_after.duration_since(validity.not_before);
    after(validity.not_before, SignedDuration::from_secs(life.as_secs() / 3 * 2))
}

/// How long to wait at `now` for something planned `at` a time: until then, but always within
/// [`MIN_CHECK_INTERVAL`] and [`MAX_CHECK_INTERVAL`].
pub fn next_check(at: Timestamp, now: Timestamp) -> Duration {
    // A time that has passed is a negative duration, which is no `Duration`.
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
    fn due_at_two_thirds() {
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
    fn absurd_lives_are_due_or_not_but_never_a_panic() {
        let forever = Validity { not_before: Timestamp::MIN, not_after: Timestamp::MAX };
        let backwards = Validity { not_before: Timestamp::MAX, not_after: Timestamp::MIN };
        let (before, behind) = (Renewal::of(forever, at(0)), Renewal::of(backwards, at(0)));
        assert!(!before.is_due() && behind.is_due());
    }

    #[test]
    fn the_next_look_is_soon() {
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
