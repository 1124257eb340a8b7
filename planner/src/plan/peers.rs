//! Peers of the meta group that should not be there: servers that were removed, and servers of other clusters.
//!
//! JetStream counts a server that left until it is removed: with 2 of 5 peers gone for good, one more loss is the end
//! of the majority. A live one must not be removed: its JetStream would be disabled. Names are forgotten when the meta
//! leader restarts, so peers are removed by id.

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

/// A foreign server that has been away for so long does not come back by itself.
const GONE_FOR_GOOD: Duration = Duration::from_mins(2);

/// Peers that no expected server accounts for.
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
    /// Returns whether an issue is about an earlier server. The meta leader may have forgotten its name while leaders
    /// of streams know it.
    fn is_about_own(&self, issue: &IssueKind) -> bool {
        issue.server().is_some_and(|server| self.own.iter().any(|(_, peer)| peer.is(server)))
    }
}

/// Returns the unexpected peers, as the meta leader reports them; `None` without a meta leader.
pub(super) fn ghosts<'a>(input: &PlanInput<'a>, replicas: u32) -> Option<StalePeers<'a>> {
    let (leader, meta) = input.assessment()?.snapshot.meta_group()?;
    let leader = (replicas..MAX_SERVERS).map(|ordinal| input.actual.server(ordinal)).find(|server| server == leader);
    let mut ghosts = StalePeers { leader, ..StalePeers::default() };
    for peer in &meta.peers {
        match (0..MAX_SERVERS).find(|ordinal| peer.is(&input.actual.server(*ordinal))) {
            Some(ordinal) if ordinal < replicas => {}
            Some(ordinal) => ghosts.own.push((ordinal, peer)),
            None => ghosts.foreign.push(peer),
        }
    }
    Some(ghosts)
}

/// Removes peers of servers that are gone.
pub(super) fn remove(input: &PlanInput<'_>, assessment: &Assessment, ghosts: &StalePeers<'_>) -> Stage {
    if let Some(leader) = &ghosts.leader {
        let operation = Operation::new(OperationKind::ScaleDown, OperationStep::RemovePeer).at(leader);
        return Stage::Busy(
            operation.waiting_for(format!("{leader} has to stop before it is removed from the meta group")),
        );
    }
    if ghosts.own.is_empty() {
        return remove_foreign(input, assessment, ghosts);
    }
    match remove_own(input, assessment, ghosts) {
        // What it waits for may be a replica on the foreign server.
        Stage::Busy(operation) => match remove_foreign(input, assessment, ghosts) {
            act @ Stage::Act(..) => act,
            _ => Stage::Busy(operation),
        },
        stage => stage,
    }
}

/// Removes a foreign server that is gone for good.
fn remove_foreign(input: &PlanInput<'_>, assessment: &Assessment, ghosts: &StalePeers<'_>) -> Stage {
    let Some(peer) = ghosts.foreign.first() else { return Stage::Idle };
    let since = assessment.since(|issue| matches!(issue, IssueKind::UnexpectedPeer { server } if *server == peer.name));
    let is_gone = (!peer.current || peer.offline) && since.is_some_and(|since| input.now.since(since) >= GONE_FOR_GOOD);
    let is_about_it = |issue: &IssueKind| issue.server().is_some_and(|server| peer.is(server));
    let obstacle = assessment.obstacle_but(|issue| is_about_it(issue) || ghosts.is_about_own(issue));
    if is_gone && obstacle.is_none() {
        let operation = Operation::new(OperationKind::Repair, OperationStep::RemovePeer).at(&peer.name);
        return Stage::Act(Action::RemovePeers { peers: vec![reference(peer)] }, operation);
    }
    let name = if peer.name.contains(' ') { &peer.id.0 } else { &peer.name };
    Stage::Blocked(unknown_server(name))
}

/// A foreign server leads the meta group: who else is in it cannot be known.
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

/// A meta group without a leader for so long has lost its quorum.
const LOST: Duration = Duration::from_secs(30);

/// Returns the number of servers that the meta group counts, where it has lost its quorum with fewer: those that
/// stopped have to come back before they can be removed. 0 where it has not.
pub(super) fn lost_quorum(input: &PlanInput<'_>, servers: &Servers<'_>) -> u32 {
    let Some(assessment) = input.assessment() else { return 0 };
    let since = assessment.since(|issue| matches!(issue, IssueKind::NoMetaLeader));
    if servers.kind() == ServerMode::Standalone || since.is_none_or(|since| input.now.since(since) < LOST) {
        return 0;
    }
    let sizes = assessment.snapshot.answers().filter_map(|(_, answer)| answer.meta.as_ref()?.size);
    let counted = sizes.max().unwrap_or(0).min(MAX_SERVERS);
    // Only servers whose store is still there come back as the peers that they were.
    let has_store = |ordinal: u32| input.actual.pvc(ordinal).is_some_and(|pvc| !pvc.terminating);
    (servers.replicas..counted).rfind(|ordinal| has_store(*ordinal)).map_or(0, |last| last + 1)
}

fn remove_own(input: &PlanInput<'_>, assessment: &Assessment, ghosts: &StalePeers<'_>) -> Stage {
    let names: Vec<String> = ghosts.own.iter().map(|(ordinal, _)| input.actual.server(*ordinal)).collect();
    let operation = Operation::new(OperationKind::ScaleDown, OperationStep::RemovePeer)
        .at(listed(names.iter().map(String::as_str)));
    let stopping = names.iter().find(|name| input.actual.pods.iter().any(|pod| pod.name == **name));
    if let Some(name) = stopping {
        return Stage::Busy(
            operation.waiting_for(format!("{name} has to stop before it is removed from the meta group")),
        );
    }
    // That a foreign server is there is not in the way.
    let is_foreign = |issue: &IssueKind| match issue {
        IssueKind::UnexpectedPeer { server } => ghosts.foreign.iter().any(|peer| peer.is(server)),
        _ => false,
    };
    // Where they hold nothing, replicas on the others that are not in sync are not in the way either.
    let are_empty = !ghosts.own.iter().any(|(_, peer)| holds_replica(assessment, peer));
    let is_elsewhere = |issue: &IssueKind| are_empty && is_about_replica(issue);
    // The restart that ends a write error may wait for the removal: until then the stream has no quorum without it.
    let is_repaired_later = |issue: &IssueKind| {
        repair::is_write_error(issue, assessment)
            && issue.server().is_some_and(|server| assessment.keeps_messages_without(server))
    };
    let is_tolerated = |issue: &IssueKind| {
        ghosts.is_about_own(issue) || is_foreign(issue) || is_elsewhere(issue) || is_repaired_later(issue)
    };
    if let Some(cause) = assessment.obstacle_but(is_tolerated) {
        return Stage::Busy(operation.waiting_for(cause));
    }
    let peers = ghosts.own.iter().map(|(_, peer)| reference(peer)).collect();
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

/// Returns the streams of the default account that these servers do not show.
pub(super) fn not_on<'a>(assessment: &Assessment, streams: &'a BTreeSet<String>, servers: &[String]) -> Vec<&'a str> {
    let shown: BTreeSet<&str> = assessment
        .snapshot
        .replicas()
        .filter(|(server, replica)| {
            replica.stream.account == DEFAULT_ACCOUNT && servers.iter().any(|other| other == server)
        })
        .map(|(_, replica)| replica.stream.name.as_str())
        .collect();
    streams.iter().map(String::as_str).filter(|name| !shown.contains(name)).collect()
}
