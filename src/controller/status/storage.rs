//! How full the servers are.
//!
//! At its limit JetStream refuses messages (error 10023), and a volume holds less than its size: it
//! may be full at 95 %. So the warning comes at 80 %, and from 90 % on it counts as full.

use nats_manager_api::{Bytes, Reason};

use crate::jetstream::{Look, largest_streams};

/// How full the fullest server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// There is room.
    Healthy,
    /// It is time to make room.
    NearlyFull,
    /// Messages are refused, or soon will be.
    Full,
}

/// The fullest server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fill {
    /// Its name.
    pub server: String,
    /// What its file store holds.
    pub used: Bytes,
    /// What it may hold; 0: there is no file store.
    pub limit: Bytes,
    /// It switched JetStream off, mostly since its volume was full.
    pub disabled: bool,
    /// Whether every server answered: one that did not may be fuller.
    pub complete: bool,
    /// The streams that take most of it.
    pub largest: Vec<(String, Bytes)>,
}

/// Percent of the limit: from the first on it is nearly full, from the second on full; below the
/// others it no longer is. Between them it stays what it was, or every message could change it.
const NEARLY_FULL: u64 = 80;
const FULL: u64 = 90;
const NO_LONGER_NEARLY_FULL: u64 = 75;
const NO_LONGER_FULL: u64 = 85;

/// Streams that a message names.
const NAMED: usize = 3;

impl Level {
    /// The level after `old`.
    pub fn after(old: Option<Self>, fill: &Fill) -> Self {
        let percent = fill.percent();
        let was = |level| old >= Some(level);
        if !fill.complete && old.is_some() {
            // It can only have become worse.
            return old.max(Some(Self::after(old, &Fill { complete: true, ..fill.clone() }))).unwrap_or(Self::Healthy);
        }
        if fill.disabled || percent >= FULL || (was(Self::Full) && percent >= NO_LONGER_FULL) {
            Self::Full
        } else if percent >= NEARLY_FULL || (was(Self::NearlyFull) && percent >= NO_LONGER_NEARLY_FULL) {
            Self::NearlyFull
        } else {
            Self::Healthy
        }
    }

    /// The level by its word in the status.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Healthy, Self::NearlyFull, Self::Full].into_iter().find(|level| level.reason().to_string() == word)
    }

    /// Its word.
    pub fn reason(self) -> Reason {
        match self {
            Self::Healthy => Reason::Healthy,
            Self::NearlyFull => Reason::NearlyFull,
            Self::Full => Reason::Full,
        }
    }
}

impl Fill {
    /// The fullest of the servers that answer; a server that switched JetStream off is fuller than
    /// any. None if all are silent.
    pub fn fullest(look: &Look, expected: &[String]) -> Option<Self> {
        let answers = look.servers.iter().filter_map(|(name, answer)| Some((name, answer.as_ref().ok()?)));
        let fills = answers.map(|(name, server)| Self {
            server: name.clone(),
            used: server.file.used,
            limit: server.file.limit,
            disabled: server.disabled,
            complete: false,
            largest: Vec::new(),
        });
        // The first of equals, so that the name does not jump.
        let fullest = fills.reduce(|fullest, other| if other.rank() > fullest.rank() { other } else { fullest })?;
        let complete = expected.iter().all(|server| matches!(look.servers.get(server), Some(Ok(_))));
        Some(Self { complete, largest: largest_streams(look, NAMED), ..fullest })
    }

    fn rank(&self) -> (bool, u64) {
        (self.disabled, self.percent())
    }

    fn percent(&self) -> u64 {
        let (used, limit) = (u128::from(self.used.get()), u128::from(self.limit.get()));
        (used * 100).checked_div(limit).and_then(|percent| u64::try_from(percent).ok()).unwrap_or(0)
    }

    /// What to say of it at a crossing.
    pub fn message(&self, level: Level) -> String {
        if level == Level::Healthy {
            return if self.limit.get() == 0 {
                "There is no file store; streams are kept in memory.".to_owned()
            } else {
                "The file stores have room.".to_owned()
            };
        }
        let what = if self.disabled {
            format!(
                "{} has switched JetStream off, mostly since its volume is full; it comes back by itself when there is room.",
                self.server
            )
        } else {
            format!(
                "The file store of {} is {} % full ({} of {}).",
                self.server,
                self.percent(),
                rounded(self.used),
                rounded(self.limit)
            )
        };
        let largest: Vec<String> =
            self.largest.iter().map(|(name, size)| format!("{name} {}", rounded(*size))).collect();
        let streams =
            if largest.is_empty() { String::new() } else { format!(" Largest streams: {}.", largest.join(", ")) };
        format!(
            "{what}{streams} Make room (nats stream purge), or limit the streams (nats stream edit --max-bytes); see docs/user/storage.md."
        )
    }
}

fn rounded(bytes: Bytes) -> String {
    const MEBI: u64 = 1 << 20;
    const KIBI: u64 = 1 << 10;
    match bytes.get() {
        all if all >= MEBI => format!("{}Mi", all / MEBI),
        all => format!("{}Ki", all / KIBI),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jetstream::{Server, Silence, Store};

    fn fill(percent: u64) -> Fill {
        Fill {
            server: "n-1".to_owned(),
            used: Bytes::mebi(percent),
            limit: Bytes::mebi(100),
            disabled: false,
            complete: true,
            largest: vec![("orders".to_owned(), Bytes::mebi(70)), ("sap".to_owned(), Bytes::new(2048))],
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
        assert_eq!(Level::after(None, &Fill { disabled: true, ..fill(10) }), Full);
        assert_eq!(Level::after(Some(Full), &Fill { complete: false, ..fill(10) }), Full, "the full one may be silent");
        assert_eq!(Level::after(Some(Full), &Fill { limit: Bytes::new(0), ..fill(10) }), Healthy);
    }

    #[test]
    fn the_fullest_server_counts() {
        let server = |used| {
            Ok(Server {
                file: Store { used: Bytes::mebi(used), limit: Bytes::mebi(100), ..Store::default() },
                ..Server::default()
            })
        };
        let off = Ok(Server { disabled: true, ..Server::default() });
        let look = |servers: Vec<Result<Server, Silence>>| Look {
            servers: servers.into_iter().enumerate().map(|(i, server)| (format!("n-{i}"), server)).collect(),
        };
        let fullest = |servers| Fill::fullest(&look(servers), &[]).map(|fill| fill.server);
        let silent = || Err(Silence("no route".to_owned()));
        assert_eq!(fullest(vec![server(10), server(30), server(30), silent()]).as_deref(), Some("n-1"));
        assert_eq!(fullest(vec![server(95), off]).as_deref(), Some("n-1"));
        assert_eq!(fullest(vec![silent()]), None);
    }

    #[test]
    fn a_message_names_the_largest_streams() {
        assert_eq!(
            fill(83).message(Level::NearlyFull),
            "The file store of n-1 is 83 % full (83Mi of 100Mi). Largest streams: orders 70Mi, sap 2Ki. \
             Make room (nats stream purge), or limit the streams (nats stream edit --max-bytes); see docs/user/storage.md."
        );
    }

    #[test]
    fn the_documentation_shows_such_a_message() {
        let shown = Fill {
            server: "eventing-nats-0".to_owned(),
            used: Bytes::mebi(52),
            limit: Bytes::mebi(64),
            disabled: false,
            complete: true,
            largest: vec![("orders".to_owned(), Bytes::mebi(52))],
        };
        let page = include_str!("../../../docs/user/storage.md");
        let message = shown.message(Level::NearlyFull);
        assert!(page.lines().any(|line| line == message), "{message}");
    }
}
