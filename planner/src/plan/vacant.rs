//! Servers that may leave at once: the meta leader does not list them, and they never started.
//!
//! So a scale-up that cannot be placed can be taken back, and a StatefulSet that was scaled by hand to an absurd number
//! is put right before its Pods start.

use std::time::Duration;

use super::{Observation, PlanInput, existing::Servers};
use crate::{
    actual::{MAX_SERVERS, ServerMode},
    health::IssueKind,
};

/// A Pod that does not exist for so long cannot be created.
const MISSING: Duration = Duration::from_secs(30);

/// Returns the number of servers that have to stay, of those that exist: all up to the last one that is not vacant,
/// and at least `desired`.
///
/// A Pod that is bound to a node may start at any moment, and its server join the meta group: stopped then, it would
/// count as a peer that is gone. So only Pods that cannot run are vacant, and only while the watch caches agree
/// (`is_agreed`).
pub(super) fn occupied(input: &PlanInput<'_>, servers: &Servers<'_>, desired: u32, is_agreed: bool) -> u32 {
    let replicas = servers.replicas;
    // More Pods than the caches are compared for: those beyond leave whatever the caches show.
    if replicas > MAX_SERVERS {
        return MAX_SERVERS.max(desired);
    }
    if replicas <= desired || !is_agreed {
        return replicas;
    }
    let started = (0..MAX_SERVERS.min(replicas)).rev().find(|ordinal| match input.actual.pod(*ordinal) {
        Some(pod) => pod.started || (pod.node.is_some() && pod.broken.is_none()),
        // It may have been created a moment ago.
        None => !is_missing_for_long(input, *ordinal),
    });
    let listed = match (servers.kind(), input.observation) {
        // Beside a standalone server there is none that its configuration was built for: it was added by hand.
        (ServerMode::Standalone, Observation::Off | Observation::Unobservable { .. }) => {
            return servers.members.max(desired).min(replicas);
        }
        (ServerMode::Standalone, _) | (ServerMode::Clustered, Observation::Off | Observation::Unobservable { .. }) => {
            None
        }
        (ServerMode::Clustered, Observation::Starting | Observation::Pending) => return replicas,
        (ServerMode::Clustered, Observation::Seen(assessment)) => {
            let Some((leader, meta)) = assessment.snapshot.meta_group() else { return replicas };
            (0..MAX_SERVERS.min(replicas)).rev().find(|ordinal| {
                let server = input.actual.server(*ordinal);
                leader == server || meta.peers.iter().any(|peer| peer.is(&server))
            })
        }
    };
    started.max(listed).map_or(desired, |last| last.saturating_add(1).max(desired)).min(replicas)
}

fn is_missing_for_long(input: &PlanInput<'_>, ordinal: u32) -> bool {
    let name = input.actual.server(ordinal);
    let Some(assessment) = input.assessment() else { return true };
    let since = assessment.since(|issue| matches!(issue, IssueKind::Unreachable { server } if *server == name));
    since.is_some_and(|since| input.now.since(since) >= MISSING)
}
