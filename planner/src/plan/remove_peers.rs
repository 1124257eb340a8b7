//! Peers of the meta group that should not be there: servers that were removed, and servers of other clusters.
//!
//! JetStream counts a stopped server until its peer is removed: with 2 of 5 peers gone for good, one more loss is the
//! end of the majority. The peer of a running server must not be removed: its JetStream would be disabled. A meta
//! leader that restarts drops the names of stopped peers, so peers are removed by id.

use std::{collections::BTreeSet, time::Duration};

use super::{
    Action, Blocked, BlockedReason, Operation, OperationKind, OperationStep, PeerRef, PlanInput, Stage,
    existing::Servers, repair, text::listed,
};
use crate::{
    actual::{MAX_SERVERS, ServerMode},
    health::{Assessment, IssueKind},
    snapshot::{DEFAULT_ACCOUNT, Peer},
};

/// Time after which a foreign server that is away counts as gone for good.
const GONE_FOR_GOOD: Duration = Duration::from_mins(2);

/// Peers that belong to no expected server.
#[derive(Debug, Default)]
pub(super) struct StalePeers<'a> {
    /// Earlier servers of this cluster, with their ordinals.
    pub(super) own: Vec<(u32, &'a Peer)>,
    /// Servers of other clusters.
    pub(super) foreign: Vec<&'a Peer>,
    /// The meta leader itself, if it is an earlier server of this cluster.
    pub(super) leader: Option<String>,
}

impl StalePeers<'_> {
    /// Returns whether an issue is about an earlier server. Leaders of streams may report its name while the meta
    /// leader does not have it.
    fn is_about_own(&self, issue: &IssueKind) -> bool {
        issue.server().is_some_and(|server| self.own.iter().any(|(_, peer)| peer.is(server)))
    }
}

/// Returns the unexpected peers, as the meta leader reports them; `None` without a meta leader.
pub(super) fn stale_peers<'a>(input: &PlanInput<'a>, replicas: u32) -> Option<StalePeers<'a>> {
    let (leader, meta) = input.assessment()?.snapshot.meta_group()?;
    let leader = (replicas..MAX_SERVERS).map(|ordinal| input.actual.server(ordinal)).find(|server| server == leader);
    let mut stale = StalePeers { leader, ..StalePeers::default() };
    for peer in &meta.peers {
        match (0..MAX_SERVERS).find(|ordinal| peer.is(&input.actual.server(*ordinal))) {
            Some(ordinal) if ordinal < replicas => {}
            Some(ordinal) => stale.own.push((ordinal, peer)),
            None => stale.foreign.push(peer),
        }
    }
    Some(stale)
}

/// Removes peers of servers that are gone.
pub(super) fn remove(input: &PlanInput<'_>, assessment: &Assessment, stale: &StalePeers<'_>) -> Stage {
    if let Some(leader) = &stale.leader {
        let operation = Operation::new(OperationKind::ScaleDown, OperationStep::RemovePeer).at(leader);
        return Stage::Busy(
            operation.waiting_for(format!("{leader} has to stop before it is removed from the meta group")),
        );
    }
    if stale.own.is_empty() {
        return remove_foreign(input, assessment, stale);
    }
    match remove_own(input, assessment, stale) {
        // It may wait for a replica on the foreign server.
        Stage::Busy(operation) => match remove_foreign(input, assessment, stale) {
            act @ Stage::Act(..) => act,
            _ => Stage::Busy(operation),
        },
        other => other,
    }
}

/// Removes a foreign server that is gone for good.
fn remove_foreign(input: &PlanInput<'_>, assessment: &Assessment, stale: &StalePeers<'_>) -> Stage {
    let Some(peer) = stale.foreign.first() else { return Stage::Idle };
    let since = assessment.since(|issue| matches!(issue, IssueKind::UnexpectedPeer { server } if *server == peer.name));
    let is_gone = (!peer.current || peer.offline) && since.is_some_and(|since| input.now.since(since) >= GONE_FOR_GOOD);
    let is_about_it = |issue: &IssueKind| issue.server().is_some_and(|server| peer.is(server));
    let obstacle = assessment.obstacle_but(|issue| is_about_it(issue) || stale.is_about_own(issue));
    if is_gone && obstacle.is_none() {
        let operation = Operation::new(OperationKind::Repair, OperationStep::RemovePeer).at(&peer.name);
        return Stage::Act(Action::RemovePeers { peers: vec![reference(peer)] }, operation);
    }
    let name = if peer.name.contains(' ') { &peer.id.0 } else { &peer.name };
    Stage::Blocked(unknown_server(name))
}

/// Returns a blocked change if a foreign server leads the meta group. Its other peers are unknown then.
pub(super) fn foreign_leader(input: &PlanInput<'_>, assessment: &Assessment) -> Stage {
    let own = || (0..MAX_SERVERS).map(|ordinal| input.actual.server(ordinal));
    let leader = assessment.issues.iter().find_map(|issue| match &issue.kind {
        IssueKind::UnexpectedPeer { server } => Some(server),
        _ => None,
    });
    match leader {
        Some(leader) if !own().any(|server| server == *leader) => Stage::Blocked(unknown_server(leader)),
        _ => Stage::Idle,
    }
}

fn unknown_server(name: &str) -> Blocked {
    Blocked::new(
        BlockedReason::UnknownServer,
        format!(
            "server {name} is in the meta group and does not belong to this cluster. Stop it, and remove it with the \
             system account: nats server cluster peer-remove {name}"
        ),
    )
}

/// Time after which a meta group without a leader has lost its quorum.
const LOST: Duration = Duration::from_secs(30);

/// Returns the number of servers that the meta group counts, if it has lost its quorum with fewer: stopped servers have
/// to run again before their peers can be removed. 0 if it has a quorum.
pub(super) fn lost_quorum(input: &PlanInput<'_>, servers: &Servers<'_>) -> u32 {
    let Some(assessment) = input.assessment() else { return 0 };
    let since = assessment.since(|issue| matches!(issue, IssueKind::NoMetaLeader));
    if servers.kind() == ServerMode::Standalone || since.is_none_or(|since| input.now.since(since) < LOST) {
        return 0;
    }
    let sizes = assessment.snapshot.answers().filter_map(|(_, answer)| answer.meta.as_ref()?.size);
    let counted = sizes.max().unwrap_or(0).min(MAX_SERVERS);
    // Only servers whose store still exists rejoin as the same peers.
    let has_store = |ordinal: u32| input.actual.pvc(ordinal).is_some_and(|pvc| !pvc.terminating);
    (servers.replicas..counted).rfind(|ordinal| has_store(*ordinal)).map_or(0, |last| last + 1)
}

fn remove_own(input: &PlanInput<'_>, assessment: &Assessment, stale: &StalePeers<'_>) -> Stage {
    let names: Vec<String> = stale.own.iter().map(|(ordinal, _)| input.actual.server(*ordinal)).collect();
    let operation = Operation::new(OperationKind::ScaleDown, OperationStep::RemovePeer)
        .at(listed(names.iter().map(String::as_str)));
    let stopping = names.iter().find(|name| input.actual.pods.iter().any(|pod| pod.name == **name));
    if let Some(name) = stopping {
        return Stage::Busy(
            operation.waiting_for(format!("{name} has to stop before it is removed from the meta group")),
        );
    }
    // A foreign server does not prevent the removal, nor does one that is about to be restored.
    let is_other_peer = |issue: &IssueKind| matches!(issue, IssueKind::UnexpectedPeer { .. });
    // If these peers have no replicas, replicas on other servers that are not in sync do not prevent it either.
    let are_empty = !stale.own.iter().any(|(_, peer)| holds_replica(assessment, peer));
    let is_elsewhere = |issue: &IssueKind| are_empty && is_about_replica(issue);
    // The restart that ends a write error may wait for the removal: until then the stream keeps no quorum without it.
    let is_repaired_later = |issue: &IssueKind| {
        repair::is_write_error(issue, assessment)
            && issue.server().is_some_and(|server| assessment.keeps_messages_without(server))
    };
    let is_tolerated = |issue: &IssueKind| {
        stale.is_about_own(issue) || is_other_peer(issue) || is_elsewhere(issue) || is_repaired_later(issue)
    };
    if let Some(cause) = assessment.obstacle_but(is_tolerated) {
        return Stage::Busy(operation.waiting_for(cause));
    }
    let peers = stale.own.iter().map(|(_, peer)| reference(peer)).collect();
    Stage::Act(Action::RemovePeers { peers }, operation)
}

/// Returns whether a stream lists this peer among its replicas.
fn holds_replica(assessment: &Assessment, peer: &Peer) -> bool {
    let mut groups = assessment.snapshot.replicas().filter_map(|(_, replica)| replica.group.as_ref());
    groups.any(|group| group.peers.iter().any(|other| peer.is(&other.name) || other.id == peer.id))
}

fn is_about_replica(issue: &IssueKind) -> bool {
    matches!(issue, IssueKind::OutOfSync { .. } | IssueKind::WriteError { .. } | IssueKind::Unhealthy { .. })
}

fn reference(peer: &Peer) -> PeerRef {
    PeerRef { name: peer.name.clone(), id: peer.id.clone() }
}

/// Returns the streams of the default account without a replica on any of these servers.
pub(super) fn missing_on<'a>(
    assessment: &Assessment,
    streams: &'a BTreeSet<String>,
    servers: &[String],
) -> Vec<&'a str> {
    let present: BTreeSet<&str> = assessment
        .snapshot
        .replicas()
        .filter(|(server, replica)| {
            replica.stream.account == DEFAULT_ACCOUNT && servers.iter().any(|other| other == server)
        })
        .map(|(_, replica)| replica.stream.name.as_str())
        .collect();
    streams.iter().map(String::as_str).filter(|name| !present.contains(name)).collect()
}
