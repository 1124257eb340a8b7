use super::*;
use crate::{
    actual::StatefulSetState,
    snapshot::{Healthz, Peer, PeerId, RaftGroup, ServerSnapshot, StreamReplica, Unreachable},
};

const LEADER: &str = "n-0";

fn name(ordinal: u32) -> String {
    format!("n-{ordinal}")
}

fn actual(replicas: u32) -> ActualState {
    let set = StatefulSetState { replicas, ..StatefulSetState::default() };
    ActualState { name: "n".to_owned(), stateful_set: Some(set), ..ActualState::default() }
}

fn peer(name: &str, current: bool) -> Peer {
    Peer { name: name.to_owned(), id: PeerId::of(name), current, ..Peer::default() }
}

/// Builds the group that `own` reports: only the leader reports the progress of the others.
fn group(own: &str, servers: u32) -> RaftGroup {
    let others = (0..servers).map(name).filter(|other| other != own);
    let peers = others.map(|other| peer(&other, own == LEADER || other == LEADER)).collect();
    RaftGroup { leader: Some(LEADER.to_owned()), size: None, peers }
}

fn replica(own: &str, replicas: u32, last_seq: u64) -> StreamReplica {
    StreamReplica {
        stream: StreamId::new("$G", "sap"),
        replicas,
        last_seq,
        group: Some(group(own, replicas)),
        ..StreamReplica::default()
    }
}

fn server(own: &str, last_seq: u64) -> ServerSnapshot {
    ServerSnapshot {
        healthz: Healthz::Ok,
        meta: Some(RaftGroup { size: Some(3), ..group(own, 3) }),
        streams: vec![replica(own, 3, last_seq)],
        ..ServerSnapshot::default()
    }
}

/// Builds a snapshot of three healthy servers, with stream `sap` on each.
fn healthy(seconds: i64, last_seq: u64) -> JetStreamSnapshot {
    let servers = (0..3).map(|ordinal| (name(ordinal), Ok(server(&name(ordinal), last_seq)))).collect();
    JetStreamSnapshot { taken_at: Time::from_millis(seconds * 1000), servers }
}

/// Assesses polls in a row of so many servers.
fn assess(servers: u32, polls: impl IntoIterator<Item = JetStreamSnapshot>) -> Assessment {
    let next = |last: Option<Assessment>, poll| Some(Assessment::next(last.as_ref(), Arc::new(poll), &actual(servers)));
    polls.into_iter().fold(None, next).unwrap()
}

fn changed(
    seconds: i64,
    last_seq: u64,
    change: impl Fn(&mut BTreeMap<String, Result<ServerSnapshot, Unreachable>>),
) -> JetStreamSnapshot {
    let mut snapshot = healthy(seconds, last_seq);
    change(&mut snapshot.servers);
    snapshot
}

fn answer<'a>(
    servers: &'a mut BTreeMap<String, Result<ServerSnapshot, Unreachable>>,
    name: &str,
) -> &'a mut ServerSnapshot {
    servers.get_mut(name).unwrap().as_mut().unwrap()
}

fn texts(assessment: &Assessment) -> Vec<String> {
    assessment.issues.iter().map(|issue| issue.kind.to_string()).collect()
}

#[test]
fn cluster_is_healthy_in_the_second_poll_without_issues() {
    assert!(!assess(3, [healthy(0, 5)]).is_healthy(), "one poll proves nothing");
    assert!(assess(3, [healthy(0, 5), healthy(2, 9)]).is_healthy());
    let too_close = [healthy(0, 5), JetStreamSnapshot { taken_at: Time::from_millis(100), ..healthy(0, 5) }];
    assert!(!assess(3, too_close).is_healthy(), "polls that are too close count as one");
    let away = changed(2, 5, |servers| _ = servers.remove("n-1"));
    assert!(!assess(3, [healthy(0, 5), away.clone()]).is_healthy());
    assert!(!assess(3, [healthy(0, 5), away.clone(), healthy(4, 5)]).is_healthy(), "the poll before had an issue");
    assert!(assess(3, [healthy(0, 5), away.clone(), healthy(4, 5), healthy(6, 5)]).is_healthy());
    assert!(assess(3, [healthy(0, 5), away.clone(), away]).is_healthy_without(&["n-1"]));
}

#[test]
fn standalone_server_is_healthy_when_it_answers() {
    let answer = || ServerSnapshot { healthz: Healthz::Ok, ..ServerSnapshot::default() };
    let poll = |seconds: i64| JetStreamSnapshot {
        taken_at: Time::from_millis(seconds * 1000),
        servers: [(name(0), Ok(answer()))].into(),
    };
    assert!(assess(1, [poll(0), poll(2)]).is_healthy());
}

#[test]
fn issues_are_named() {
    let away = || Err(Unreachable("no route".to_owned()));
    let leaderless = || Some(RaftGroup::default());
    for (expected, poll) in [
        ("n-1 is unreachable", changed(2, 5, |servers| _ = servers.insert(name(1), away()))),
        (
            "n-2 has disabled JetStream, mostly because its volume was full",
            changed(2, 5, |servers| answer(servers, "n-2").disabled = true),
        ),
        (
            "n-2 is starting and knows no meta leader yet",
            changed(2, 5, |servers| answer(servers, "n-2").meta = leaderless()),
        ),
        (
            "JetStream has no meta leader",
            changed(2, 5, |servers| {
                (0..3).for_each(|ordinal| answer(servers, &name(ordinal)).meta = leaderless());
            }),
        ),
        (
            "n-2 is not in the meta group",
            changed(2, 5, |servers| {
                answer(servers, LEADER).meta.as_mut().unwrap().peers.retain(|peer| peer.name != "n-2");
            }),
        ),
        (
            "n-1 is not in sync with the meta leader",
            changed(2, 5, |servers| {
                answer(servers, LEADER).meta.as_mut().unwrap().peers[0].current = false;
            }),
        ),
        (
            "stray is in the meta group and is not an expected server",
            changed(2, 5, |servers| {
                answer(servers, LEADER).meta.as_mut().unwrap().peers.push(peer("stray", true));
            }),
        ),
        (
            "n-1 reports: JetStream is not current",
            changed(2, 5, |servers| {
                answer(servers, "n-1").healthz = Healthz::Failing("JetStream is not current".to_owned());
            }),
        ),
        (
            "replica of a stream on n-1 has a write error",
            changed(2, 5, |servers| {
                answer(servers, "n-1").healthz = Healthz::Failing("stream write error: expected sequence".to_owned());
            }),
        ),
        (
            "stream sap has no leader",
            changed(2, 5, |servers| {
                (0..3).for_each(|ordinal| {
                    answer(servers, &name(ordinal)).streams[0].group.as_mut().unwrap().leader = None;
                });
            }),
        ),
        (
            "stream sap has more than one leader",
            changed(2, 5, |servers| {
                answer(servers, "n-1").streams[0].group.as_mut().unwrap().leader = Some(name(1));
            }),
        ),
        (
            "stream sap is under-replicated",
            changed(2, 5, |servers| {
                answer(servers, LEADER).streams[0].group.as_mut().unwrap().peers.pop();
                answer(servers, "n-2").streams.clear();
            }),
        ),
        ("stream sap is moving", changed(2, 5, |servers| answer(servers, LEADER).streams[0].moving = true)),
        (
            "stream sap is moving",
            changed(2, 5, |servers| {
                (0..3).for_each(|ordinal| answer(servers, &name(ordinal)).streams[0].replicas = 1);
            }),
        ),
        (
            "replica of stream sap on n-1 is not in sync",
            changed(2, 5, |servers| {
                answer(servers, LEADER).streams[0].group.as_mut().unwrap().peers[0].current = false;
            }),
        ),
        (
            "replica of stream sap on n-1 is not in sync",
            changed(2, 9, |servers| answer(servers, "n-1").streams[0].last_seq = 4),
        ),
        (
            "replica of stream sap on n-2 is not in sync",
            changed(2, 5, |servers| answer(servers, "n-2").streams[0].group = None),
        ),
    ] {
        let assessment = assess(3, [healthy(0, 5), poll]);
        assert_eq!(texts(&assessment), [expected]);
        assert!(!assessment.is_healthy());
    }
}

#[test]
fn replica_is_in_sync_with_what_the_leader_had_before() {
    let behind = |seconds, head| changed(seconds, head, |servers| answer(servers, "n-1").streams[0].last_seq = 8);
    assert!(assess(3, [healthy(0, 5), healthy(2, 8), behind(4, 12)]).is_healthy(), "it has what the leader had");
    let assessment = assess(3, [healthy(0, 5), healthy(2, 9), behind(4, 12)]);
    assert_eq!(texts(&assessment), ["replica of stream sap on n-1 is not in sync"]);
}

#[test]
fn leader_without_raft_node_is_ignored() {
    let poll = |seconds| {
        changed(seconds, 5, |servers| {
            let group = RaftGroup { leader: Some(name(2)), ..RaftGroup::default() };
            answer(servers, "n-2").streams[0].group = Some(group);
        })
    };
    assert!(texts(&assess(3, [poll(0), poll(2)])).is_empty(), "the real leader lists its peers");
}

#[test]
fn foreign_leader_is_an_unexpected_peer_and_leads() {
    let poll = changed(2, 5, |servers| {
        for ordinal in 0..3 {
            let own = answer(servers, &name(ordinal));
            own.streams[0].group.as_mut().unwrap().leader = Some("stray".to_owned());
            own.meta.as_mut().unwrap().leader = Some("stray".to_owned());
        }
    });
    let texts = texts(&assess(3, [healthy(0, 5), poll]));
    assert_eq!(texts, ["stray is in the meta group and is not an expected server"], "it leads nevertheless");
}

#[test]
fn peer_without_name_is_recognised_by_its_id() {
    let poll = changed(2, 5, |servers| {
        let peers = &mut answer(servers, LEADER).meta.as_mut().unwrap().peers;
        for peer in peers {
            "Server name unknown at this time".clone_into(&mut peer.name);
        }
    });
    assert!(texts(&assess(3, [healthy(0, 5), poll])).is_empty());
}

#[test]
fn issue_keeps_the_time_of_the_first_poll_that_showed_it() {
    let away = |seconds| changed(seconds, 5, |servers| _ = servers.remove("n-1"));
    let assessment = assess(3, [healthy(0, 5), away(2), away(4), away(6)]);
    assert_eq!(assessment.since(|issue| issue.server() == Some("n-1")), Some(Time::from_millis(2000)));
}

#[test]
fn quorum_without_a_server_counts_replicas_in_sync() {
    let one_behind = changed(2, 5, |servers| {
        answer(servers, LEADER).streams[0].group.as_mut().unwrap().peers[0].current = false;
    });
    let all = assess(3, [healthy(0, 5), healthy(2, 5)]);
    let behind = assess(3, [healthy(0, 5), one_behind]);
    for (server, with_all, with_one_behind) in [("n-0", true, false), ("n-1", true, true), ("n-2", true, false)] {
        assert_eq!(all.keeps_quorum_without(server), with_all, "{server}");
        assert_eq!(behind.keeps_quorum_without(server), with_one_behind, "{server}");
    }
    let foreign = |seconds| {
        changed(seconds, 5, |servers| {
            answer(servers, LEADER).meta.as_mut().unwrap().peers.push(peer("stray", true));
        })
    };
    let with_foreign = assess(3, [foreign(0), foreign(2)]);
    assert!(!with_foreign.keeps_quorum_without("n-1"), "3 of 4 have to stay, and the foreign one may go");
}

#[test]
fn summary_names_three_issues_and_no_count() {
    let all: Vec<IssueKind> = (0..9).map(|ordinal| IssueKind::Disabled { server: name(ordinal) }).collect();
    let text = summary(&all).unwrap();
    assert!(text.contains("n-2") && !text.contains("n-3") && text.ends_with("; and more"), "{text}");
    assert_eq!(summary(&[]), None);
}
