//! Diagnosis of JetStream: the issues that have lasted, grouped by reason, the worst first.

use std::collections::{BTreeMap, BTreeSet};

use nats_manager_api::{ConditionType, Reason};
use nats_manager_planner::{
    Time,
    actual::PodState,
    health::{Issue, IssueKind},
    snapshot::Healthz,
};

use super::{
    StatusFacts,
    message::{AffectedObjects, quorum_lost, stuck, unavailable},
    serving::Serving,
    severity::{LASTING_IN_PROGRESS, ReportDelay, rank, reason},
    text,
    update::{Update, time},
};

/// Issues with the same reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Diagnosis {
    pub(super) reason: Reason,
    /// Description, with the way out.
    pub(super) message: String,
}

/// Collector of diagnoses from the facts of one reconcile.
pub(super) struct Diagnoser<'a> {
    facts: &'a StatusFacts<'a>,
    now: Time,
    delay: ReportDelay,
    /// Previous message of the condition, in which texts of servers keep their figures.
    old: Option<&'a str>,
    /// Time since which the condition `StatefulSet` is False.
    pending_since: Option<Time>,
    found: BTreeMap<usize, (Reason, AffectedObjects)>,
    /// Servers that a worse diagnosis contains.
    named: BTreeSet<String>,
}

impl<'a> Diagnoser<'a> {
    pub(super) fn new(update: &Update<'a>, facts: &'a StatusFacts<'a>, delay: ReportDelay) -> Self {
        let old = update.old.condition(ConditionType::JetStream).filter(|known| known.status == "False");
        let pending = update.old.condition(ConditionType::StatefulSet).filter(|known| known.status == "False");
        Self {
            facts,
            now: update.now,
            delay,
            old: old.map(|known| known.message.as_str()),
            pending_since: pending.filter(|_| update.was_ready()).map(|known| time(&known.last_transition_time)),
            found: BTreeMap::new(),
            named: BTreeSet::new(),
        }
    }

    /// Returns the diagnoses, the worst first.
    pub(super) fn run(mut self) -> Vec<Diagnosis> {
        let mut all = Vec::new();
        let serving = Serving::of(self.facts, self.now);
        if serving == Serving::No {
            // Servers with a cause of their own are also reported with that cause.
            let servers = unavailable(self.facts, self.now).into_iter();
            self.named = servers.filter(|server| self.cause(server).is_none() && !self.is_answering(server)).collect();
            all.push(Diagnosis { reason: Reason::QuorumLost, message: quorum_lost(self.facts, self.now) });
        } else if let Some((server, message)) = stuck(self.facts, self.now) {
            self.named.insert(server);
            all.push(Diagnosis { reason: Reason::ServerStuck, message });
        }
        self.not_ready();
        self.issues(serving);
        self.missing_streams();
        let found = std::mem::take(&mut self.found).into_values();
        all.extend(
            found.map(|(reason, subjects)| Diagnosis { reason, message: self.facts.diagnosis(reason, &subjects) }),
        );
        all.extend(self.terminating_pvc());
        all
    }

    fn add(&mut self, reason: Reason) -> &mut AffectedObjects {
        &mut self.found.entry(rank(reason)).or_insert_with(|| (reason, AffectedObjects::default())).1
    }

    /// Adds the issues of the polls, the worst first, so that each server is named for its worst issue only.
    fn issues(&mut self, serving: Serving) {
        let Some(assessment) = self.facts.assessment() else { return };
        let has_lasted = |issue: &&Issue| self.now.since(issue.since) >= self.delay.duration(reason(&issue.kind));
        let mut issues: Vec<&IssueKind> =
            assessment.issues.iter().filter(has_lasted).map(|issue| &issue.kind).collect();
        issues.sort_by_key(|issue| rank(reason(issue)));
        // These follow from a missing quorum, and a cluster that is being formed has no meta leader.
        let is_leaderless = matches!(serving, Serving::No | Serving::Unknown) || self.facts.is_forming();
        for issue in issues {
            let reason = reason(issue);
            if is_leaderless && matches!(reason, Reason::NoMetaLeader | Reason::NoStreamLeader) {
                continue;
            }
            // The condition is Unknown: too few servers can be reached to be certain of the others.
            if serving == Serving::Unknown && reason == Reason::ServerUnreachable {
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

    /// Adds a text of a server, with the figures of the previous message.
    fn text(&mut self, reason: Reason, prefix: &str, text: &str) {
        let text = text::steady(self.old, prefix, text.trim_end_matches('.'));
        self.add(reason).texts.push(format!("{prefix}{text}"));
    }

    /// Adds the servers whose Pod is not ready, with the cause. Unreachable servers without a cause are left to
    /// [`Self::issues`].
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

    /// Returns whether a Pod has been not ready for long enough. For a Pod that is missing, or could not start, only
    /// the condition of the StatefulSet contains the time.
    fn is_not_ready(&self, pod: Option<&PodState>) -> bool {
        let is_pending = || self.pending_since.is_some_and(|since| self.now.since(since) >= LASTING_IN_PROGRESS);
        let Some(pod) = pod else { return is_pending() };
        if pod.ready || pod.terminating.is_some() {
            return false;
        }
        match pod.ready_changed.filter(|_| pod.started || pod.broken.is_some()) {
            Some(since) => self.now.since(since) >= self.delay.duration(Reason::ServerNotReady),
            None => is_pending(),
        }
    }

    fn is_answering(&self, server: &str) -> bool {
        self.facts.assessment().is_some_and(|assessment| assessment.snapshot.answer(server).is_some())
    }

    /// Returns the cause for which a server is not ready, if it is known: the cause for which its Pod cannot run, or
    /// the text of its `/healthz`.
    fn cause(&self, server: &str) -> Option<String> {
        let pod = self.facts.actual.pods.iter().find(|pod| pod.name == server)?;
        let healthz = || match &self.facts.assessment()?.snapshot.answer(server)?.healthz {
            Healthz::Failing(text) => Some(text.clone()),
            Healthz::Ok | Healthz::Unknown => None,
        };
        if pod.ready { None } else { pod.broken.clone().or_else(healthz) }
    }

    /// Adds the streams that are missing since a server restarted, by server.
    fn missing_streams(&mut self) {
        let mut by_server: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (stream, missing) in &self.facts.missing_streams.streams {
            by_server.entry(&missing.server).or_default().push(stream.to_string());
        }
        for (server, streams) in by_server {
            let text = format!("{} had {} before it restarted", server, text::streams(&streams));
            self.add(Reason::StreamsMissing).texts.push(text);
        }
    }

    /// Returns the diagnosis of the first terminating PVC whose server stays.
    fn terminating_pvc(&self) -> Option<Diagnosis> {
        let pvcs = self.facts.actual.pvcs.iter();
        let mut terminating = pvcs.filter(|pvc| pvc.terminating && pvc.ordinal < self.facts.applied.desired);
        let pvc = terminating.next()?;
        let (server, namespace) = (self.facts.actual.server(pvc.ordinal), &self.facts.id.namespace);
        let message = format!(
            "The PVC of {server} is being deleted: what is on it is lost when its Pod stops. Give streams that have \
             their only replica there more (nats stream edit STREAM --replicas 3). When all are in sync, have it \
             replaced: kubectl delete pod {server} -n {namespace}"
        );
        Some(Diagnosis { reason: Reason::PvcTerminating, message })
    }
}
