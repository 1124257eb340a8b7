//! Versions of the running servers.

use std::collections::BTreeSet;

use super::{Blocked, BlockedReason, PlanInput};
use crate::version::Version;

/// Returns the versions that run, as the servers reported them last, and those of Pods that have started: an
/// unreachable server has a store of that version all the same.
pub(super) fn running(input: &PlanInput<'_>) -> BTreeSet<Version> {
    let reported = input.assessment().into_iter().flat_map(|assessment| assessment.versions.values().copied());
    let started = input.actual.pods.iter().filter(|pod| pod.started && pod.ordinal.is_some());
    reported.chain(started.filter_map(|pod| pod.version)).collect()
}

/// Returns the blocked change if the desired version must not replace the running ones.
pub(super) fn blocked(input: &PlanInput<'_>) -> Option<Blocked> {
    let desired = input.desired.version?;
    let cause = running(input).into_iter().find_map(|version| version.blocks_change(desired))?;
    Some(Blocked::new(BlockedReason::VersionBlocked, format!("{cause}. Until then no server is restarted")))
}

/// Returns whether servers of more than one version run. Nothing is scaled or moved then (release notes of NATS 2.15).
pub(super) fn are_mixed(input: &PlanInput<'_>) -> bool {
    running(input).len() > 1
}
