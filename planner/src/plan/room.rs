//! Room on the remaining servers for the replicas of a scale-down candidate.

use std::collections::BTreeSet;

use super::text::listed;
use crate::snapshot::{JetStreamSnapshot, StoreUsage, StreamReplica};

/// Share of its store that each remaining server may use after the scale-down, in percent.
const LIMIT: u64 = 80;

/// A remaining server, while replicas are placed on it.
struct RemainingServer<'a> {
    server: &'a str,
    file: StoreUsage,
    memory: StoreUsage,
    has: BTreeSet<&'a crate::snapshot::StreamId>,
}

/// Returns the obstacle if the replicas of `candidate` do not fit on the other servers; `None` if they do. The largest
/// replicas are placed first, each on the server with most free space, as JetStream does.
pub(super) fn room_obstacle(
    snapshot: &JetStreamSnapshot,
    candidate: &str,
    replicas: &[&StreamReplica],
) -> Option<String> {
    let mut places: Vec<RemainingServer<'_>> = snapshot
        .answers()
        .filter(|(server, _)| *server != candidate)
        .map(|(server, answer)| RemainingServer {
            server,
            file: answer.file,
            memory: answer.memory,
            has: answer.streams.iter().map(|replica| &replica.stream).collect(),
        })
        .collect();
    let mut sorted = replicas.to_vec();
    sorted.sort_by_key(|replica| std::cmp::Reverse(replica.bytes));
    let mut unplaced: Vec<&str> = Vec::new();
    for replica in sorted {
        let fitting = places.iter_mut().filter(|place| !place.has.contains(&replica.stream) && place.fits(replica));
        match fitting.max_by_key(|place| place.free(replica.in_memory)) {
            Some(place) => place.put(replica),
            None => unplaced.push(&replica.stream.name),
        }
    }
    (!unplaced.is_empty()).then(|| {
        let servers = listed(places.iter().map(|place| place.server));
        format!(
            "room for stream {} below {LIMIT} % of the stores of {servers}; purge messages (nats stream purge), or keep \
             the size",
            listed(unplaced)
        )
    })
}

impl<'a> RemainingServer<'a> {
    fn store(&self, in_memory: bool) -> &StoreUsage {
        if in_memory { &self.memory } else { &self.file }
    }

    fn free(&self, in_memory: bool) -> u64 {
        let store = self.store(in_memory);
        store.limit.saturating_sub(store.used.max(store.reserved))
    }

    fn fits(&self, replica: &StreamReplica) -> bool {
        let store = self.store(replica.in_memory);
        let used = store.used.saturating_add(replica.bytes);
        StoreUsage { used, ..*store }.percent() < LIMIT || replica.bytes == 0
    }

    fn put(&mut self, replica: &'a StreamReplica) {
        let store = if replica.in_memory { &mut self.memory } else { &mut self.file };
        store.used = store.used.saturating_add(replica.bytes);
        self.has.insert(&replica.stream);
    }
}
