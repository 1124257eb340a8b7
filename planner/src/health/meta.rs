//! Health of the meta group, which places streams.

use super::IssueKind;
use crate::snapshot::{JetStreamSnapshot, Peer};

/// Adds the issues of the meta group.
pub(super) fn assess(
    snapshot: &JetStreamSnapshot,
    expected: &[String],
    is_clustered: bool,
    issues: &mut Vec<IssueKind>,
) {
    if !is_clustered || expected.is_empty() {
        return;
    }
    let Some((leader, meta)) = snapshot.meta_group() else {
        // A leader that is unreachable, or not a server of this cluster, proves a quorum, too.
        match leader_elsewhere(snapshot) {
            None => issues.push(IssueKind::NoMetaLeader),
            Some(leader) if expected.iter().any(|server| server == leader) => {}
            Some(leader) => issues.push(IssueKind::UnexpectedPeer { server: leader.to_owned() }),
        }
        return;
    };
    for server in expected.iter().filter(|server| *server != leader) {
        match meta.peers.iter().find(|peer| peer.is(server)) {
            None => issues.push(IssueKind::NotInMetaGroup { server: server.clone() }),
            Some(peer) if !peer.current || peer.offline => {
                issues.push(IssueKind::MetaOutOfSync { server: server.clone() });
            }
            Some(_) => {}
        }
    }
    for peer in meta.peers.iter().filter(|peer| !expected.iter().any(|server| peer.is(server))) {
        issues.push(IssueKind::UnexpectedPeer { server: peer.name.clone() });
    }
    if !expected.iter().any(|server| server == leader) {
        issues.push(IssueKind::UnexpectedPeer { server: leader.to_owned() });
    }
}

/// Returns the leader that gave no answer, if a majority of the servers follows it.
fn leader_elsewhere(snapshot: &JetStreamSnapshot) -> Option<&str> {
    let metas = || snapshot.answers().filter_map(|(_, server)| server.meta.as_ref());
    let leader = metas().find_map(|meta| meta.leader.as_deref())?;
    let following = metas().filter(|meta| meta.leader.as_deref() == Some(leader)).count();
    let size = metas().filter_map(|meta| meta.size).max().map_or(snapshot.servers.len(), |size| size as usize);
    // The leader follows itself.
    (snapshot.answer(leader).is_none() && following + 1 > size / 2).then_some(leader)
}

/// Returns whether a majority of the peers is in sync without these servers. True for standalone servers.
pub(super) fn keeps_quorum_without(snapshot: &JetStreamSnapshot, servers: &[&str]) -> bool {
    let Some((leader, meta)) = snapshot.meta_group() else {
        return snapshot.answers().all(|(_, answer)| answer.meta.is_none());
    };
    let is_away = |peer: &Peer| !peer.current || peer.offline || servers.iter().any(|server| peer.is(server));
    let in_sync = meta.peers.iter().filter(|peer| !is_away(peer)).count();
    let in_sync = in_sync + usize::from(!servers.contains(&leader));
    in_sync > meta.peers.len().div_ceil(2)
}
