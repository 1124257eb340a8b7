//! Servers that may leave at once: the meta leader does not list them, and they never started.
//!
//! So a scale-up that cannot be placed can be taken back, and a StatefulSet that was scaled by hand to an absurd number
//! is put right before its Pods start.

use super::{Input, Observation, existing::Servers};
use crate::actual::{Kind, MAX_SERVERS};

/// Returns the number of servers that have to stay, of those that exist: all up to the last one that is not vacant,
/// and at least `desired`.
pub(super) fn occupied(input: &Input<'_>, servers: &Servers<'_>, desired: u32) -> u32 {
    let replicas = servers.replicas;
    if replicas <= desired {
        return replicas;
    }
    let started = input.actual.pods.iter().filter(|pod| pod.started).filter_map(|pod| pod.ordinal);
    let started = started.filter(|ordinal| *ordinal < replicas).max();
    let listed = match (servers.kind(), input.observation) {
        // Beside a standalone server there is none that its configuration was built for: it was added by hand.
        (Kind::Standalone, Observation::Off | Observation::Unobservable { .. }) => {
            return servers.members.max(desired).min(replicas);
        }
        (Kind::Standalone, _) | (Kind::Clustered, Observation::Off | Observation::Unobservable { .. }) => None,
        (Kind::Clustered, Observation::Starting | Observation::Pending) => return replicas,
        (Kind::Clustered, Observation::Seen(assessment)) => {
            let Some((leader, meta)) = assessment.snapshot.meta_group() else { return replicas };
            (0..MAX_SERVERS.min(replicas)).rev().find(|ordinal| {
                let server = input.actual.server(*ordinal);
                leader == server || meta.peers.iter().any(|peer| peer.is(&server))
            })
        }
    };
    started.max(listed).map_or(desired, |last| last.saturating_add(1).max(desired)).min(replicas)
}
