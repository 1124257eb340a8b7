//! Change from a standalone server to a cluster, and back until the first server has been restarted.
//!
//! A standalone store that starts with a cluster block loses its streams (measured with NATS 2.14.2 to 2.15.3), so the
//! change is made only while there are none. The new servers read a configuration key of their own
//! ([`crate::actual::ConfigKey::Clustered`]), and the partition keeps the first server on the old template. A container
//! that restarts during the change therefore starts with the configuration that it had.

use super::{
    Action, Blocked, BlockedReason, Observation, Operation, OperationKind, OperationStep, PlanInput, PodRef, Stage,
    existing::Servers, slots::Slots, text::listed,
};
use crate::{
    actual::{ActualState, PodState},
    snapshot::{DEFAULT_ACCOUNT, Healthz},
};

/// Streams on the standalone server, as far as they are known.
pub(super) enum StandaloneStreams {
    /// No stream exists.
    None,
    /// Streams exist, or may exist: the change is not carried out.
    Blocked(Blocked),
    /// Temporarily unknown, with the cause: a change in progress stays as it is.
    Unknown(String),
    /// The names have to be requested from the JetStream API.
    Unlisted,
}

/// Returns the streams that the change to `desired` servers would destroy.
pub(super) fn streams(input: &PlanInput<'_>, desired: u32) -> StandaloneStreams {
    if input.actual.servers_started == Some(false) && input.actual.pods.iter().all(|pod| !pod.started) {
        return StandaloneStreams::None;
    }
    let blocked = |cause: String| {
        StandaloneStreams::Blocked(Blocked::new(
            BlockedReason::ScalingBlocked,
            format!("cannot scale from 1 to {desired} servers: {cause}"),
        ))
    };
    match input.observation {
        Observation::Seen(_) => reported_streams(input, blocked),
        Observation::Starting | Observation::Pending => {
            StandaloneStreams::Unknown("the first server has not answered yet".to_owned())
        }
        Observation::Off | Observation::Unobservable { .. } => match input.streams {
            None => StandaloneStreams::Unlisted,
            Some(Err(cause)) => blocked(format!("cannot verify that there are no streams: {cause}")),
            Some(Ok(names)) if !names.is_empty() => blocked(existing(names.len(), names.iter().map(String::as_str))),
            Some(Ok(_)) if matches!(input.observation, Observation::Off) || input.has_default_account_only => {
                StandaloneStreams::None
            }
            Some(Ok(_)) => blocked(
                "cannot verify that accounts other than the default one have no streams, since the monitoring port \
                 (8222) is unreachable"
                    .to_owned(),
            ),
        },
    }
}

/// Returns the streams that the first server reports, with those of [`PlanInput::streams`].
fn reported_streams(input: &PlanInput<'_>, blocked: impl Fn(String) -> StandaloneStreams) -> StandaloneStreams {
    let first = input.actual.server(0);
    let Some(answer) = input.assessment().and_then(|assessment| assessment.snapshot.answer(&first)) else {
        return StandaloneStreams::Unknown(format!("{first} is unreachable"));
    };
    if !answer.streams.is_empty() {
        let names: Vec<String> = answer.streams.iter().map(|replica| replica.stream.to_string()).collect();
        return blocked(existing(names.len(), names.iter().map(String::as_str)));
    }
    if let Some(Ok(names)) = input.streams
        && !names.is_empty()
    {
        return blocked(existing(names.len(), names.iter().map(String::as_str)));
    }
    match &answer.healthz {
        _ if answer.disabled => StandaloneStreams::Unknown(format!("{first} has disabled JetStream")),
        // A server that could not recover a stream does not list it.
        Healthz::Failing(text) => StandaloneStreams::Unknown(format!("{first} reports: {text}")),
        Healthz::Unknown => StandaloneStreams::Unknown(format!("{first} gave no usable answer to /healthz")),
        Healthz::Ok => StandaloneStreams::None,
    }
}

fn existing<'a>(count: usize, names: impl Iterator<Item = &'a str>) -> String {
    let noun = if count == 1 { "stream" } else { "streams" };
    format!(
        "a restart as a member of a cluster destroys its {noun} ({}). Back them up and delete them, and restore them \
         after the change, or set spec.cluster.size to 1",
        listed(names)
    )
}

/// Returns the next step while the new servers exist and the first one still runs standalone.
pub(super) fn join(input: &PlanInput<'_>, servers: &Servers<'_>, desired: u32) -> Stage {
    let first = input.actual.server(0);
    let operation = Operation::new(OperationKind::FormCluster, OperationStep::Restart).at(&first);
    let pod_of = |ordinal| input.actual.pod(ordinal).filter(|pod| pod.terminating.is_none());
    let Some(set) = servers.set else { return Stage::Busy(operation) };
    if servers.replicas != desired || !set.is_observed {
        return Stage::Busy(Operation::new(OperationKind::FormCluster, OperationStep::Create));
    }
    // A fresh meta group needs the votes of all its servers.
    for ordinal in 1..servers.replicas {
        let server = input.actual.server(ordinal);
        let waiting = |cause: String| {
            let operation = Operation::new(OperationKind::FormCluster, OperationStep::Create).at(&server);
            Stage::Busy(operation.waiting_for(cause))
        };
        match pod_of(ordinal) {
            None => return waiting(format!("{server} has no Pod")),
            // It has no streams yet, and the StatefulSet controller waits for lower ordinals that are not ready.
            Some(pod) if pod.revision != set.update_revision && !servers.is_joining => {
                return replace(pod);
            }
            Some(pod) => {
                if let Some(cause) = &pod.broken {
                    return waiting(format!("{server} cannot run: {cause}"));
                }
                let is_unreachable =
                    input.assessment().is_some_and(|assessment| assessment.snapshot.answer(&server).is_none());
                if !pod.started || is_unreachable {
                    return waiting(format!("{server} is not running"));
                }
            }
        }
    }
    if let Some(pvc) = input.actual.pvc(0).filter(|pvc| pvc.terminating) {
        return Stage::Busy(operation.waiting_for(pvc.terminating_message(&first)));
    }
    match pod_of(0) {
        Some(pod) if pod.revision == set.update_revision => {
            Stage::Busy(operation.waiting_for(format!("{first} is not ready")))
        }
        Some(pod) => Stage::Act(Action::JoinCluster { server: first, uid: pod.uid.clone() }, operation),
        None => Stage::Busy(operation.waiting_for(format!("{first} has no Pod"))),
    }
}

/// Replaces an outdated Pod that cannot run, while the cluster is not formed yet.
pub(super) fn replace_unrunnable(slots: &Slots<'_>) -> Stage {
    let unrunnable = slots.iter().find(|(_, slot)| slot.is_unrunnable());
    unrunnable.and_then(|(_, slot)| slot.pod()).map_or(Stage::Idle, replace)
}

fn replace(pod: &PodState) -> Stage {
    let operation = Operation::new(OperationKind::FormCluster, OperationStep::Create).at(&pod.name);
    let pods = vec![PodRef { name: pod.name.clone(), uid: pod.uid.clone() }];
    Stage::Act(Action::ReplacePods { pods }, operation)
}

/// Builds the blocked change for leftover PVCs beside the one of the standalone server.
pub(super) fn leftover_pvcs(actual: &ActualState) -> Blocked {
    let servers: Vec<String> =
        actual.pvcs.iter().filter(|pvc| pvc.ordinal > 0).map(|pvc| actual.server(pvc.ordinal)).collect();
    Blocked::new(
        BlockedReason::ScalingBlocked,
        format!(
            "cannot scale from 1 server: the PVCs of {} are left from standalone servers, and their streams would be \
             lost. Delete these PVCs",
            listed(servers.iter().map(String::as_str))
        ),
    )
}

/// Builds the blocked change from a cluster to standalone servers.
pub(super) fn single_server_blocked(members: u32, desired: u32) -> Blocked {
    Blocked::new(
        BlockedReason::ScalingBlocked,
        format!(
            "cannot scale from {members} to {desired}: a standalone server cannot read the stores of a cluster. Set \
             spec.cluster.size to 3 or more"
        ),
    )
}

/// Returns the obstacle to stopping the last standalone server; `None` if it has no streams.
pub(super) fn standalone_obstacle(input: &PlanInput<'_>, replicas: u32) -> Option<Blocked> {
    let last = input.actual.server(replicas - 1);
    let answer = input.assessment().and_then(|assessment| assessment.snapshot.answer(&last));
    let is_empty = answer.is_some_and(|answer| answer.streams.is_empty() && answer.healthz == Healthz::Ok);
    let never_started = input.actual.pod(replicas - 1).is_none_or(|pod| !pod.started);
    (!is_empty && !never_started).then(|| {
        Blocked::new(
            BlockedReason::ScalingBlocked,
            format!(
                "cannot scale down: {last} is standalone, and its streams (account {DEFAULT_ACCOUNT} and others) would \
                 be lost, or it gave no answer. Delete them first"
            ),
        )
    })
}
