//! Messages of diagnoses, each with the way out.

use std::{collections::BTreeSet, time::Duration};

use nats_manager_api::Reason;
use nats_manager_planner::{
    Time,
    health::{Assessment, IssueKind},
    snapshot::StreamId,
};

use super::{StatusFacts, severity::LASTING, text};

/// Servers, streams and texts of one diagnosis.
#[derive(Debug, Default)]
pub(super) struct AffectedObjects {
    pub(super) servers: Vec<String>,
    pub(super) streams: Vec<String>,
    pub(super) texts: Vec<String>,
}

/// Time after which a terminating Pod counts as stuck, since its node may be gone. The grace period is 150 s.
const STUCK_AFTER: Duration = Duration::from_mins(3);

/// Usage from which on a memory store counts as full, in percent of its limit.
const FULL_PERCENT: u64 = 90;

impl StatusFacts<'_> {
    /// Returns the message of a diagnosis.
    pub(super) fn diagnosis(&self, reason: Reason, subjects: &AffectedObjects) -> String {
        let (id, servers, texts) = (self.id, subjects.servers.join(", "), subjects.texts.join("; "));
        let streams = text::streams(&subjects.streams);
        match reason {
            Reason::ServerDisabled => format!(
                "{servers}: JetStream is disabled, mostly because the volume is full. It is enabled again when there \
                 is room: docs/user/storage.md"
            ),
            Reason::ServerNotReady => {
                format!("{texts}. See: kubectl get pods -n {} -l nats_cluster={}", id.namespace, id.name)
            }
            Reason::ServerUnreachable => format!(
                "{servers}: no response. JetStream continues with the others. See: kubectl get pods -n {} -l \
                 nats_cluster={}",
                id.namespace, id.name
            ),
            Reason::WriteError => format!(
                "{servers}: a stream replica has a write error. The server is restarted when the others are healthy."
            ),
            Reason::StreamsMissing => format!(
                "{texts}, and no server has now. Restore from a backup (nats stream restore), or create again: \
                 docs/user/troubleshooting/jetstream-not-healthy.md"
            ),
            Reason::NoStreamLeader => self.leaderless(&subjects.streams),
            Reason::ConflictingLeaders => {
                format!("More than one server leads {streams}. See: nats stream report")
            }
            Reason::NoMetaLeader => "JetStream has no meta leader: streams cannot be created or changed. The servers \
                                     must reach each other at port 6222."
                .to_owned(),
            Reason::ServerMissing => format!(
                "{servers}: running, and not in the meta group. A server that was removed can rejoin after five \
                 minutes. If it does not, restart it: kubectl delete pod POD -n {}",
                id.namespace
            ),
            Reason::UnknownServer => format!(
                "{servers}: in the meta group, and not a server of this cluster. Stop it, and remove it with the \
                 system account: nats server cluster peer-remove NAME"
            ),
            Reason::ServerUnhealthy => format!("{texts}. See: nats server report jetstream"),
            Reason::ServerStarting => format!("{servers}: starting, and without a meta leader."),
            Reason::ServerOutOfSync => {
                format!("{servers}: not in sync with the meta leader. See: nats server report jetstream")
            }
            Reason::UnderReplicated => format!("Too few servers hold {streams}. See: nats stream report"),
            Reason::ReplicaOutOfSync => format!("{servers}: stream replicas are not in sync. See: nats stream report"),
            Reason::StreamMoving => format!("Replicas move to other servers: {streams}. See: nats stream report"),
            _ => [servers, texts].concat(),
        }
    }

    /// Returns the message of streams without a leader. A full memory store is a known cause (measured with NATS
    /// 2.14.2).
    fn leaderless(&self, streams: &[String]) -> String {
        let named = text::streams(streams);
        let Some(assessment) = self.assessment() else { return format!("No leader: {named}.") };
        let full = full_memory_stores(assessment, streams);
        if full.is_empty() {
            return format!("No leader: {named}. See: nats stream report");
        }
        format!(
            "No leader: {named}. The memory store of {} is full. Raise spec.jetStream.memStorage.size: the servers \
             load it within two minutes, and the stream recovers.",
            full.join(", ")
        )
    }
}

/// Returns the servers with a full memory store that have a replica of one of these streams in memory.
fn full_memory_stores(assessment: &Assessment, streams: &[String]) -> Vec<String> {
    let is_one = |stream: &StreamId| streams.contains(&stream.to_string());
    let answers = assessment.snapshot.answers().filter(|(_, server)| {
        server.memory.percent() >= FULL_PERCENT
            && server.streams.iter().any(|replica| replica.in_memory && is_one(&replica.stream))
    });
    answers.map(|(name, _)| name.to_owned()).collect()
}

/// Returns the message of a lost quorum.
pub(super) fn quorum_lost(facts: &StatusFacts<'_>, now: Time) -> String {
    let unavailable = unavailable(facts, now);
    let way_out = match stuck(facts, now) {
        Some((_, message)) => message,
        None if unavailable.is_empty() => "The servers must reach each other at port 6222.".to_owned(),
        None => format!("Bring back: {}.", unavailable.join(", ")),
    };
    format!("JetStream accepts no messages: no majority of its servers agrees on a leader. {way_out}")
}

/// Returns the message of servers that cannot be reached.
pub(super) fn unreachable(facts: &StatusFacts<'_>) -> String {
    format!(
        "NATS Manager cannot reach the servers at their monitoring port (8222), though Pods are ready. Clients may be \
         served. Allow traffic from the Pods of NATS Manager to those of NATS in namespace {}.",
        facts.id.namespace
    )
}

/// Returns the members that have been unreachable or without JetStream for at least [`LASTING`].
pub(super) fn unavailable(facts: &StatusFacts<'_>, now: Time) -> Vec<String> {
    let members = facts.members();
    let issues = facts.assessment().map(|assessment| assessment.issues.as_slice()).unwrap_or_default();
    let servers =
        issues.iter().filter(|issue| now.since(issue.since) >= LASTING).filter_map(|issue| match &issue.kind {
            IssueKind::Unreachable { server } | IssueKind::Disabled { server } => Some(server.clone()),
            _ => None,
        });
    let names: BTreeSet<String> = servers.filter(|server| members.contains(server)).collect();
    names.into_iter().collect()
}

/// Returns a server whose Pod does not stop, and the message with the way out.
pub(super) fn stuck(facts: &StatusFacts<'_>, now: Time) -> Option<(String, String)> {
    let is_stuck = |since: Time| now.since(since) > STUCK_AFTER;
    let pod = facts.actual.pods.iter().find(|pod| pod.terminating.is_some_and(is_stuck))?;
    let (name, node) = (&pod.name, pod.node.as_deref().unwrap_or("its node"));
    let message = format!(
        "{name} does not stop: {node} may be gone. Once that node is certainly off: kubectl delete pod {name} -n {} \
         --grace-period=0 --force",
        facts.id.namespace
    );
    Some((name.clone(), message))
}
