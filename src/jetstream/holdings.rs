//! What JetStream holds, over all servers and accounts.

use std::collections::{BTreeMap, BTreeSet};

use nats_manager_api::Bytes;

use super::{
    contents::EVENTING_STREAM,
    look::{Look, Stream},
};

/// The account of clients without credentials.
pub const DEFAULT_ACCOUNT: &str = "$G";

/// What there is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// The streams, each with its account.
    pub streams: BTreeSet<(String, String)>,
    /// Whether there is a stream other than Eventing's.
    pub customer_stream: bool,
    /// Whether Eventing's stream has a consumer.
    pub consumer: bool,
    /// The highest number of replicas that a stream asks for; 0 without streams.
    pub highest_replicas: u32,
}

/// What the servers hold. None if one is silent: it may hold anything.
pub fn holdings(look: &Look) -> Option<Holdings> {
    let mut all = Holdings::default();
    for answer in look.servers.values() {
        // One that switched JetStream off shows nothing of what it holds.
        for stream in &answer.as_ref().ok().filter(|server| !server.disabled)?.streams {
            let eventing = is_eventing(stream);
            all.customer_stream |= !eventing;
            all.consumer |= eventing && stream.consumer_count > 0;
            all.highest_replicas = all.highest_replicas.max(stream.replicas);
            all.streams.insert((stream.account.clone(), stream.name.clone()));
        }
    }
    (!look.servers.is_empty()).then_some(all)
}

/// The largest streams on files, by the size of a copy.
pub fn largest_streams(look: &Look, count: usize) -> Vec<(String, Bytes)> {
    let mut sizes: BTreeMap<(&str, &str), Bytes> = BTreeMap::new();
    let answers = look.servers.values().filter_map(|answer| answer.as_ref().ok());
    for stream in answers.flat_map(|server| &server.streams).filter(|stream| !stream.in_memory) {
        let size = sizes.entry((&stream.account, &stream.name)).or_default();
        *size = (*size).max(stream.size);
    }
    let mut all: Vec<(String, Bytes)> = sizes.into_iter().map(|((_, name), size)| (name.to_owned(), size)).collect();
    all.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
    all.truncate(count);
    all
}

fn is_eventing(stream: &Stream) -> bool {
    stream.account == DEFAULT_ACCOUNT && stream.name == EVENTING_STREAM
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jetstream::{Server, Silence};

    fn stream(account: &str, name: &str, replicas: u32, size: u64, consumer_count: u64) -> Stream {
        Stream {
            account: account.to_owned(),
            name: name.to_owned(),
            replicas,
            size: Bytes::new(size),
            consumer_count,
            ..Stream::default()
        }
    }

    fn look(servers: Vec<Option<Vec<Stream>>>) -> Look {
        let answer = |streams| match streams {
            Some(streams) => Ok(Server { streams, ..Server::default() }),
            None => Err(Silence("no route".to_owned())),
        };
        Look { servers: servers.into_iter().enumerate().map(|(i, s)| (format!("n-{i}"), answer(s))).collect() }
    }

    #[test]
    fn holdings_are_those_of_all_servers_and_accounts() {
        let sap = |consumers| stream("$G", "sap", 3, 5, consumers);
        for (what, servers, customer, consumer, replicas) in [
            ("nothing", vec![Some(vec![]), Some(vec![])], false, false, 0),
            ("Eventing's stream alone", vec![Some(vec![sap(0)]), Some(vec![sap(0)])], false, false, 3),
            ("with a consumer", vec![Some(vec![sap(0)]), Some(vec![sap(1)])], false, true, 3),
            ("another", vec![Some(vec![sap(0)]), Some(vec![stream("$G", "orders", 5, 1, 0)])], true, false, 5),
            ("the same name elsewhere", vec![Some(vec![stream("other", "sap", 1, 1, 1)])], true, false, 1),
        ] {
            let all = holdings(&look(servers)).unwrap();
            assert_eq!(
                (all.customer_stream, all.consumer, all.highest_replicas),
                (customer, consumer, replicas),
                "{what}"
            );
        }
    }

    #[test]
    fn a_silent_server_may_hold_anything() {
        assert_eq!(holdings(&look(vec![Some(vec![]), None])), None);
        assert_eq!(holdings(&look(vec![])), None);
    }

    #[test]
    fn the_largest_streams_come_first() {
        let servers = vec![
            Some(vec![stream("$G", "a", 3, 5, 0), stream("$G", "b", 1, 7, 0)]),
            Some(vec![stream("$G", "a", 3, 9, 0)]),
        ];
        let largest = largest_streams(&look(servers), 1);
        assert_eq!(largest, [("a".to_owned(), Bytes::new(9))]);
    }
}
