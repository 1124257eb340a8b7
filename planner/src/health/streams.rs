//! Health of each stream: exactly one leader, as many replicas as configured, each with the leader's messages.

use std::collections::BTreeMap;

use super::{IssueKind, LastSequences};
use crate::snapshot::{JetStreamSnapshot, Peer, RaftGroup, StreamId, StreamReplica};

/// Health of the streams of a snapshot.
pub(super) struct StreamHealth {
    pub(super) issues: Vec<IssueKind>,
    /// Last sequence of each leader.
    pub(super) heads: LastSequences,
    /// Every replicated stream was in the earlier poll.
    pub(super) is_proven: bool,
}

/// The replicas of one stream, each with its server.
type Views<'a> = Vec<(&'a str, &'a StreamReplica)>;

/// Assesses all streams. `before` are the last sequences of their leaders in the earlier poll.
pub(super) fn assess(snapshot: &JetStreamSnapshot, before: &LastSequences) -> StreamHealth {
    let mut all = StreamHealth { issues: Vec::new(), heads: LastSequences::new(), is_proven: true };
    for (stream, views) in by_stream(snapshot) {
        if views.iter().all(|(_, replica)| replica.group.is_none()) && is_standalone(snapshot, &views) {
            continue;
        }
        all.assess(snapshot, stream, &views, before);
    }
    all
}

fn by_stream(snapshot: &JetStreamSnapshot) -> BTreeMap<&StreamId, Views<'_>> {
    let mut streams: BTreeMap<&StreamId, Views<'_>> = BTreeMap::new();
    for (server, replica) in snapshot.replicas() {
        streams.entry(&replica.stream).or_default().push((server, replica));
    }
    streams
}

fn is_standalone(snapshot: &JetStreamSnapshot, views: &Views<'_>) -> bool {
    views.iter().all(|(server, _)| snapshot.answer(server).is_some_and(|answer| answer.meta.is_none()))
}

/// Returns the servers that report themselves as leader. A server without a Raft node does so too, with no peers: it
/// counts only if there is no other.
fn leaders<'a>(views: &Views<'a>) -> Vec<(&'a str, &'a StreamReplica, &'a RaftGroup)> {
    let as_leader = |(server, replica): &(&'a str, &'a StreamReplica)| {
        let group = replica.group.as_ref()?;
        (group.leader.as_deref() == Some(*server)).then_some((*server, *replica, group))
    };
    let all: Vec<_> = views.iter().filter_map(as_leader).collect();
    let founded: Vec<_> =
        all.iter().filter(|(_, replica, group)| replica.replicas <= 1 || !group.peers.is_empty()).copied().collect();
    if founded.is_empty() { all } else { founded }
}

impl StreamHealth {
    fn assess(&mut self, snapshot: &JetStreamSnapshot, stream: &StreamId, views: &Views<'_>, before: &LastSequences) {
        let id = || stream.clone();
        for (server, _) in views.iter().filter(|(_, replica)| replica.group.is_none()) {
            self.issues.push(IssueKind::OutOfSync { stream: id(), server: (*server).to_owned() });
        }
        let (leader, replica, group) = match leaders(views).as_slice() {
            [] => {
                // An unreachable leader is an issue of the server, not of the stream.
                if !is_led_from_elsewhere(snapshot, views) {
                    self.issues.push(IssueKind::NoStreamLeader { stream: id() });
                }
                self.is_proven = false;
                return;
            }
            [only] => *only,
            _ => {
                self.issues.push(IssueKind::ConflictingLeaders { stream: id() });
                return;
            }
        };
        self.heads.insert(id(), replica.last_seq);
        let (members, configured) = (group.peers.len() + 1, replica.replicas.max(1) as usize);
        if replica.moving
            || members > configured
            || group.peers.iter().any(|peer| peer.pending)
            || views.len() > members
        {
            self.issues.push(IssueKind::Moving { stream: id() });
        } else if members < configured {
            self.issues.push(IssueKind::UnderReplicated { stream: id() });
        }
        let head = before.get(stream);
        self.is_proven &= head.is_some();
        for peer in &group.peers {
            if !is_in_sync(snapshot, views, peer, head.copied().unwrap_or(0)) {
                let server = views.iter().map(|(server, _)| *server).find(|server| peer.is(server));
                let server = server.filter(|server| *server != leader).unwrap_or(&peer.name);
                self.issues.push(IssueKind::OutOfSync { stream: id(), server: server.to_owned() });
            }
        }
    }
}

/// Returns whether a peer has the messages that the leader had before. For an unreachable server only the leader's
/// report counts.
fn is_in_sync(snapshot: &JetStreamSnapshot, views: &Views<'_>, peer: &Peer, head: u64) -> bool {
    if !peer.current || peer.offline {
        return false;
    }
    match views.iter().find(|(server, _)| peer.is(server)) {
        Some((_, replica)) => replica.last_seq >= head && replica.group.is_some(),
        None => snapshot.answer(&peer.name).is_none(),
    }
}

fn is_led_from_elsewhere(snapshot: &JetStreamSnapshot, views: &Views<'_>) -> bool {
    let leaders = || views.iter().filter_map(|(_, replica)| replica.group.as_ref()?.leader.as_deref());
    let Some(leader) = leaders().next() else { return false };
    leaders().all(|other| other == leader) && snapshot.answer(leader).is_none()
}

/// Returns whether each replicated stream keeps a majority of replicas in sync without this server.
pub(super) fn keep_quorum_without(snapshot: &JetStreamSnapshot, server: &str) -> bool {
    by_stream(snapshot).values().all(|views| {
        let all = leaders(views);
        let Some((leader, replica, group)) = all.first() else {
            return views.iter().all(|(_, replica)| replica.replicas <= 1 || replica.group.is_none());
        };
        let configured = replica.replicas.max(1) as usize;
        let others = group.peers.iter().filter(|peer| !peer.is(server) && is_in_sync(snapshot, views, peer, 0)).count();
        configured == 1 || others + usize::from(leader != &server) > (group.peers.len() + 1).max(configured) / 2
    })
}

/// Returns whether each replicated stream has its leader on another server, or a replica there with the messages that
/// the leader had before.
pub(super) fn keep_messages_without(snapshot: &JetStreamSnapshot, server: &str, before: &LastSequences) -> bool {
    by_stream(snapshot).iter().all(|(stream, views)| {
        let all = leaders(views);
        let Some((leader, replica, group)) = all.first() else { return !views.iter().any(|(name, _)| *name == server) };
        let is_complete = |peer: &Peer| before.get(stream).is_some_and(|head| is_in_sync(snapshot, views, peer, *head));
        replica.replicas <= 1 || *leader != server || group.peers.iter().any(is_complete)
    })
}
