//! What is wrong with JetStream, the worst first, each with the way out, in texts that stay the same while it lasts.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use nats_manager_api::{ConditionType, Reason};
use nats_manager_planner::{
    Time,
    actual::PodState,
    health::{Assessment, Issue, IssueKind},
    snapshot::{Healthz, StreamId},
};

pub(super) use super::severity::LASTING;
use super::{
    Facts,
    available::Serving,
    severity::{Patience, WHATEVER_IS_IN_PROGRESS, rank, reason},
    text,
    update::{Update, time},
};

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    /// Its kind.
    pub(super) reason: Reason,
    /// What it is, and the way out.
    pub(super) message: String,
}

/// A Pod that takes longer to stop is on a node that is gone: its grace period is 150 s.
const STUCK_AFTER: Duration = Duration::from_mins(3);

/// A memory store counts as full from this share of its limit on, in percent.
const FULL: u64 = 90;

/// What each server or stream is in trouble for, by reason.
#[derive(Debug, Default)]
struct Subjects {
    servers: Vec<String>,
    streams: Vec<String>,
    texts: Vec<String>,
}

/// The search for troubles.
pub(super) struct Search<'a> {
    facts: &'a Facts<'a>,
    now: Time,
    patience: Patience,
    /// The old message of the condition: texts of servers stay as they stand there.
    old: Option<&'a str>,
    /// The condition `StatefulSet` has been False since then.
    pending_since: Option<Time>,
    found: BTreeMap<usize, (Reason, Subjects)>,
    /// Servers that a worse trouble names.
    named: BTreeSet<String>,
}

impl<'a> Search<'a> {
    pub(super) fn new(update: &Update<'a>, facts: &'a Facts<'a>, patience: Patience) -> Self {
        let old = update.old.condition(ConditionType::JetStream).filter(|known| known.status == "False");
        let pending = update.old.condition(ConditionType::StatefulSet).filter(|known| known.status == "False");
        Self {
            facts,
            now: update.now,
            patience,
            old: old.map(|known| known.message.as_str()),
            pending_since: pending.filter(|_| update.was_ready()).map(|known| time(&known.last_transition_time)),
            found: BTreeMap::new(),
            named: BTreeSet::new(),
        }
    }

    /// Returns the troubles, the worst first.
    pub(super) fn run(mut self) -> Vec<Trouble> {
        let mut all = Vec::new();
        let has_quorum = Serving::of(self.facts, self.now) != Serving::No;
        if !has_quorum {
            let away = away(self.facts, self.now).into_iter();
            self.named = away.filter(|server| self.cause(server).is_none()).collect();
            all.push(Trouble { reason: Reason::QuorumLost, message: quorum_lost(self.facts, self.now) });
        } else if let Some((server, message)) = stuck(self.facts, self.now) {
            self.named.insert(server);
            all.push(Trouble { reason: Reason::ServerStuck, message });
        }
        self.not_ready();
        self.issues(has_quorum);
        self.missing();
        let found = std::mem::take(&mut self.found).into_values();
        all.extend(found.map(|(reason, subjects)| Trouble { reason, message: self.message(reason, &subjects) }));
        all.extend(self.terminating());
        all
    }

    fn add(&mut self, reason: Reason) -> &mut Subjects {
        &mut self.found.entry(rank(reason)).or_insert_with(|| (reason, Subjects::default())).1
    }

    /// Issues of the polls, the worst first, so that each server is named for its worst issue alone.
    fn issues(&mut self, has_quorum: bool) {
        let Some(assessment) = self.facts.assessment() else { return };
        let has_lasted = |issue: &&Issue| self.now.since(issue.since) >= self.patience.with(reason(&issue.kind));
        let mut issues: Vec<&IssueKind> =
            assessment.issues.iter().filter(has_lasted).map(|issue| &issue.kind).collect();
        issues.sort_by_key(|issue| rank(reason(issue)));
        // Without a quorum no stream has a leader, and a cluster that is being formed has no meta leader.
        let is_leaderless = !has_quorum || self.facts.is_forming();
        for issue in issues {
            let reason = reason(issue);
            if is_leaderless && matches!(reason, Reason::NoMetaLeader | Reason::NoStreamLeader) {
                continue;
            }
            match (issue, issue.server()) {
                (_, Some(server)) if self.named.contains(server) => {}
                (IssueKind::OutOfSync { server, .. }, _) => self.server(reason, server),
                (IssueKind::Unhealthy { server, text }, _) => {
                    self.named.insert(server.clone());
                    self.text(reason, &format!("{server} reports: "), text);
                }
                // Reported as not ready, with the cause.
                (IssueKind::Unreachable { server }, _) if self.cause(server).is_some() => {}
                (_, Some(server)) => {
                    self.named.insert(server.to_owned());
                    self.server(reason, server);
                }
                (_, None) => {
                    let stream = issue.stream().map(ToString::to_string);
                    self.add(reason).streams.extend(stream);
                }
            }
        }
    }

    fn server(&mut self, reason: Reason, server: &str) {
        let subjects = self.add(reason);
        if !subjects.servers.iter().any(|known| known == server) {
            subjects.servers.push(server.to_owned());
        }
    }

    /// A text of a server, with the figures that it had before.
    fn text(&mut self, reason: Reason, prefix: &str, text: &str) {
        let text = text::steady(self.old, prefix, text.trim_end_matches('.'));
        self.add(reason).texts.push(format!("{prefix}{text}"));
    }

    /// Servers whose Pod is not ready, with the cause. Those without a cause that give no answer are unreachable.
    fn not_ready(&mut self) {
        let issues = self.facts.assessment().map(|assessment| assessment.issues.as_slice()).unwrap_or_default();
        for ordinal in 0..self.facts.applied.desired {
            let server = self.facts.actual.server(ordinal);
            let is_unreachable = issues.iter().any(
                |issue| matches!(&issue.kind, IssueKind::Unreachable { server: unreachable } if *unreachable == server),
            );
            let pod = self.facts.actual.pod(ordinal);
            if !self.is_not_ready(pod) || self.named.contains(&server) {
                continue;
            }
            match self.cause(&server) {
                Some(cause) => self.text(Reason::ServerNotReady, &format!("{server} is not ready: "), &cause),
                None if is_unreachable => continue,
                None => self.add(Reason::ServerNotReady).texts.push(format!("{server} is not ready")),
            }
            self.named.insert(server);
        }
    }

    /// Returns whether a Pod has been not ready for long enough. Since when one is missing, or could not start, only
    /// the condition of the StatefulSet shows.
    fn is_not_ready(&self, pod: Option<&PodState>) -> bool {
        let is_pending = || self.pending_since.is_some_and(|since| self.now.since(since) >= WHATEVER_IS_IN_PROGRESS);
        let Some(pod) = pod else { return is_pending() };
        if pod.ready || pod.terminating.is_some() {
            return false;
        }
        match pod.ready_changed.filter(|_| pod.started || pod.broken.is_some()) {
            Some(since) => self.now.since(since) >= self.patience.with(Reason::ServerNotReady),
            None => is_pending(),
        }
    }

    /// Why a server is not ready, if that is known: why its Pod cannot run, or the text of its `/healthz`.
    fn cause(&self, server: &str) -> Option<String> {
        let pod = self.facts.actual.pods.iter().find(|pod| pod.name == server)?;
        let healthz = || match &self.facts.assessment()?.snapshot.answer(server)?.healthz {
            Healthz::Failing(text) => Some(text.clone()),
            Healthz::Ok | Healthz::Unknown => None,
        };
        if pod.ready { None } else { pod.broken.clone().or_else(healthz) }
    }

    fn missing(&mut self) {
        let mut by_server: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (stream, missing) in &self.facts.missing_streams.streams {
            by_server.entry(&missing.server).or_default().push(stream.to_string());
        }
        for (server, streams) in by_server {
            let text = format!("{} had {} before it restarted", server, text::streams(&streams));
            self.add(Reason::StreamsMissing).texts.push(text);
        }
    }

    /// PVCs of servers that stay, and that are being deleted.
    fn terminating(&self) -> Option<Trouble> {
        let pvcs = self.facts.actual.pvcs.iter();
        let mut leaving = pvcs.filter(|pvc| pvc.terminating && pvc.ordinal < self.facts.applied.desired);
        let pvc = leaving.next()?;
        let (server, namespace) = (self.facts.actual.server(pvc.ordinal), &self.facts.id.namespace);
        let message = format!(
            "The PVC of {server} is being deleted: what is on it is lost when its Pod stops. Give streams that have \
             their only replica there more (nats stream edit STREAM --replicas 3). When all are in sync, have it \
             replaced: kubectl delete pod {server} -n {namespace}"
        );
        Some(Trouble { reason: Reason::PvcTerminating, message })
    }

    fn message(&self, reason: Reason, subjects: &Subjects) -> String {
        let (id, servers, texts) = (self.facts.id, subjects.servers.join(", "), subjects.texts.join("; "));
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
                 docs/user/troubleshooting.md"
            ),
            Reason::NoStreamLeader => self.leaderless(&subjects.streams),
            Reason::ConflictingLeaders => {
                format!("More than one server claims to lead {streams}. See: nats stream report")
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

    /// Streams without a leader. A full memory store is a known cause (measured with NATS 2.14.2).
    fn leaderless(&self, streams: &[String]) -> String {
        let named = text::streams(streams);
        let Some(assessment) = self.facts.assessment() else { return format!("No leader: {named}.") };
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

/// The servers with a full memory store that have a replica of one of these streams in memory.
fn full_memory_stores(assessment: &Assessment, streams: &[String]) -> Vec<String> {
    let is_one = |stream: &StreamId| streams.contains(&stream.to_string());
    let answers = assessment.snapshot.answers().filter(|(_, server)| {
        server.memory.percent() >= FULL && server.streams.iter().any(|it| it.in_memory && is_one(&it.stream))
    });
    answers.map(|(name, _)| name.to_owned()).collect()
}

/// The text of a lost quorum.
pub(super) fn quorum_lost(facts: &Facts<'_>, now: Time) -> String {
    let away = away(facts, now);
    let way_out = match stuck(facts, now) {
        Some((_, message)) => message,
        None if away.is_empty() => "The servers must reach each other at port 6222.".to_owned(),
        None => format!("Bring back: {}.", away.join(", ")),
    };
    format!("JetStream accepts no messages: no majority of its servers agrees on a leader. {way_out}")
}

/// The text of servers that cannot be seen.
pub(super) fn unreachable(facts: &Facts<'_>) -> String {
    format!(
        "NATS Manager cannot reach the servers at their monitoring port (8222), though Pods are ready. Clients may be \
         served. Allow traffic from the Pods of NATS Manager to those of NATS in namespace {}.",
        facts.id.namespace
    )
}

/// The members that have been away for long, and are missing for a quorum.
fn away(facts: &Facts<'_>, now: Time) -> Vec<String> {
    let members = facts.members();
    let issues = facts.assessment().map(|assessment| assessment.issues.as_slice()).unwrap_or_default();
    let away = issues.iter().filter(|issue| now.since(issue.since) >= LASTING).filter_map(|issue| match &issue.kind {
        IssueKind::Unreachable { server } | IssueKind::Disabled { server } => Some(server.clone()),
        _ => None,
    });
    let names: BTreeSet<String> = away.filter(|server| members.contains(server)).collect();
    names.into_iter().collect()
}

/// A server whose Pod does not stop, with the way out.
fn stuck(facts: &Facts<'_>, now: Time) -> Option<(String, String)> {
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
