//! Servers that are restarted: those that have given up writing to a stream. A full volume leaves such a
//! stream behind, whose copy nothing but a restart brings back, even when there is room again.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::jetstream::Lack;

/// Since when copies lack, and which servers were restarted for it.
#[derive(Debug, Default)]
pub(super) struct Restarts(Mutex<Record>);

#[derive(Debug, Default)]
struct Record {
    lacking_since: Option<Instant>,
    restarted: HashMap<String, Instant>,
}

/// A copy that catches up gets so long.
const LASTING: Duration = Duration::from_mins(1);
/// The volume may still be full.
const EVERY: Duration = Duration::from_mins(5);

impl Restarts {
    /// The servers that may have given up on a copy: only while all servers run, so that one that
    /// restarts is the only one away, and not before the lack has lasted.
    pub(super) fn suspects(&self, lacks: &[Lack], expected: &[String], now: Instant) -> Vec<String> {
        let mut record = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_of_copies =
            |lack: &Lack| matches!(lack, Lack::Copy { .. } | Lack::StreamLeader { .. } | Lack::ConsumerLeader { .. });
        if lacks.is_empty() || !lacks.iter().all(is_of_copies) {
            record.lacking_since = None;
            return Vec::new();
        }
        if now.duration_since(*record.lacking_since.get_or_insert(now)) < LASTING {
            return Vec::new();
        }
        // Without a leader nobody knows whose copy it is.
        let is_leaderless = lacks.iter().any(|lack| lack.server().is_none());
        let is_named = |server: &String| lacks.iter().any(|lack| lack.server() == Some(server));
        let was_not = |server: &String| record.restarted.get(server).is_none_or(|at| now.duration_since(*at) >= EVERY);
        expected.iter().filter(|server| (is_leaderless || is_named(server)) && was_not(server)).cloned().collect()
    }

    /// Notes that a server is being restarted; the next one has to wait as this one had.
    pub(super) fn note(&self, server: &str, now: Instant) {
        let mut record = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        record.lacking_since = None;
        record.restarted.insert(server.to_owned(), now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_that_stays_behind_makes_its_server_a_suspect() {
        let copy = Lack::Copy { what: "stream s".to_owned(), server: "n-1".to_owned(), lag: 7 };
        let leaderless = Lack::StreamLeader { stream: "s".to_owned() };
        let away = Lack::Behind { server: "n-2".to_owned() };
        let expected = ["n-0", "n-1", "n-2"].map(str::to_owned);
        let (restarts, start) = (Restarts::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let suspects = |lacks: &[&Lack], seconds| {
            let lacks: Vec<Lack> = lacks.iter().map(|lack| (*lack).clone()).collect();
            restarts.suspects(&lacks, &expected, at(seconds)).join(" ")
        };
        for (lacks, seconds, named, why) in [
            (&[&copy][..], 0, "", "it may catch up"),
            (&[&copy], 59, "", "it still may"),
            (&[&copy], 60, "n-1", "it does not"),
            (&[&copy, &leaderless], 61, "n-0 n-1 n-2", "it may be anyone"),
            (&[&copy, &away], 62, "", "another server is away"),
            (&[&copy], 63, "", "the time begins anew"),
            (&[], 64, "", "all is well"),
            (&[&copy], 70, "", "the time begins anew"),
            (&[&copy], 130, "n-1", "it does not catch up"),
        ] {
            assert_eq!(suspects(lacks, seconds), named, "{why}, {seconds} s");
        }
        restarts.note("n-1", at(130));
        assert_eq!(suspects(&[&copy], 131), "");
        assert_eq!(suspects(&[&copy], 200), "", "it has just been restarted");
        assert_eq!(suspects(&[&copy], 431), "n-1", "its volume may have been full still");
    }
}
