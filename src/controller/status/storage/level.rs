//! Limits that can stop a publisher or the creation of a stream, and the levels at which their use is reported.

use nats_manager_api::Reason;

/// Kind of a limit, in the order in which limits of the same level are reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum LimitKind {
    /// The volume of a server, which has disabled JetStream because of it.
    Volume,
    /// The file store of a server: at the limit, messages are rejected (error 10023).
    FileStore,
    /// The memory store of a server: at the limit, messages of streams in memory are rejected (error 10023).
    MemoryStore,
    /// The limits of a stream that discards new messages: at the limit, its messages are rejected (error 10077).
    Stream,
    /// The bytes of a store that streams have reserved by `max_bytes`: at the limit, no stream can be created (errors
    /// 10047 and 10028).
    Reservation,
}

/// Level of a limit that is nearly reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// A level at which users should make room.
    NearlyFull,
    /// A level at which messages are rejected, now or soon.
    Full,
}

/// The limit that is reported, and its level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shortage {
    pub(super) kind: LimitKind,
    pub(super) level: Level,
}

/// Uses in percent of the limit from which on a level begins, and below which it ends. Between the two the level stays,
/// or every message could change it.
struct Thresholds {
    nearly_full: (u64, u64),
    /// `None` for a limit that never stops a publisher.
    full: Option<(u64, u64)>,
}

/// Reason of each shortage in the status.
const REASONS: [(LimitKind, Level, Reason); 8] = [
    (LimitKind::Volume, Level::Full, Reason::VolumeFull),
    (LimitKind::FileStore, Level::NearlyFull, Reason::FileStoreNearlyFull),
    (LimitKind::FileStore, Level::Full, Reason::FileStoreFull),
    (LimitKind::MemoryStore, Level::NearlyFull, Reason::MemoryStoreNearlyFull),
    (LimitKind::MemoryStore, Level::Full, Reason::MemoryStoreFull),
    (LimitKind::Stream, Level::NearlyFull, Reason::StreamNearlyFull),
    (LimitKind::Stream, Level::Full, Reason::StreamFull),
    (LimitKind::Reservation, Level::NearlyFull, Reason::ReservationNearlyFull),
];

impl LimitKind {
    fn thresholds(self) -> Thresholds {
        match self {
            // A volume holds less than its size: it may be full at 95 %.
            Self::Volume | Self::FileStore | Self::MemoryStore => {
                Thresholds { nearly_full: (80, 75), full: Some((90, 85)) }
            }
            // A message that does not fit is rejected before the limit is reached.
            Self::Stream => Thresholds { nearly_full: (80, 75), full: Some((95, 90)) },
            // A plan that reserves most of a store is no mistake.
            Self::Reservation => Thresholds { nearly_full: (90, 85), full: None },
        }
    }

    /// Returns the level for a use in percent of the limit. `old` is the level of this limit before.
    pub(super) fn level(self, percent: u64, old: Option<Level>) -> Option<Level> {
        let Thresholds { nearly_full, full } = self.thresholds();
        let holds =
            |level: Level, (from, until): (u64, u64)| percent >= from || (old >= Some(level) && percent >= until);
        if full.is_some_and(|full| holds(Level::Full, full)) {
            Some(Level::Full)
        } else {
            holds(Level::NearlyFull, nearly_full).then_some(Level::NearlyFull)
        }
    }
}

impl Shortage {
    /// Returns the reason in the status.
    pub(super) fn reason(self) -> Reason {
        let found = REASONS.iter().find(|(kind, level, _)| *kind == self.kind && *level == self.level);
        found.map_or(Reason::Unknown, |(_, _, reason)| *reason)
    }

    /// Returns the shortage of a reason in the status; `None` for any other reason.
    pub(super) fn parse(reason: &str) -> Option<Self> {
        // Reasons of an earlier version, which reported file stores only.
        let reason = match reason {
            "NearlyFull" => Reason::FileStoreNearlyFull.to_string(),
            "Full" => Reason::FileStoreFull.to_string(),
            _ => reason.to_owned(),
        };
        let found = REASONS.into_iter().find(|(_, _, known)| known.to_string() == reason);
        found.map(|(kind, level, _)| Self { kind, level })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_have_hysteresis() {
        use Level::{Full, NearlyFull};
        for (kind, steps) in [
            (
                LimitKind::FileStore,
                &[
                    (79, None),
                    (80, Some(NearlyFull)),
                    (76, Some(NearlyFull)),
                    (74, None),
                    (76, None),
                    (90, Some(Full)),
                    (86, Some(Full)),
                    (84, Some(NearlyFull)),
                    (75, Some(NearlyFull)),
                    (10, None),
                ][..],
            ),
            (
                LimitKind::Stream,
                &[
                    (80, Some(NearlyFull)),
                    (94, Some(NearlyFull)),
                    (95, Some(Full)),
                    (91, Some(Full)),
                    (89, Some(NearlyFull)),
                ],
            ),
            (
                LimitKind::Reservation,
                &[(89, None), (90, Some(NearlyFull)), (100, Some(NearlyFull)), (86, Some(NearlyFull)), (84, None)],
            ),
        ] {
            let mut level = None;
            for (percent, expected) in steps {
                level = kind.level(*percent, level);
                assert_eq!(level, *expected, "{kind:?} {percent} %");
            }
        }
    }

    #[test]
    fn reasons_are_read_as_they_are_written() {
        for (kind, level, reason) in REASONS {
            let shortage = Shortage { kind, level };
            assert_eq!((shortage.reason(), Shortage::parse(&reason.to_string())), (reason, Some(shortage)));
        }
        for (reason, kind, level) in
            [("NearlyFull", LimitKind::FileStore, Level::NearlyFull), ("Full", LimitKind::FileStore, Level::Full)]
        {
            assert_eq!(Shortage::parse(reason), Some(Shortage { kind, level }), "of an earlier version");
        }
        assert_eq!(Shortage::parse("Healthy"), None);
    }
}
