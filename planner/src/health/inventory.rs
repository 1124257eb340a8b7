//! Inventory of streams, over all servers and accounts.
//!
//! A server that gave no answer, has disabled JetStream, or is starting may have any streams: it is a gap, and never
//! counts as empty. A server that starts opens its monitoring port first, then restores its streams, and joins the
//! others last (`enableJetStream` of NATS 2.14.2). Until then it may have more streams than it reports.

use std::collections::BTreeMap;

use super::IssueKind;
use crate::{
    actual::ServerMode,
    snapshot::{DEFAULT_ACCOUNT, JetStreamSnapshot, ServerSnapshot, StreamId, StreamLimits, percent},
};

/// Stream of Kyma Eventing, which creates it again when it is missing: only its consumers are data of users.
pub const EVENTING_STREAM: &str = "sap";

/// The streams that servers report, and a server that may have more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    /// Summary of each stream.
    pub streams: BTreeMap<StreamId, StreamSummary>,
    /// Bytes of memory streams on the server that has most of them.
    pub memory_used: u64,
    /// The first server that may have more streams than it reports; `None` if the inventory is complete.
    pub gap: Option<IssueKind>,
}

/// A stream over all its replicas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamSummary {
    /// The configured number of replicas.
    pub replicas: u32,
    /// The messages are kept in memory.
    pub in_memory: bool,
    /// Bytes of the largest replica.
    pub bytes: u64,
    /// Messages of the replica that has most of them.
    pub messages: u64,
    /// Limits at which the stream rejects new messages.
    pub limits: StreamLimits,
    /// Largest number of consumers that a server reports.
    pub consumers: u64,
}

impl StreamSummary {
    /// Computes the share of the limits that is used, in percent, of the one that is reached first; `None` for a stream
    /// that never rejects new messages.
    pub fn percent(&self) -> Option<u64> {
        let StreamLimits { bytes, messages } = self.limits;
        let used = |used: u64, limit: u64| (limit > 0).then(|| percent(used, limit));
        used(self.bytes, bytes).max(used(self.messages, messages))
    }
}

impl Inventory {
    /// Builds the inventory from the answers of the `expected` servers and of any others.
    pub fn of(snapshot: &JetStreamSnapshot, expected: &[String]) -> Self {
        let mut streams: BTreeMap<StreamId, StreamSummary> = BTreeMap::new();
        for (_, replica) in snapshot.replicas() {
            let stream = streams.entry(replica.stream.clone()).or_default();
            stream.replicas = stream.replicas.max(replica.replicas);
            stream.in_memory |= replica.in_memory;
            stream.bytes = stream.bytes.max(replica.bytes);
            stream.messages = stream.messages.max(replica.messages);
            stream.limits = replica.limits;
            stream.consumers = stream.consumers.max(replica.consumers);
        }
        let in_memory = |server: &ServerSnapshot| -> u64 {
            server.streams.iter().filter(|replica| replica.in_memory).map(|replica| replica.bytes).sum()
        };
        Self {
            streams,
            memory_used: snapshot.answers().map(|(_, server)| in_memory(server)).max().unwrap_or(0),
            gap: gap(snapshot, expected),
        }
    }

    /// Returns whether a stream other than Eventing's exists.
    pub fn has_customer_stream(&self) -> bool {
        self.streams.keys().any(|stream| !is_eventing(stream))
    }

    /// Returns whether Eventing's stream has a consumer.
    pub fn has_eventing_consumer(&self) -> bool {
        self.streams.iter().any(|(stream, summary)| is_eventing(stream) && summary.consumers > 0)
    }

    /// Returns the highest configured number of replicas; 0 without streams.
    pub fn highest_replicas(&self) -> u32 {
        self.streams.values().map(|stream| stream.replicas).max().unwrap_or(0)
    }

    /// Returns whether a stream is kept in memory.
    pub fn has_memory_stream(&self) -> bool {
        self.streams.values().any(|stream| stream.in_memory)
    }

    /// Returns the streams that reject new messages at a limit, the fullest first.
    pub fn fullest_streams(&self) -> Vec<(&StreamId, &StreamSummary)> {
        let limited = self.streams.iter().filter(|(_, stream)| stream.percent().is_some());
        let mut all: Vec<_> = limited.collect();
        all.sort_by(|one, other| other.1.percent().cmp(&one.1.percent()).then_with(|| one.0.cmp(other.0)));
        all
    }

    /// Returns the largest streams in memory or on volumes, by the bytes of a replica, the largest first.
    pub fn largest_streams(&self, count: usize, in_memory: bool) -> Vec<(&StreamId, u64)> {
        let of_kind = self.streams.iter().filter(|(_, stream)| stream.in_memory == in_memory);
        let mut all: Vec<_> = of_kind.map(|(id, stream)| (id, stream.bytes)).collect();
        all.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(other.0)));
        all.truncate(count);
        all
    }
}

/// Returns whether every server proves that it has no streams. A server with a meta group has restored its streams,
/// even while it waits for a leader. A standalone server has restored them when its Pod is ready, which `is_ready`
/// returns.
pub fn is_empty(snapshot: &JetStreamSnapshot, expected: &[String], is_ready: impl Fn(&str) -> bool) -> bool {
    let is_empty = |server: &String| {
        snapshot.answer(server).is_some_and(|answer| {
            !answer.disabled && answer.streams.is_empty() && (answer.meta.is_some() || is_ready(server))
        })
    };
    !expected.is_empty() && expected.iter().chain(snapshot.servers.keys()).all(is_empty)
}

/// Returns the first server that may have more streams than it reports.
fn gap(snapshot: &JetStreamSnapshot, expected: &[String]) -> Option<IssueKind> {
    let kind = ServerMode::of(u32::try_from(expected.len()).unwrap_or(u32::MAX));
    let has_leader = |answer: &ServerSnapshot| {
        answer.meta.as_ref().map_or(kind == ServerMode::Standalone, |meta| meta.leader.is_some())
    };
    expected.iter().chain(snapshot.servers.keys()).find_map(|server| {
        let name = || server.clone();
        match snapshot.answer(server) {
            None => Some(IssueKind::Unreachable { server: name() }),
            Some(answer) if answer.disabled => Some(IssueKind::Disabled { server: name() }),
            Some(answer) if !has_leader(answer) => Some(IssueKind::Starting { server: name() }),
            Some(_) => None,
        }
    })
}

/// Returns whether a stream belongs to Kyma Eventing, whose controller reverts changes of its configuration.
pub fn is_eventing(stream: &StreamId) -> bool {
    stream.account == DEFAULT_ACCOUNT && stream.name == EVENTING_STREAM
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        snapshot::{RaftGroup, StreamReplica},
        testing::{healthy_cluster, names, server, snapshot, stream},
    };

    /// Builds the inventory of three servers, with these streams on the first and the second one.
    fn inventory(one: impl Into<Vec<StreamReplica>>, other: impl Into<Vec<StreamReplica>>) -> Inventory {
        let servers = healthy_cluster(3).with_streams("n-0", one).with_streams("n-1", other);
        Inventory::of(&servers, &names(3))
    }

    fn of_other_account(name: &str) -> StreamReplica {
        StreamReplica { stream: StreamId::new("other", name), ..stream(name) }
    }

    #[test]
    fn inventory_has_the_streams_of_all_servers_and_accounts() {
        let sap = |consumers| stream("sap").with_replicas(3).with_consumers(consumers);
        for (case, one, other, customer, consumer, replicas) in [
            ("nothing", vec![], vec![], false, false, 0),
            ("only Eventing's stream", vec![sap(0)], vec![sap(0)], false, false, 3),
            ("with a consumer", vec![sap(0)], vec![sap(1)], false, true, 3),
            ("another", vec![sap(0)], vec![stream("orders").with_replicas(5)], true, false, 5),
            (
                "the same name in another account",
                vec![of_other_account("sap").with_consumers(1)],
                vec![],
                true,
                false,
                1,
            ),
        ] {
            let all = inventory(one, other);
            assert_eq!(all.gap, None, "{case}");
            let found = (all.has_customer_stream(), all.has_eventing_consumer(), all.highest_replicas());
            assert_eq!(found, (customer, consumer, replicas), "{case}");
        }
    }

    #[test]
    fn memory_streams_are_summed_per_server() {
        let in_memory = |name, bytes| stream(name).with_bytes(bytes).kept_in_memory();
        let one = [in_memory("a", 3), in_memory("b", 4), stream("c").with_bytes(100)];
        let all = inventory(one, [in_memory("a", 5)]);
        assert_eq!((all.memory_used, all.has_memory_stream()), (7, true));
        assert_eq!(all.largest_streams(3, false), [(&StreamId::new("$G", "c"), 100)]);
    }

    #[test]
    fn server_that_may_have_more_streams_is_a_gap() {
        let three = |change: fn(&mut JetStreamSnapshot)| healthy_cluster(3).with(change);
        for (cause, snapshot) in [
            ("n-1 is unreachable", three(|all| all.lose(&["n-1"]))),
            ("n-2 is unreachable", three(|all| _ = all.servers.remove("n-2"))),
            ("n-1 has disabled JetStream", three(|all| all.server_mut("n-1").disabled = true)),
            ("n-1 is starting", three(|all| all.server_mut("n-1").meta = None)),
            ("n-1 is starting", three(|all| all.server_mut("n-1").meta = Some(RaftGroup::default()))),
        ] {
            let gap = Inventory::of(&snapshot, &names(3)).gap.unwrap().to_string();
            assert!(gap.starts_with(cause), "{gap}");
        }
        assert_eq!(Inventory::of(&healthy_cluster(1), &names(1)), Inventory::default());
        let partial = three(|all| all.lose(&["n-1"])).with_streams("n-0", [of_other_account("orders")]);
        assert!(Inventory::of(&partial, &names(3)).has_customer_stream(), "reported streams exist");
    }

    #[test]
    fn servers_are_empty_once_their_streams_are_restored() {
        let waiting = || server().in_meta_group(RaftGroup::default());
        let with_stream = || ServerSnapshot { streams: vec![stream("orders")], ..server() };
        for (expected, case, first, is_ready) in [
            (true, "one is standalone, and the other waits for it", server(), true),
            (false, "one starts", server(), false),
            (true, "both wait for a leader", waiting(), false),
            (false, "there is a stream", with_stream(), true),
        ] {
            let two = snapshot([Ok(first), Ok(waiting())]);
            assert_eq!(is_empty(&two, &names(2), |_| is_ready), expected, "{case}");
        }
        let two = snapshot([Ok(waiting()), Ok(waiting())]);
        assert!(!is_empty(&two, &names(3), |_| true), "one is missing");
    }

    #[test]
    fn largest_streams_come_first() {
        let all = inventory([stream("a").with_bytes(5), stream("b").with_bytes(7)], [stream("a").with_bytes(9)]);
        assert_eq!(all.largest_streams(1, false), [(&StreamId::new("$G", "a"), 9)]);
    }
}
