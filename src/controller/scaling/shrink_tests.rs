use super::*;
use crate::jetstream::{Group, Peer, Server};

const NOW: i64 = 1_000_000;

pub(in super::super) fn id() -> NamespacedName {
    NamespacedName::new("kyma-system", "eventing-nats")
}

pub(in super::super) fn name(ordinal: u32) -> String {
    id().server(ordinal)
}

/// A look at servers that all answer; the first leads the meta group of `members`.
pub(in super::super) fn look(servers: u32, members: &[u32], streams: &[(&str, u32, &[u32])]) -> Look {
    let group = |own: u32, all: &[u32]| Group {
        leader: Some(name(all[0])),
        size: None,
        peers: all
            .iter()
            .filter(|member| **member != own)
            .map(|member| Peer { name: name(*member), current: true, ..Peer::default() })
            .collect(),
    };
    let server = |ordinal: u32| Server {
        meta: Some(group(ordinal, members)),
        streams: streams
            .iter()
            .filter(|(.., on)| on.contains(&ordinal))
            .map(|(stream, replicas, on)| Stream {
                account: "$G".to_owned(),
                name: (*stream).to_owned(),
                replicas: *replicas,
                group: Some(group(ordinal, on)),
                ..Stream::default()
            })
            .collect(),
        ..Server::default()
    };
    Look { servers: (0..servers).map(|ordinal| (name(ordinal), Ok(server(ordinal)))).collect() }
}

pub(in super::super) struct Case<'a> {
    pub(in super::super) sizes: (u32, u32),
    pub(in super::super) resizing: Resizing,
    pub(in super::super) pods: u32,
    pub(in super::super) look: Sight<'a>,
}

pub(in super::super) fn step(case: &Case<'_>) -> Step {
    let pods: Vec<_> =
        (0..case.pods).map(|ordinal| ServerPod { name: name(ordinal), ready: true, ..ServerPod::default() }).collect();
    step_with(case, &pods)
}

fn step_with(case: &Case<'_>, pods: &[ServerPod]) -> Step {
    next(Picture {
        id: &id(),
        deployed: case.sizes.0,
        wanted: case.sizes.1,
        resizing: case.resizing,
        now: Timestamp::from_second(NOW).unwrap(),
        pods,
        look: case.look,
    })
}

pub(in super::super) fn resizing(leaving_from: Option<u32>, removed: Option<i64>) -> Resizing {
    Resizing { leaving_from, removed_at: removed.map(|ago| NOW - ago) }
}

fn move_off(stream: &str, ordinal: u32) -> Move {
    Move { account: "$G".to_owned(), stream: stream.to_owned(), off: name(ordinal) }
}

#[test]
fn a_cluster_that_is_as_wanted_stays() {
    let seen = look(3, &[0, 1, 2], &[("sap", 3, &[0, 1, 2])]);
    for look in [Sight::Never, Sight::Not("gone"), Sight::Seen(&seen, None), Sight::Seen(&seen, Some("a copy"))] {
        assert_eq!(step(&Case { sizes: (3, 3), resizing: resizing(None, None), pods: 3, look }), Step::Stay);
    }
}

#[test]
fn a_cluster_grows_when_names_that_were_removed_may_rejoin() {
    let grow = |removed| {
        let seen = look(3, &[0, 1, 2], &[]);
        step(&Case { sizes: (3, 5), resizing: resizing(None, removed), pods: 3, look: Sight::Seen(&seen, None) })
    };
    assert_eq!(grow(None), Step::Grow { to: 5 });
    assert_eq!(grow(Some(REJOIN)), Step::Grow { to: 5 });
    let Step::Wait { reason, until } = grow(Some(10)) else { panic!("it must wait") };
    assert_eq!(until, Some(Timestamp::from_second(NOW - 10 + REJOIN).unwrap()));
    assert!(reason.contains("going on at "), "{reason}");
}

#[test]
fn servers_leave_only_with_nothing_on_them() {
    let all = [0, 1, 2, 3, 4];
    for (what, seen, lack, expected) in [
        ("there is no stream", look(5, &all, &[]), None, Step::Stop { to: 4 }),
        ("all copies are elsewhere", look(5, &all, &[("sap", 3, &[0, 1, 2])]), None, Step::Stop { to: 4 }),
        (
            "JetStream is not whole",
            look(5, &all, &[]),
            Some("a server is silent"),
            Step::Wait {
                reason: "JetStream must be whole before servers leave: a server is silent".to_owned(),
                until: None,
            },
        ),
        (
            "a stream asks for more replicas than will be left, whatever else",
            look(5, &all, &[("orders", 5, &all)]),
            Some("a server is silent"),
            Step::Hold(
                "orders asks for 5 replicas, which 3 servers cannot hold. Lower them first: nats stream edit orders --replicas 3"
                    .to_owned(),
            ),
        ),
        (
            "copies are on servers that leave",
            look(5, &all, &[("a", 3, &[1, 2, 4]), ("b", 3, &[0, 3, 4]), ("c", 3, &[0, 1, 2])]),
            None,
            Step::Move {
                lead: vec![],
                moves: vec![move_off("a", 4), move_off("b", 4)],
                reason: "moving a, b off eventing-nats-4".to_owned(),
            },
        ),
        (
            "a server that leaves leads a stream",
            look(5, &all, &[("a", 3, &[4, 1, 2]), ("b", 3, &[0, 3, 4])]),
            None,
            Step::Move {
                lead: vec!["a".to_owned()],
                moves: vec![move_off("b", 4)],
                reason: "moving a, b off eventing-nats-4".to_owned(),
            },
        ),
        (
            "the only copy is on a server that would leave, though not as the first",
            look(5, &all, &[("a", 1, &[3]), ("b", 1, &[0])]),
            None,
            Step::Hold(
                "a has its only copy on eventing-nats-3, and JetStream moves an only copy at the risk of losing it. Give it more first, and take them back after: nats stream edit a --replicas 3"
                    .to_owned(),
            ),
        ),
        (
            "several only copies are",
            look(5, &all, &[("a", 1, &[3]), ("b", 1, &[4])]),
            None,
            Step::Hold(
                "a, b have their only copies on servers that would leave, and JetStream moves an only copy at the risk of losing it. Give it more first, and take them back after: nats stream edit a --replicas 3, and so on"
                    .to_owned(),
            ),
        ),
        (
            "a copy is on its way",
            look(5, &all, &[("b", 3, &[0, 1, 2, 4])]),
            None,
            Step::Move { lead: vec![], moves: vec![], reason: "moving b off eventing-nats-4".to_owned() },
        ),
    ] {
        let case = Case { sizes: (5, 3), resizing: resizing(None, None), pods: 5, look: Sight::Seen(&seen, lack) };
        assert_eq!(step(&case), expected, "{what}");
    }
}

#[test]
fn a_stream_of_an_account_that_we_have_no_way_into_must_be_led_elsewhere_first() {
    let mut seen = look(5, &[0, 1, 2, 3, 4], &[("a", 3, &[4, 1, 2])]);
    for stream in seen.servers.values_mut().flatten().flat_map(|server| &mut server.streams) {
        "other".clone_into(&mut stream.account);
    }
    let case = Case { sizes: (5, 3), resizing: resizing(None, None), pods: 5, look: Sight::Seen(&seen, None) };
    let Step::Wait { reason, .. } = step(&case) else { panic!("it must wait") };
    assert!(reason.starts_with("a must be led by another server before eventing-nats-4 leaves"), "{reason}");
}

#[test]
fn a_server_leaves_only_while_every_pod_is_ready() {
    let seen = look(5, &[0, 1, 2, 3, 4], &[]);
    let case = Case { sizes: (5, 3), resizing: resizing(None, None), pods: 5, look: Sight::Seen(&seen, None) };
    let pod = |ordinal| ServerPod { name: name(ordinal), ready: true, ..ServerPod::default() };
    let all: Vec<ServerPod> = (0..5).map(pod).collect();
    assert_eq!(step_with(&case, &all), Step::Stop { to: 4 });
    let with = |ordinal: usize, change: fn(&mut ServerPod)| {
        let mut pods = all.clone();
        change(&mut pods[ordinal]);
        pods
    };
    for (unready, pods) in [
        (4, with(4, |pod| pod.ready = false)),
        (1, with(1, |pod| pod.ready = false)),
        (1, with(1, |pod| pod.terminating = Some(Timestamp::UNIX_EPOCH))),
        (4, all[..4].to_vec()),
    ] {
        let reason = format!("every server must be ready before one leaves: {} is not", name(unready));
        assert_eq!(step_with(&case, &pods), Step::Wait { reason, until: None });
    }
}

#[test]
fn a_server_stops_only_when_every_stream_is_seen_on_one_that_stays() {
    let seen = look(5, &[0, 1, 2, 3, 4], &[("sap", 3, &[0, 1, 2]), ("late", 1, &[4])]);
    let confirmed = |streams: &[&str], look: &Look| {
        let streams = streams.iter().map(|name| (*name).to_owned()).collect();
        let picture = Picture {
            id: &id(),
            deployed: 5,
            wanted: 3,
            resizing: resizing(None, None),
            now: Timestamp::UNIX_EPOCH,
            pods: &[],
            look: Sight::Never,
        };
        confirm(picture, 4, &streams, look)
    };
    let wait = |name: &str| Step::Wait {
        reason: format!("{name} must be on servers that stay before eventing-nats-4 leaves"),
        until: None,
    };
    assert_eq!(confirmed(&["late", "sap"], &seen), wait("late"));
    assert_eq!(confirmed(&["sap"], &seen), wait("late"), "it may be of an account that clients cannot see");
    let without = look(5, &[0, 1, 2, 3, 4], &[("sap", 3, &[0, 1, 2])]);
    assert_eq!(confirmed(&["sap"], &without), Step::Stop { to: 4 });
    assert_eq!(confirmed(&["lost", "sap"], &without), wait("lost"), "nobody shows it");
    let mut starting = without;
    starting.servers.insert(name(4), Ok(Server::default()));
    let lack = "eventing-nats-4 is starting: it knows no meta leader yet";
    let reason = format!("JetStream must be whole before servers leave: {lack}");
    assert_eq!(confirmed(&["sap"], &starting), Step::Wait { reason, until: None });
}

#[test]
fn servers_that_cannot_be_asked_stay() {
    for look in [Sight::Never, Sight::Not("no route")] {
        let step = step(&Case { sizes: (5, 3), resizing: resizing(None, None), pods: 5, look });
        assert!(matches!(step, Step::Wait { .. }), "{step:?}");
    }
}
