//! Validity of a certificate.

use jiff::{SignedDuration, Timestamp};

/// Time range in which a certificate is valid, to the second. Both ends are part of it (RFC 5280, 4.1.2.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// First time at which the certificate is valid.
    pub not_before: Timestamp,
    /// Last time at which the certificate is valid.
    pub not_after: Timestamp,
}

impl Validity {
    /// Returns whether a certificate with this validity is valid at `now`.
    pub fn contains(&self, now: Timestamp) -> bool {
        self.not_before <= now && now <= self.not_after
    }

    /// Returns whether a certificate with this validity has expired at `now`.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.not_after < now
    }
}

/// Adds `duration` to `time`. On overflow, returns the first or last time that can be expressed.
pub(crate) fn after(time: Timestamp, duration: SignedDuration) -> Timestamp {
    let end = if duration.is_negative() { Timestamp::MIN } else { Timestamp::MAX };
    time.checked_add(duration).unwrap_or(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn validity_includes_both_ends() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let validity = Validity { not_before: at(10), not_after: at(20) };
        let cases = [(9, false), (10, true), (20, true), (21, false)];
        for (second, holds) in cases {
            assert_eq!(validity.contains(at(second)), holds, "second {second}");
        }
        assert!(!validity.is_expired(at(20)) && validity.is_expired(at(21)));
    }

    #[test]
    fn after_never_overflows() {
        assert_eq!(after(Timestamp::MAX, SignedDuration::MAX), Timestamp::MAX);
        assert_eq!(after(Timestamp::MIN, SignedDuration::MIN), Timestamp::MIN);
    }
}
