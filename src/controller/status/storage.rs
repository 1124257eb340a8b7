//! The condition `Storage`: the usage of the file stores.
//!
//! At its limit JetStream rejects messages (error 10023), and the capacity of a volume is lower than its size: it may
//! be full at 95 %. So the warning comes at 80 %, and from 90 % on the store counts as full.

use nats_manager_api::{ConditionType, Reason};
use nats_manager_planner::{
    health::{Assessment, Inventory, blind_since, has_lasted},
    snapshot::{JetStreamSnapshot, StoreUsage},
};

use super::{
    StatusFacts,
    update::{ConditionStatus, Unobserved, Update},
};

/// Usage level of the fullest server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Healthy,
    /// A level at which users should make room.
    NearlyFull,
    /// A level at which messages are rejected, now or soon.
    Full,
}

/// The fullest server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fill {
    pub server: String,
    /// File store of the server. A limit of 0 means none.
    pub file: StoreUsage,
    /// True if the server has disabled JetStream, mostly because its volume was full.
    pub is_disabled: bool,
    /// True if every server answered. An unreachable server may be fuller.
    pub is_complete: bool,
    /// Largest streams, each with the bytes of a replica.
    pub largest: Vec<(String, u64)>,
}

/// Usage in percent of the limit from which on a store is nearly full.
const NEARLY_FULL: u64 = 80;
/// Usage in percent of the limit from which on a store is full.
const FULL: u64 = 90;
/// Usage in percent of the limit below which a store is no longer nearly full. Between the two thresholds the level
/// stays, or every message could change it.
const NO_LONGER_NEARLY_FULL: u64 = 75;
/// Usage in percent of the limit below which a store is no longer full.
const NO_LONGER_FULL: u64 = 85;

/// Maximum number of streams in a message.
const MAX_NAMED_STREAMS: usize = 3;

const KIND: ConditionType = ConditionType::Storage;

/// Time without an answer of any server after which the level is unknown.
const UNKNOWN_AFTER: std::time::Duration = std::time::Duration::from_mins(1);

impl Level {
    /// Returns the level that follows `old`, with hysteresis.
    pub(super) fn after(old: Option<Self>, fill: &Fill) -> Self {
        let percent = fill.file.percent();
        let was = |level| old >= Some(level);
        if !fill.is_complete && old.is_some() {
            // The level cannot have become lower, since an unreachable server may be fuller.
            return old
                .max(Some(Self::after(old, &Fill { is_complete: true, ..fill.clone() })))
                .unwrap_or(Self::Healthy);
        }
        if fill.is_disabled || percent >= FULL || (was(Self::Full) && percent >= NO_LONGER_FULL) {
            Self::Full
        } else if percent >= NEARLY_FULL || (was(Self::NearlyFull) && percent >= NO_LONGER_NEARLY_FULL) {
            Self::NearlyFull
        } else {
            Self::Healthy
        }
    }

    /// Returns the level of a reason in the status.
    pub(super) fn parse(reason: &str) -> Option<Self> {
        [Self::Healthy, Self::NearlyFull, Self::Full].into_iter().find(|level| level.reason().to_string() == reason)
    }

    /// Returns the reason that the level has in the status.
    pub(super) fn reason(self) -> Reason {
        match self {
            Self::Healthy => Reason::Healthy,
            Self::NearlyFull => Reason::NearlyFull,
            Self::Full => Reason::Full,
        }
    }
}

impl Fill {
    /// Returns the fullest of the servers that answered. A server that has disabled JetStream counts as fuller than any
    /// other. `None` if no server answered.
    pub(super) fn fullest(snapshot: &JetStreamSnapshot, expected: &[String]) -> Option<Self> {
        let fills = snapshot.answers().map(|(name, server)| Self {
            server: name.to_owned(),
            file: server.file,
            is_disabled: server.disabled,
            is_complete: false,
            largest: Vec::new(),
        });
        // The first of equally full servers, so that the name stays the same.
        let fullest = fills.reduce(|fullest, other| if other.rank() > fullest.rank() { other } else { fullest })?;
        let is_complete = expected.iter().all(|server| snapshot.answer(server).is_some());
        let inventory = Inventory::of(snapshot, expected);
        let largest = inventory.largest_streams(MAX_NAMED_STREAMS).into_iter();
        Some(Self { is_complete, largest: largest.map(|(id, bytes)| (id.name.clone(), bytes)).collect(), ..fullest })
    }

    fn rank(&self) -> (bool, u64) {
        (self.is_disabled, self.file.percent())
    }

    /// Returns the message of a change to `level`.
    pub(super) fn message(&self, level: Level) -> String {
        if level == Level::Healthy {
            return if self.file.limit == 0 {
                "There is no file store; streams are kept in memory.".to_owned()
            } else {
                "The file stores have room.".to_owned()
            };
        }
        let what = if self.is_disabled {
            format!(
                "{} has disabled JetStream, mostly because its volume is full. It is enabled again when there is room.",
                self.server
            )
        } else {
            format!(
                "The file store of {} is {} % full ({} of {}).",
                self.server,
                self.file.percent(),
                rounded(self.file.used),
                rounded(self.file.limit)
            )
        };
        let largest: Vec<String> =
            self.largest.iter().map(|(name, bytes)| format!("{name} {}", rounded(*bytes))).collect();
        let streams =
            if largest.is_empty() { String::new() } else { format!(" Largest streams: {}.", largest.join(", ")) };
        format!(
            "{what}{streams} Make room (nats stream purge), or limit the streams (nats stream edit --max-bytes); see docs/user/storage.md."
        )
    }
}

impl Update<'_> {
    /// Sets the condition when the level changes.
    pub(super) fn storage(&mut self, facts: &StatusFacts<'_>) {
        let old = self.old.condition(KIND).and_then(|old| Level::parse(&old.reason));
        let members = facts.members();
        match facts.assessment().map(|assessment| (assessment, Fill::fullest(&assessment.snapshot, &members))) {
            Some((_, Some(fill))) => self.level(old, &fill),
            Some((assessment, None)) => self.no_level(old, assessment),
            None => {
                if let Some(unobserved) = Unobserved::of(facts.observation) {
                    self.set_unknown(KIND, &unobserved);
                }
                let kept = self.status.condition(KIND).and_then(|kept| Level::parse(&kept.reason));
                self.keep_level(kept);
            }
        }
    }

    fn level(&mut self, old: Option<Level>, fill: &Fill) {
        let level = Level::after(old, fill);
        let is_healthy = level == Level::Healthy;
        if old != Some(level) {
            let message = fill.message(level);
            self.set(KIND, ConditionStatus::of(is_healthy), level.reason(), &message);
            if !is_healthy || old.is_some() {
                self.announce(!is_healthy, level.reason(), &message);
            }
        }
        if !is_healthy {
            self.warn();
        }
    }

    /// Sets the condition to Unknown once no server has answered for [`UNKNOWN_AFTER`]. A single failed poll proves
    /// nothing.
    fn no_level(&mut self, old: Option<Level>, assessment: &Assessment) {
        if has_lasted(blind_since(assessment), self.now, UNKNOWN_AFTER) {
            let message = "The use of the servers' stores is unknown: no server answers at its monitoring port (8222).";
            self.set(KIND, ConditionStatus::Unknown, Reason::Unknown, message);
        } else {
            self.keep_level(old);
        }
    }

    fn keep_level(&mut self, old: Option<Level>) {
        if matches!(old, Some(Level::NearlyFull | Level::Full)) {
            self.warn();
        }
    }
}

fn rounded(bytes: u64) -> String {
    const MEBI: u64 = 1 << 20;
    if bytes >= MEBI { format!("{}Mi", bytes / MEBI) } else { format!("{}Ki", bytes >> 10) }
}

#[cfg(test)]
mod tests {
    use nats_manager_planner::{
        snapshot::ServerSnapshot,
        testing::{self, Answer, snapshot, unreachable},
    };

    use super::*;

    const MEBI: u64 = 1 << 20;

    fn store(used: u64) -> StoreUsage {
        StoreUsage { used: used * MEBI, limit: 100 * MEBI, ..StoreUsage::default() }
    }

    fn fill(percent: u64) -> Fill {
        Fill {
            server: "n-1".to_owned(),
            file: store(percent),
            is_disabled: false,
            is_complete: true,
            largest: vec![("orders".to_owned(), 70 * MEBI), ("sap".to_owned(), 2048)],
        }
    }

    #[test]
    fn levels_have_hysteresis() {
        use Level::{Full, Healthy, NearlyFull};
        let mut level = None;
        for (percent, expected) in [
            (79, Healthy),
            (80, NearlyFull),
            (76, NearlyFull),
            (74, Healthy),
            (89, NearlyFull),
            (90, Full),
            (86, Full),
            (84, NearlyFull),
            (75, NearlyFull),
            (95, Full),
            (10, Healthy),
        ] {
            level = Some(Level::after(level, &fill(percent)));
            assert_eq!(level, Some(expected), "{percent} %");
        }
        assert_eq!(Level::after(None, &Fill { is_disabled: true, ..fill(10) }), Full);
        let incomplete = Fill { is_complete: false, ..fill(10) };
        assert_eq!(Level::after(Some(Full), &incomplete), Full, "the full server may be the unreachable one");
        assert_eq!(Level::after(Some(Full), &Fill { file: StoreUsage::default(), ..fill(10) }), Healthy);
    }

    #[test]
    fn fullest_server_is_reported() {
        let server = |used| Ok(ServerSnapshot { file: store(used), ..testing::server() });
        let off = Ok(ServerSnapshot { disabled: true, ..testing::server() });
        let fullest = |servers: &[Answer]| Fill::fullest(&snapshot(servers.to_vec()), &[]).map(|fill| fill.server);
        assert_eq!(fullest(&[server(10), server(30), server(30), unreachable()]).as_deref(), Some("n-1"));
        assert_eq!(fullest(&[server(95), off]).as_deref(), Some("n-1"));
        assert_eq!(fullest(&[unreachable()]), None);
    }

    #[test]
    fn message_names_the_largest_streams() {
        assert_eq!(
            fill(83).message(Level::NearlyFull),
            "The file store of n-1 is 83 % full (83Mi of 100Mi). Largest streams: orders 70Mi, sap 2Ki. \
             Make room (nats stream purge), or limit the streams (nats stream edit --max-bytes); see docs/user/storage.md."
        );
    }

    #[test]
    fn documentation_contains_the_current_message() {
        let example = Fill {
            server: "eventing-nats-0".to_owned(),
            file: StoreUsage { used: 52 * MEBI, limit: 64 * MEBI, ..StoreUsage::default() },
            is_disabled: false,
            is_complete: true,
            largest: vec![("orders".to_owned(), 52 * MEBI)],
        };
        let page = include_str!("../../../docs/user/storage.md");
        let message = example.message(Level::NearlyFull);
        assert!(page.lines().any(|line| line == message), "{message}");
    }
}
