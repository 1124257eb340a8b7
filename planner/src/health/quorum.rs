//! Quorum of JetStream: a majority of the meta group that agrees on a leader.
//!
//! An unreachable server may serve, or be gone. A quorum is therefore proven, disproven or unknown. With NATS 2.14.2 a
//! dead leader's name stays with its followers for up to 10 s.

use std::time::Duration;

use super::{Assessment, IssueKind};
use crate::{
    actual::ServerMode,
    snapshot::{JetStreamSnapshot, RaftGroup, ServerSnapshot},
    time::Time,
};

/// State of the quorum, as far as the servers' answers prove it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quorum {
    /// A quorum is proven: clients can publish.
    Present,
    /// A quorum is disproven: clients cannot publish.
    Lost,
    /// Unreachable servers whose Pods are ready may form a quorum.
    Unknown,
}

/// Determines the quorum from the answers. `expected` are the servers that the configuration was built for, and
/// `is_ready` returns whether the Pod of a server is ready.
pub fn quorum(snapshot: &JetStreamSnapshot, expected: &[String], is_ready: impl Fn(&str) -> bool) -> Quorum {
    let kind = ServerMode::of(u32::try_from(expected.len()).unwrap_or(u32::MAX));
    let size = counted(snapshot, expected);
    if following(snapshot, kind) > size / 2 || is_led(snapshot) {
        return Quorum::Present;
    }
    let unreachable = expected.iter().filter(|server| snapshot.answer(server).is_none());
    let may_serve = unreachable.filter(|server| is_ready(server)).count();
    if may_serve > size / 2 { Quorum::Unknown } else { Quorum::Lost }
}

/// Returns the time since which no server can be reached; `None` if one answers. Pods may be ready nevertheless.
pub fn blind_since(assessment: &Assessment) -> Option<Time> {
    let snapshot = &assessment.snapshot;
    if snapshot.answers().next().is_some() {
        return None;
    }
    let unreachable = assessment.issues.iter().filter(|issue| matches!(issue.kind, IssueKind::Unreachable { .. }));
    unreachable.map(|issue| issue.since).max()
}

/// Returns the time since which the majority of the `expected` servers has been away, or the meta leader has been
/// missing: the earlier of both. `None` if neither is the case.
pub fn quorum_lost_since(assessment: &Assessment, expected: &[String]) -> Option<Time> {
    let leaderless = assessment.since(|issue| *issue == IssueKind::NoMetaLeader);
    let mut away: Vec<Time> = assessment
        .issues
        .iter()
        .filter(|issue| match &issue.kind {
            IssueKind::Unreachable { server } | IssueKind::Disabled { server } | IssueKind::Starting { server } => {
                expected.contains(server)
            }
            _ => false,
        })
        .map(|issue| issue.since)
        .collect();
    away.sort_unstable();
    // With one more server than these the majority is away.
    let tolerated = expected.len().saturating_sub(expected.len() / 2 + 1);
    let majority = away.get(tolerated).copied();
    leaderless.into_iter().chain(majority).min()
}

/// Returns whether an issue has lasted for `duration` or longer.
pub fn has_lasted(since: Option<Time>, now: Time, duration: Duration) -> bool {
    since.is_some_and(|since| now.since(since) >= duration)
}

fn enabled(snapshot: &JetStreamSnapshot) -> impl Iterator<Item = (&str, &ServerSnapshot)> {
    snapshot.answers().filter(|(_, server)| !server.disabled)
}

/// Returns the number of servers that JetStream counts: fewer than expected during a scale-up.
fn counted(snapshot: &JetStreamSnapshot, expected: &[String]) -> usize {
    let sizes = enabled(snapshot).filter_map(|(_, server)| server.meta.as_ref()?.size);
    sizes.max().map_or(expected.len(), |size| expected.len().min(size as usize))
}

/// Counts the answering servers that report a meta leader, or need none.
fn following(snapshot: &JetStreamSnapshot, kind: ServerMode) -> usize {
    let follows = |server: &ServerSnapshot| {
        server.meta.as_ref().map_or(kind == ServerMode::Standalone, |meta| meta.leader.is_some())
    };
    enabled(snapshot).filter(|(_, server)| follows(server)).count()
}

/// Returns whether a single answer proves a leader with a majority: a follower names another server as the leader, or
/// the leader reports a majority in sync. An old leader without followers reports no peer in sync.
fn is_led(snapshot: &JetStreamSnapshot) -> bool {
    enabled(snapshot).any(|(name, server)| match server.meta.as_ref() {
        Some(RaftGroup { leader: Some(leader), .. }) if leader != name => true,
        Some(meta) if meta.leader.is_some() => {
            let in_sync = meta.peers.iter().filter(|peer| peer.current && !peer.offline).count();
            let size = meta.size.map_or(meta.peers.len() + 1, |size| size as usize);
            in_sync + 1 > size / 2 && size > 1
        }
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        snapshot::Peer,
        testing::{Answer, actual, at, led_by, names, peer, server, snapshot, unreachable},
    };

    /// Builds the answer of a member of a meta group of three.
    #[expect(clippy::unnecessary_wraps, reason = "one answer of several")]
    fn member(meta: RaftGroup) -> Answer {
        Ok(server().in_meta_group(RaftGroup { size: Some(3), ..meta }))
    }

    /// Builds the answer of `n-0` that leads the meta group, with so many of the two others in sync.
    fn leads(in_sync: usize) -> Answer {
        let peers = ["n-1", "n-2"].iter().enumerate();
        let peers = peers.map(|(index, name)| Peer { current: index < in_sync, ..peer(name) }).collect();
        member(RaftGroup { peers, ..led_by("n-0") })
    }

    fn follows() -> Answer {
        member(led_by("n-0"))
    }

    fn no_leader() -> Answer {
        member(RaftGroup::default())
    }

    #[test]
    fn quorum_is_proven_disproven_or_unknown() {
        use Quorum::{Lost, Present, Unknown};
        let disabled = || Ok(ServerSnapshot { disabled: true, ..server() });
        let standalone = || Ok(server());
        let none = unreachable;
        for (case, answers, ready, expected) in [
            ("all follow", vec![leads(2), follows(), follows()], 3, Present),
            ("one is away", vec![leads(1), follows(), none()], 2, Present),
            ("a follower names a leader that is not reached", vec![none(), follows(), none()], 1, Present),
            ("a leader reports a follower that is not reached", vec![leads(1), none(), none()], 1, Present),
            ("an old leader has no followers", vec![leads(0), none(), none()], 1, Lost),
            ("one is reached, and the others may serve", vec![no_leader(), none(), none()], 3, Unknown),
            ("none reports a leader", vec![no_leader(), no_leader(), no_leader()], 3, Lost),
            ("two are disabled", vec![no_leader(), disabled(), disabled()], 3, Lost),
            ("none is reached, and all are ready", vec![none(), none(), none()], 3, Unknown),
            ("none is reached, and one is ready", vec![none(), none(), none()], 1, Lost),
            ("none is reached, and none is ready", vec![none(), none(), none()], 0, Lost),
            ("standalone servers are no cluster", vec![standalone(), standalone(), standalone()], 3, Lost),
            ("a standalone server", vec![standalone()], 1, Present),
            ("a standalone server that is not ready", vec![none()], 0, Lost),
            ("a standalone server that is not reached", vec![none()], 1, Unknown),
            ("two standalone servers", vec![standalone(), standalone()], 2, Present),
        ] {
            let snapshot = snapshot(answers);
            let servers: Vec<String> = snapshot.servers.keys().cloned().collect();
            let is_ready = |server: &str| names(ready).iter().any(|name| name == server);
            assert_eq!(quorum(&snapshot, &servers, is_ready), expected, "{case}");
        }
    }

    #[test]
    fn new_servers_are_counted_once_they_are_in_the_meta_group() {
        let three = snapshot([leads(0), follows(), no_leader()]);
        assert_eq!(quorum(&three, &names(7), |_| false), Quorum::Present);
    }

    #[test]
    fn loss_begins_when_the_majority_is_away() {
        let actual = actual(3);
        let polls = [
            [leads(2), follows(), follows()],
            [leads(1), follows(), unreachable()],
            [no_leader(), unreachable(), unreachable()],
            [unreachable(), unreachable(), unreachable()],
            [leads(1), follows(), unreachable()],
        ];
        let mut last: Option<Assessment> = None;
        let mut found = Vec::new();
        for (second, answers) in (1..).zip(polls) {
            let snapshot = snapshot(answers).at(second);
            let assessment = Assessment::next(last.as_ref(), Arc::new(snapshot), &actual);
            found.push((quorum_lost_since(&assessment, &actual.expected_servers()), blind_since(&assessment)));
            last = Some(assessment);
        }
        assert_eq!(found, [(None, None), (None, None), (Some(at(3)), None), (Some(at(3)), Some(at(4))), (None, None)]);
        assert!(has_lasted(Some(at(3)), at(33), Duration::from_secs(30)));
        assert!(!has_lasted(Some(at(3)), at(32), Duration::from_secs(30)) && !has_lasted(None, at(99), Duration::ZERO));
    }
}
