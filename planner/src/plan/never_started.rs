//! Vacant servers, which may be removed at once: the meta leader does not list them, and they never started.
//!
//! A scale-up that cannot be scheduled can thus be reverted, and an absurd number of replicas that was set by hand is
//! corrected before the Pods start.

use std::time::Duration;

use super::{Observation, PlanInput, existing::Servers};
use crate::{
    actual::{MAX_SERVERS, ServerMode},
    health::IssueKind,
};

/// Time after which a Pod that does not exist counts as one that cannot be created.
const MISSING: Duration = Duration::from_secs(30);

/// Returns the number of existing servers that have to stay: all up to the last one that is not vacant, and at least
/// `desired`.
///
/// A Pod that is bound to a node may start at any moment, and its server may join the meta group. Stopped after that,
/// it would count as a peer that is gone. Only Pods that cannot run are therefore vacant, and only while the watch
/// caches agree (`is_consistent`).
pub(super) fn occupied(input: &PlanInput<'_>, servers: &Servers<'_>, desired: u32, is_consistent: bool) -> u32 {
    let replicas = servers.replicas;
    // The caches are not compared for more Pods: those beyond are removed whatever the caches contain.
    if replicas > MAX_SERVERS {
        return MAX_SERVERS.max(desired);
    }
    if replicas <= desired || !is_consistent {
        return replicas;
    }
    let started = (0..MAX_SERVERS.min(replicas)).rev().find(|ordinal| match input.actual.pod(*ordinal) {
        Some(pod) => pod.started || (pod.node.is_some() && pod.broken.is_none()),
        // The Pod may have been created a moment ago.
        None => !is_missing_for_long(input, *ordinal),
    });
    let listed = match (servers.kind(), input.observation) {
        // The configuration of a standalone server is built for no others: they were added by hand.
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
