use super::*;
use crate::{
    snapshot::{Healthz, RaftGroup, StreamReplica},
    testing::{actual, at, healthy_cluster, led_by, name, peer, stream},
};

const LEADER: &str = "n-0";

/// Builds a snapshot of three healthy servers, with stream `sap` on each.
fn healthy(second: i64, last_seq: u64) -> JetStreamSnapshot {
    healthy_cluster(3).with_stream(&StreamReplica { last_seq, ..stream("sap") }).at(second)
}

/// Assesses polls in a row of so many servers.
fn assess(servers: u32, polls: impl IntoIterator<Item = JetStreamSnapshot>) -> Assessment {
    let next = |last: Option<Assessment>, poll| Some(Assessment::next(last.as_ref(), Arc::new(poll), &actual(servers)));
    polls.into_iter().fold(None, next).unwrap()
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
    let away = healthy(2, 5).with(|poll| _ = poll.servers.remove("n-1"));
    assert!(!assess(3, [healthy(0, 5), away.clone()]).is_healthy());
    assert!(!assess(3, [healthy(0, 5), away.clone(), healthy(4, 5)]).is_healthy(), "the poll before had an issue");
    assert!(assess(3, [healthy(0, 5), away.clone(), healthy(4, 5), healthy(6, 5)]).is_healthy());
    assert!(assess(3, [healthy(0, 5), away.clone(), away]).is_healthy_without(&["n-1"]));
}

#[test]
fn standalone_server_is_healthy_when_it_answers() {
    let poll = |second| healthy_cluster(1).at(second);
    assert!(assess(1, [poll(0), poll(2)]).is_healthy());
}

#[test]
fn issues_are_named() {
    let leaderless = || Some(RaftGroup::default());
    for (expected, poll) in [
        ("n-1 is unreachable", healthy(2, 5).with(|poll| poll.lose(&["n-1"]))),
        (
            "n-2 has disabled JetStream, mostly because its volume was full",
            healthy(2, 5).with(|poll| poll.server_mut("n-2").disabled = true),
        ),
        (
            "n-2 is starting and has no contact with a meta leader yet",
            healthy(2, 5).with(|poll| poll.server_mut("n-2").meta = leaderless()),
        ),
        (
            "JetStream has no meta leader",
            healthy(2, 5).with(|poll| {
                poll.answers_mut().for_each(|server| server.meta = leaderless());
            }),
        ),
        (
            "n-2 is not in the meta group",
            healthy(2, 5).with(|poll| {
                poll.server_mut(LEADER).meta_mut().peers.retain(|peer| peer.name != "n-2");
            }),
        ),
        (
            "n-1 is not in sync with the meta leader",
            healthy(2, 5).with(|poll| {
                poll.server_mut(LEADER).meta_mut().peers[0].current = false;
            }),
        ),
        (
            "stray is in the meta group and is not an expected server",
            healthy(2, 5).with(|poll| {
                poll.server_mut(LEADER).meta_mut().peers.push(peer("stray"));
            }),
        ),
        (
            "n-1 reports: JetStream is not current",
            healthy(2, 5).with(|poll| {
                poll.server_mut("n-1").healthz = Healthz::Failing("JetStream is not current".to_owned());
            }),
        ),
        (
            "replica of a stream on n-1 has a write error",
            healthy(2, 5).with(|poll| {
                poll.server_mut("n-1").healthz = Healthz::Failing("stream write error: expected sequence".to_owned());
            }),
        ),
        (
            "stream sap has no leader",
            healthy(2, 5).with(|poll| {
                poll.answers_mut().for_each(|server| server.streams[0].group_mut().leader = None);
            }),
        ),
        (
            "stream sap has more than one leader",
            healthy(2, 5).with(|poll| {
                poll.replica_mut("n-1").group_mut().leader = Some(name(1));
            }),
        ),
        (
            "stream sap is under-replicated",
            healthy(2, 5).with(|poll| {
                poll.replica_mut(LEADER).group_mut().peers.pop();
                poll.server_mut("n-2").streams.clear();
            }),
        ),
        ("stream sap is moving", healthy(2, 5).with(|poll| poll.replica_mut(LEADER).moving = true)),
        (
            "stream sap is moving",
            healthy(2, 5).with(|poll| {
                poll.answers_mut().for_each(|server| server.streams[0].replicas = 1);
            }),
        ),
        (
            "replica of stream sap on n-1 is not in sync",
            healthy(2, 5).with(|poll| {
                poll.replica_mut(LEADER).group_mut().peers[0].current = false;
            }),
        ),
        (
            "replica of stream sap on n-1 is not in sync",
            healthy(2, 9).with(|poll| poll.replica_mut("n-1").last_seq = 4),
        ),
        (
            "replica of stream sap on n-2 is not in sync",
            healthy(2, 5).with(|poll| poll.replica_mut("n-2").group = None),
        ),
    ] {
        let assessment = assess(3, [healthy(0, 5), poll]);
        assert_eq!(texts(&assessment), [expected]);
        assert!(!assessment.is_healthy());
    }
}

#[test]
fn replica_is_in_sync_with_what_the_leader_had_before() {
    let behind = |seconds, head| healthy(seconds, head).with(|poll| poll.replica_mut("n-1").last_seq = 8);
    assert!(assess(3, [healthy(0, 5), healthy(2, 8), behind(4, 12)]).is_healthy(), "it has what the leader had");
    let assessment = assess(3, [healthy(0, 5), healthy(2, 9), behind(4, 12)]);
    assert_eq!(texts(&assessment), ["replica of stream sap on n-1 is not in sync"]);
}

#[test]
fn leader_without_raft_node_is_ignored() {
    let poll = |seconds| {
        healthy(seconds, 5).with(|poll| {
            poll.replica_mut("n-2").group = Some(led_by("n-2"));
        })
    };
    assert!(texts(&assess(3, [poll(0), poll(2)])).is_empty(), "the real leader lists its peers");
}

#[test]
fn foreign_leader_is_an_unexpected_peer_and_leads() {
    let poll = healthy(2, 5).with(|poll| {
        for server in poll.answers_mut() {
            server.streams[0].group_mut().leader = Some("stray".to_owned());
            server.meta_mut().leader = Some("stray".to_owned());
        }
    });
    let texts = texts(&assess(3, [healthy(0, 5), poll]));
    assert_eq!(texts, ["stray is in the meta group and is not an expected server"], "it leads nevertheless");
}

#[test]
fn peer_without_name_is_recognised_by_its_id() {
    let poll = healthy(2, 5).with(|poll| {
        let peers = &mut poll.server_mut(LEADER).meta_mut().peers;
        for peer in peers {
            "Server name unknown at this time".clone_into(&mut peer.name);
        }
    });
    assert!(texts(&assess(3, [healthy(0, 5), poll])).is_empty());
}

#[test]
fn issue_keeps_the_time_of_the_first_poll_that_showed_it() {
    let away = |seconds| healthy(seconds, 5).with(|poll| _ = poll.servers.remove("n-1"));
    let assessment = assess(3, [healthy(0, 5), away(2), away(4), away(6)]);
    assert_eq!(assessment.since(|issue| issue.server() == Some("n-1")), Some(at(2)));
}

#[test]
fn quorum_without_a_server_counts_replicas_in_sync() {
    let one_behind = healthy(2, 5).with(|poll| {
        poll.replica_mut(LEADER).group_mut().peers[0].current = false;
    });
    let all = assess(3, [healthy(0, 5), healthy(2, 5)]);
    let behind = assess(3, [healthy(0, 5), one_behind]);
    for (server, with_all, with_one_behind) in [("n-0", true, false), ("n-1", true, true), ("n-2", true, false)] {
        assert_eq!(all.keeps_quorum_without(server), with_all, "{server}");
        assert_eq!(behind.keeps_quorum_without(server), with_one_behind, "{server}");
    }
    let foreign = |seconds| {
        healthy(seconds, 5).with(|poll| {
            poll.server_mut(LEADER).meta_mut().peers.push(peer("stray"));
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
