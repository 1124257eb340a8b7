//! Health of the meta group, which places streams.

use super::IssueKind;
use crate::snapshot::JetStreamSnapshot;

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
        // A leader that is unreachable, or no server of this cluster, proves a quorum all the same.
        if !is_led_from_elsewhere(snapshot) {
            issues.push(IssueKind::NoMetaLeader);
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

/// Returns whether a majority of the answering servers follows one leader that gave no answer.
fn is_led_from_elsewhere(snapshot: &JetStreamSnapshot) -> bool {
    let metas = || snapshot.answers().filter_map(|(_, server)| server.meta.as_ref());
    let Some(leader) = metas().find_map(|meta| meta.leader.as_deref()) else { return false };
    let following = metas().filter(|meta| meta.leader.as_deref() == Some(leader)).count();
    let size = metas().filter_map(|meta| meta.size).max().map_or(snapshot.servers.len(), |size| size as usize);
    // The leader follows itself.
    snapshot.answer(leader).is_none() && following + 1 > size / 2
}

/// Returns whether a majority of the peers is in sync without this one. True for standalone servers.
pub(super) fn keeps_quorum_without(snapshot: &JetStreamSnapshot, server: &str) -> bool {
    let Some((leader, meta)) = snapshot.meta_group() else {
        return snapshot.answers().all(|(_, answer)| answer.meta.is_none());
    };
    let in_sync = meta.peers.iter().filter(|peer| peer.current && !peer.offline && !peer.is(server)).count();
    let in_sync = in_sync + usize::from(leader != server);
    in_sync > meta.peers.len().div_ceil(2)
}
