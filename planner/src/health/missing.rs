//! Missing streams: a server had them before it restarted, and no server has them now.
//!
//! A stream that is deleted while its servers run is no loss. Only a complete inventory proves that a stream is gone,
//! and only a restarted server whose `/healthz` is 200 has restored all its streams.

use std::collections::{BTreeMap, BTreeSet};

use super::inventory::Inventory;
use crate::{
    snapshot::{Healthz, JetStreamSnapshot, StreamId},
    time::Time,
};

/// Streams that are gone since a server restarted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MissingStreams {
    /// Each stream with the server that had it, and the poll that first showed that it is gone.
    pub streams: BTreeMap<StreamId, MissingStream>,
    /// Identity and streams of each server in its last complete run.
    last_runs: BTreeMap<String, ServerRun>,
}

/// A stream that is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingStream {
    /// The server that had a replica, and restarted.
    pub server: String,
    /// The time of the first poll without the stream.
    pub since: Time,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct ServerRun {
    id: String,
    streams: BTreeSet<StreamId>,
}

impl MissingStreams {
    /// Compares a snapshot with those before. Streams that are back are no longer missing.
    #[must_use]
    pub fn next(&self, snapshot: &JetStreamSnapshot, expected: &[String]) -> Self {
        let inventory = Inventory::of(snapshot, expected);
        let mut next = self.clone();
        next.streams.retain(|stream, _| !inventory.streams.contains_key(stream));
        for (name, server) in snapshot.answers() {
            let streams: BTreeSet<StreamId> = server.streams.iter().map(|replica| replica.stream.clone()).collect();
            let present = ServerRun { id: server.id.clone(), streams };
            let Some(before) = self.last_runs.get(name).filter(|before| before.id != server.id) else {
                next.last_runs.insert(name.to_owned(), present);
                continue;
            };
            if inventory.gap.is_some() || server.healthz != Healthz::Ok {
                continue; // it may not have restored all streams yet
            }
            let gone = before.streams.iter().filter(|stream| !inventory.streams.contains_key(stream));
            for stream in gone {
                let missing = MissingStream { server: name.to_owned(), since: snapshot.taken_at };
                next.streams.entry(stream.clone()).or_insert(missing);
            }
            next.last_runs.insert(name.to_owned(), present);
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        snapshot::ServerSnapshot,
        testing::{Answer, names, server, snapshot, stream, unreachable},
    };

    #[expect(clippy::unnecessary_wraps, reason = "one answer of several")]
    fn ok(id: &str, streams: &[&str]) -> Answer {
        let streams = streams.iter().copied().map(stream).collect();
        Ok(ServerSnapshot { id: id.to_owned(), streams, ..server() })
    }

    #[test]
    fn stream_is_missing_when_its_server_restarted_without_it() {
        let failing = || Healthz::Failing("could not be recovered".to_owned());
        let recovering = || ok("B", &["a"]).map(|server| ServerSnapshot { healthz: failing(), ..server });
        for (case, polls, missing) in [
            ("the server restarts without it", vec![ok("A", &["a", "b"]), unreachable(), ok("B", &["a"])], vec!["b"]),
            ("the server restarts with it", vec![ok("A", &["a", "b"]), unreachable(), ok("B", &["a", "b"])], vec![]),
            ("a user deletes it", vec![ok("A", &["a", "b"]), ok("A", &["a"]), ok("B", &["a"])], vec![]),
            ("the server may still restore it", vec![ok("A", &["a", "b"]), recovering()], vec![]),
            (
                "the server restores it late",
                vec![ok("A", &["a", "b"]), recovering(), ok("B", &["a", "b"]), ok("B", &["a"])],
                vec![],
            ),
            ("it is created again", vec![ok("A", &["a", "b"]), ok("B", &["a"]), ok("B", &["a", "b"])], vec![]),
            ("it stays gone", vec![ok("A", &["a", "b"]), ok("B", &["a"]), ok("C", &["a"])], vec!["b"]),
        ] {
            let last = polls
                .into_iter()
                .fold(MissingStreams::default(), |before, answer| before.next(&snapshot([answer]), &names(1)));
            let found: Vec<&str> = last.streams.keys().map(|stream| stream.name.as_str()).collect();
            assert_eq!(found, missing, "{case}");
        }
    }
}
