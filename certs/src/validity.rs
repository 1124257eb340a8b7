//! The time in which a certificate holds.

use jiff::{SignedDuration, Timestamp};

/// From when until when a certificate is valid. Both ends belong to it (RFC 5280, 4.1.2.5), to
/// the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// The first moment.
    pub not_before: Timestamp,
    /// The last moment.
    pub not_after: Timestamp,
}

impl Validity {
    /// Whether a certificate with this validity holds at `now`.
    pub fn contains(&self, now: Timestamp) -> bool {
        self.not_before <= now && now <= self.not_after
    }

    /// Whether it is over at `now`.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.not_after < now
    }
}

/// `duration` after `time`; the ends of what can be expressed instead of an overflow.
pub(crate) fn after(time: Timestamp, duration: SignedDuration) -> Timestamp {
    let end = if duration.is_negative() { Timestamp::MIN } else { Timestamp::MAX };
    time.checked_add(duration).unwrap_or(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_are_valid() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let validity = Validity { not_before: at(10), not_after: at(20) };
        let cases = [(9, false), (10, true), (20, true), (21, false)];
        for (second, holds) in cases {
            assert_eq!(validity.contains(at(second)), holds, "second {second}");
        }
        assert!(!validity.is_over(at(20)) && validity.is_over(at(21)));
    }

    #[test]
    fn never_overflows() {
        assert_eq!(after(Timestamp::MAX, SignedDuration::MAX), Timestamp::MAX);
        assert_eq!(after(Timestamp::MIN, SignedDuration::MIN), Timestamp::MIN);
    }
}
