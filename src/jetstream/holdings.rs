//! What JetStream holds, over all servers and accounts.

use std::collections::{BTreeMap, BTreeSet};

use nats_manager_api::Bytes;

use super::{
    contents::EVENTING_STREAM,
    look::{Look, Stream},
    whole::{Lack, is_clustered, known},
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

/// What can be seen of streams.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// What there is at least.
    pub holdings: Holdings,
    /// Why there may be more.
    pub gap: Option<String>,
}

/// What the servers hold, or who may hold more than it shows: it is silent, has switched JetStream off, or
/// starts.
pub fn holdings(look: &Look, expected: &[String]) -> Result<Holdings, Lack> {
    unknown(look, expected).map_or_else(|| Ok(shown(look)), Err)
}

/// What the servers that answer show.
pub fn shown(look: &Look) -> Holdings {
    let mut all = Holdings::default();
    let answers = look.servers.values().filter_map(|answer| answer.as_ref().ok());
    for stream in answers.flat_map(|server| &server.streams) {
        let eventing = is_eventing(stream);
        all.customer_stream |= !eventing;
        all.consumer |= eventing && stream.consumer_count > 0;
        all.highest_replicas = all.highest_replicas.max(stream.replicas);
        all.streams.insert((stream.account.clone(), stream.name.clone()));
    }
    all
}

/// A server that may hold more than it shows.
pub fn unknown(look: &Look, expected: &[String]) -> Option<Lack> {
    let mut all = expected.iter().chain(look.servers.keys());
    all.find_map(|server| known(look, server, is_clustered(expected)).err())
}

/// Whether every server says that it holds nothing. One that has a meta group has restored its streams, even
/// while it waits for a leader; one that runs alone has when it `is_ready`.
pub fn is_empty(look: &Look, expected: &[String], is_ready: impl Fn(&str) -> bool) -> bool {
    let is_empty = |server: &String| {
        let answer = look.servers.get(server).and_then(|answer| answer.as_ref().ok());
        answer.is_some_and(|answer| {
            !answer.disabled && answer.streams.is_empty() && (answer.meta.is_some() || is_ready(server))
        })
    };
    !expected.is_empty() && expected.iter().chain(look.servers.keys()).all(is_empty)
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
    use crate::jetstream::{Group, Server, Silence};

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

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|index| format!("n-{index}")).collect()
    }

    fn look(servers: Vec<Option<Vec<Stream>>>) -> Look {
        let meta = Some(Group { leader: Some("n-0".to_owned()), ..Group::default() });
        let answer = |streams| match streams {
            Some(streams) => Ok(Server { streams, meta: meta.clone(), ..Server::default() }),
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
            (
                "the same name elsewhere",
                vec![Some(vec![stream("other", "sap", 1, 1, 1)]), Some(vec![])],
                true,
                false,
                1,
            ),
        ] {
            let all = holdings(&look(servers), &names(2)).unwrap();
            assert_eq!(
                (all.customer_stream, all.consumer, all.highest_replicas),
                (customer, consumer, replicas),
                "{what}"
            );
        }
    }

    #[test]
    fn a_server_that_does_not_show_all_may_hold_anything() {
        let changed = |change: fn(&mut Server)| {
            let mut look = look(vec![Some(vec![]), Some(vec![])]);
            change(look.servers.get_mut("n-1").unwrap().as_mut().unwrap());
            look
        };
        for (why, look) in [
            ("n-1 does not answer", look(vec![Some(vec![]), None])),
            ("n-1 does not answer", look(vec![Some(vec![])])),
            ("n-1 has switched JetStream off", changed(|server| server.disabled = true)),
            ("n-1 is starting", changed(|server| server.meta = None)),
            ("n-1 is starting", changed(|server| server.meta = Some(Group::default()))),
        ] {
            let lack = holdings(&look, &names(2)).unwrap_err().to_string();
            assert!(lack.starts_with(why), "{lack}");
        }
        let alone = changed(|server| server.meta = None).servers.remove("n-1").unwrap();
        let alone = Look { servers: [("n-0".to_owned(), alone)].into() };
        assert_eq!(holdings(&alone, &names(1)), Ok(Holdings::default()), "a single server joins nobody");
    }

    #[test]
    fn what_is_shown_is_held_whoever_is_silent() {
        let look = look(vec![Some(vec![stream("other", "orders", 1, 1, 0)]), None]);
        assert!(shown(&look).customer_stream);
    }

    #[test]
    fn servers_are_empty_once_they_have_restored_what_they_have() {
        let group = |leader: Option<&str>| Some(Group { leader: leader.map(str::to_owned), ..Group::default() });
        let two = |meta: Option<Group>, streams| {
            let first = Server { meta, streams, ..Server::default() };
            let second = Server { meta: group(None), ..Server::default() };
            Look { servers: [("n-0".to_owned(), Ok(first)), ("n-1".to_owned(), Ok(second))].into() }
        };
        let orders = || vec![stream("$G", "orders", 1, 1, 0)];
        for (expected, what, look, is_ready) in [
            (true, "one runs alone, and the other waits for it", two(None, vec![]), true),
            (false, "one starts", two(None, vec![]), false),
            (true, "both wait for a leader", two(group(None), vec![]), false),
            (false, "there is a stream", two(None, orders()), true),
        ] {
            assert_eq!(is_empty(&look, &names(2), |_| is_ready), expected, "{what}");
        }
        assert!(!is_empty(&two(group(None), vec![]), &names(3), |_| true), "one is missing");
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
