//! Health of JetStream: issues of servers, meta group and streams, each with the time since which it holds.
//!
//! JetStream is healthy if two polls in a row show no issue in `/jsz`, the full `/healthz` of every server is 200, and
//! each replica has reached the sequence that its leader had in the poll before. `current` in `/jsz` is not enough: it
//! means that the log is persisted, not that the messages have arrived (nats-server 2.14.2, `raft.go`).

mod inventory;
mod issue;
mod meta;
mod missing;
mod quorum;
mod servers;
mod streams;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

pub use inventory::{EVENTING_STREAM, Inventory, StreamSummary, is_empty, is_eventing};
pub use issue::{Issue, IssueKind, summary};
pub use missing::{MissingStream, MissingStreams};
pub use quorum::{Quorum, blind_since, has_lasted, quorum, quorum_lost_since};

use crate::{
    actual::{ActualState, ServerMode},
    snapshot::{JetStreamSnapshot, StreamId},
    time::Time,
    version::Version,
};

/// Shortest distance of two polls that count as two: the `/healthz` of a new replica is 200 for its first two seconds
/// (measured with NATS 2.14.2 to 2.15.3).
const APART: Duration = Duration::from_secs(2);

/// Sequence of the last message of each stream, as its leader reports it.
type LastSequences = BTreeMap<StreamId, u64>;

/// A snapshot with the issues that follow from it and from earlier ones.
#[derive(Clone, Debug, Default)]
pub struct Assessment {
    /// Snapshot of the last poll.
    pub snapshot: Arc<JetStreamSnapshot>,
    /// Health issues, in a fixed order.
    pub issues: Vec<Issue>,
    /// Version that each server reported last, by name.
    pub versions: BTreeMap<String, Version>,
    heads: LastSequences,
    /// The last poll that is at least [`APART`] older.
    before: Option<Baseline>,
    /// Every stream was in that poll, so that its replicas could be compared.
    is_proven: bool,
}

/// An earlier poll, as far as the present one is compared with it.
#[derive(Clone, Debug, Default)]
struct Baseline {
    heads: LastSequences,
    issues: Vec<IssueKind>,
}

impl Assessment {
    /// Assesses a snapshot, in comparison with the assessment before.
    pub fn next(previous: Option<&Self>, snapshot: Arc<JetStreamSnapshot>, actual: &ActualState) -> Self {
        let taken_at = snapshot.taken_at;
        let before = previous.and_then(|previous| previous.as_baseline(taken_at));
        let expected = actual.expected_servers();
        let no_heads = LastSequences::new();
        let streams = streams::assess(&snapshot, before.as_ref().map_or(&no_heads, |before| &before.heads));
        let mut kinds = streams.issues;
        meta::assess(&snapshot, &expected, is_clustered(&snapshot, actual), &mut kinds);
        servers::assess(&snapshot, &expected, is_clustered(&snapshot, actual), &mut kinds);
        let since = |kind: &IssueKind| {
            let known = previous.and_then(|previous| previous.issues.iter().find(|issue| issue.kind == *kind));
            known.map_or(taken_at, |issue| issue.since)
        };
        let issues = kinds.into_iter().map(|kind| Issue { since: since(&kind), kind }).collect();
        let versions = versions(previous, &snapshot, &expected);
        Self { snapshot, issues, versions, heads: streams.heads, before, is_proven: streams.is_proven }
    }

    fn as_baseline(&self, now: Time) -> Option<Baseline> {
        if now.since(self.snapshot.taken_at) < APART {
            return self.before.clone();
        }
        Some(Baseline {
            heads: self.heads.clone(),
            issues: self.issues.iter().map(|issue| issue.kind.clone()).collect(),
        })
    }

    /// Returns whether two polls in a row show no issue.
    pub fn is_healthy(&self) -> bool {
        self.is_healthy_without(&[])
    }

    /// Returns whether two polls in a row show no issue but with these servers.
    pub fn is_healthy_without(&self, servers: &[&str]) -> bool {
        self.obstacle_without(servers).is_none()
    }

    /// Returns the issues that are not about these servers.
    pub fn issues_without<'a>(&'a self, servers: &'a [&str]) -> impl Iterator<Item = &'a IssueKind> {
        self.issues.iter().map(|issue| &issue.kind).filter(move |issue| !is_about(issue, servers))
    }

    /// Returns the cause for which the cluster is not healthy without these servers; `None` if it is.
    pub fn obstacle_without(&self, servers: &[&str]) -> Option<String> {
        self.obstacle_but(|issue| is_about(issue, servers))
    }

    /// Returns the cause for which the cluster is not healthy but for the tolerated issues; `None` if it is.
    pub fn obstacle_but(&self, is_tolerated: impl Fn(&IssueKind) -> bool) -> Option<String> {
        if let Some(first) = self.issues.iter().find(|issue| !is_tolerated(&issue.kind)) {
            return Some(first.kind.to_string());
        }
        let was_healthy = self.before.as_ref().is_some_and(|before| before.issues.iter().all(is_tolerated));
        let is_healthy = self.is_proven && was_healthy;
        (!is_healthy).then(|| "JetStream must be healthy in two polls in a row".to_owned())
    }

    /// Returns the time since which a matching issue holds, the earliest of several; `None` without one.
    pub fn since(&self, matches: impl Fn(&IssueKind) -> bool) -> Option<Time> {
        self.issues.iter().filter(|issue| matches(&issue.kind)).map(|issue| issue.since).min()
    }

    /// Returns whether the meta group and every replicated stream keep a majority of replicas in sync without this
    /// server. Streams with one replica have no majority to keep.
    pub fn keeps_quorum_without(&self, server: &str) -> bool {
        // Unexpected peers are about to be removed, or can be gone at any moment.
        let unexpected = self.issues.iter().filter_map(|issue| match &issue.kind {
            IssueKind::UnexpectedPeer { server } => Some(server.as_str()),
            _ => None,
        });
        let away: Vec<&str> = unexpected.chain([server]).collect();
        meta::keeps_quorum_without(&self.snapshot, &away) && streams::keep_quorum_without(&self.snapshot, server)
    }

    /// Returns whether every replicated stream keeps a replica with all messages without this server.
    pub fn keeps_messages_without(&self, server: &str) -> bool {
        let no_heads = LastSequences::new();
        let before = self.before.as_ref().map_or(&no_heads, |before| &before.heads);
        streams::keep_messages_without(&self.snapshot, server, before)
    }
}

/// Returns the version of each server. An unreachable server keeps the version that it reported last, since it may
/// start again with it.
fn versions(
    previous: Option<&Assessment>,
    snapshot: &JetStreamSnapshot,
    expected: &[String],
) -> BTreeMap<String, Version> {
    let reported: BTreeMap<String, Version> =
        snapshot.answers().filter_map(|(name, server)| Some((name.to_owned(), server.version?))).collect();
    let mut versions = previous.map(|previous| previous.versions.clone()).unwrap_or_default();
    if !reported.is_empty() {
        versions.retain(|name, _| expected.contains(name));
    }
    versions.extend(reported);
    versions
}

fn is_about(issue: &IssueKind, servers: &[&str]) -> bool {
    issue.server().is_some_and(|server| servers.contains(&server))
}

/// Returns whether the servers form a cluster, or are about to. The number of standalone servers does not make them a
/// cluster: a StatefulSet can be scaled by hand.
fn is_clustered(snapshot: &JetStreamSnapshot, actual: &ActualState) -> bool {
    let replicas = actual.stateful_set.as_ref().map_or(0, |set| set.replicas);
    ServerMode::of(actual.members.unwrap_or(replicas)) == ServerMode::Clustered
        || snapshot.answers().any(|(_, server)| server.meta.is_some())
}
