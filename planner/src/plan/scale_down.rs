//! Scale-down, one server at a time: evacuate, stop, remove the peer, delete the PVC, then the next server.
//!
//! Two moves are not requested, since JetStream may hand over to a replica that has no messages yet: it checks whether
//! the new server has persisted the log, not whether it has the messages (`monitorStream` of NATS 2.14.2).
//!
//! - An only replica: the owner of the stream has to add more replicas first.
//! - The leader of a replicated stream: it hands over to any replica that seems current. A remaining server has to lead
//!   first, and that leader drops the leaving replica by itself.

use std::{collections::BTreeSet, time::Duration};

use super::{
    Action, Blocked, BlockedReason, Operation, OperationKind, OperationStep, PlanInput, Stage, room::room_obstacle,
    slots::Slots, text::listed,
};
use crate::{
    health::{Assessment, IssueKind},
    snapshot::{DEFAULT_ACCOUNT, StreamId, StreamReplica},
    time::Time,
};

/// First pause between two requests for another leader of a stream. It doubles with each request.
const STEP_DOWN_PAUSE: Duration = Duration::from_secs(20);
/// Pause between two requests to move the same stream.
const MOVE_PAUSE: Duration = Duration::from_secs(20);
/// Number of streams that move at a time.
const MOVES: usize = 20;
/// Time after which an unreachable candidate counts as gone for good.
const GONE_FOR_GOOD: Duration = Duration::from_mins(2);

/// Returns the next step from `replicas` servers to the desired number, which is smaller.
pub(super) fn scale_down(input: &PlanInput<'_>, replicas: u32, slots: &Slots<'_>) -> Stage {
    let candidate = input.actual.server(replicas - 1);
    let wait = |cause: String| {
        Stage::Busy(Operation::new(OperationKind::ScaleDown, OperationStep::Wait).at(&candidate).waiting_for(cause))
    };
    let Some(assessment) = input.assessment() else {
        return match input.observation {
            super::Observation::Pending | super::Observation::Starting => {
                wait("no server has answered at its monitoring port (8222) yet".to_owned())
            }
            _ => unobservable(input, replicas),
        };
    };
    if blocked(input, replicas).is_some() {
        return Stage::Idle;
    }
    if is_gone_for_good(input, assessment, &candidate) {
        return match assessment.obstacle_without(&[&candidate]) {
            Some(cause) => wait(cause),
            None => stop(replicas - 1, &candidate),
        };
    }
    let moving: Vec<&StreamId> = assessment.issues.iter().filter_map(|issue| moving(&issue.kind)).collect();
    if !moving.is_empty() && assessment.issues.iter().all(|issue| is_explained_by_move(&issue.kind)) {
        let names = listed(moving.iter().map(|stream| stream.name.as_str()));
        let operation = Operation::new(OperationKind::ScaleDown, OperationStep::Evacuate).at(&candidate);
        return Stage::Busy(operation.waiting_for(format!("stream {names} to move off {candidate}")));
    }
    if let Some(cause) = assessment.obstacle_without(&[]) {
        return wait(cause);
    }
    if let Some((ordinal, slot)) = slots.iter().find(|(_, slot)| !slot.is_serving()) {
        let server = input.actual.server(ordinal);
        return wait(slot.obstacle(&server).unwrap_or_else(|| format!("{server} is not ready")));
    }
    let on_candidate: Vec<&StreamReplica> =
        assessment.snapshot.answer(&candidate).map(|answer| answer.streams.iter().collect()).unwrap_or_default();
    if on_candidate.is_empty() {
        return stop(replicas - 1, &candidate);
    }
    evacuate(input, assessment, &candidate, &on_candidate)
}

/// Returns the blocked change if the streams do not allow fewer servers, whatever else is in progress.
pub(super) fn blocked(input: &PlanInput<'_>, replicas: u32) -> Option<Blocked> {
    let (assessment, desired) = (input.assessment()?, input.desired.replicas);
    let leaving: Vec<String> = (desired..replicas).map(|ordinal| input.actual.server(ordinal)).collect();
    too_many_replicas(assessment, desired).or_else(|| only_replicas(assessment, &leaving))
}

/// Stops `server`, which leaves so many replicas.
pub(super) fn stop(replicas: u32, server: &str) -> Stage {
    let operation = Operation::new(OperationKind::ScaleDown, OperationStep::Stop).at(server);
    Stage::Act(Action::StopServers { replicas, servers: vec![server.to_owned()] }, operation)
}

/// Returns the next step without polls: servers stop only where no stream exists at all.
fn unobservable(input: &PlanInput<'_>, replicas: u32) -> Stage {
    let desired = input.desired.replicas;
    let blocked = |cause: String| {
        Stage::Blocked(Blocked::new(
            BlockedReason::ScalingBlocked,
            format!("cannot scale down from {replicas} to {desired}: {cause}"),
        ))
    };
    match input.streams {
        None => Stage::NeedsStreams(Operation::new(OperationKind::ScaleDown, OperationStep::Wait)),
        Some(Err(cause)) => blocked(format!("cannot verify that leaving servers hold no stream replicas: {cause}")),
        Some(Ok(streams)) if streams.is_empty() => {
            let servers = (desired..replicas).map(|ordinal| input.actual.server(ordinal)).collect();
            let operation = Operation::new(OperationKind::ScaleDown, OperationStep::Stop);
            Stage::Act(Action::StopServers { replicas: desired, servers }, operation)
        }
        Some(Ok(streams)) => blocked(format!(
            "cannot verify that leaving servers hold no stream replicas (streams: {}), since their monitoring port \
             (8222) is unreachable. Allow the manager to connect to it",
            listed(streams.iter().map(String::as_str))
        )),
    }
}

fn moving(issue: &IssueKind) -> Option<&StreamId> {
    match issue {
        IssueKind::Moving { stream } => Some(stream),
        _ => None,
    }
}

/// Returns whether an issue is a move of a stream, or may follow from one.
fn is_explained_by_move(issue: &IssueKind) -> bool {
    matches!(issue, IssueKind::Moving { .. } | IssueKind::OutOfSync { .. } | IssueKind::Unhealthy { .. })
}

fn is_gone_for_good(input: &PlanInput<'_>, assessment: &Assessment, candidate: &str) -> bool {
    let since = assessment.since(|issue| matches!(issue, IssueKind::Unreachable { server } if server == candidate));
    let is_serving = input.actual.pods.iter().any(|pod| pod.name == candidate && pod.is_serving());
    !is_serving && since.is_some_and(|since| input.now.since(since) >= GONE_FOR_GOOD)
}

fn evacuate(input: &PlanInput<'_>, assessment: &Assessment, candidate: &str, replicas: &[&StreamReplica]) -> Stage {
    let operation = Operation::new(OperationKind::ScaleDown, OperationStep::Evacuate).at(candidate);
    let names: BTreeSet<&str> = replicas.iter().map(|replica| replica.stream.name.as_str()).collect();
    let moves_of = || format!("stream {} to move off {candidate}", listed(names.iter().copied()));
    if let Some(cause) = room_obstacle(&assessment.snapshot, candidate, replicas) {
        return Stage::Busy(operation.waiting_for(cause));
    }
    let leads = |replica: &StreamReplica| {
        replica.group.as_ref().is_none_or(|group| group.leader.as_deref().is_none_or(|leader| leader == candidate))
    };
    let (led_here, led_elsewhere): (Vec<&StreamReplica>, Vec<&StreamReplica>) =
        replicas.iter().partition(|replica| leads(replica));
    let foreign: BTreeSet<&str> = led_here
        .iter()
        .filter(|replica| replica.stream.account != DEFAULT_ACCOUNT)
        .map(|replica| replica.stream.name.as_str())
        .collect();
    let history = input.history;
    let step_down: Vec<StreamId> = led_here
        .iter()
        .filter(|replica| replica.stream.account == DEFAULT_ACCOUNT)
        .filter(|replica| is_due(input.now, history.stepped_down.get(&replica.stream)))
        .map(|replica| replica.stream.clone())
        .collect();
    let moves: Vec<StreamId> = led_elsewhere
        .iter()
        .filter(|replica| history.moved.get(&replica.stream).is_none_or(|moved| input.now.since(*moved) >= MOVE_PAUSE))
        .map(|replica| replica.stream.clone())
        .take(MOVES)
        .collect();
    if step_down.is_empty() && moves.is_empty() {
        let cause = if foreign.is_empty() || !led_elsewhere.is_empty() {
            moves_of()
        } else {
            format!(
                "stream {} to be led by another server; with a user of its account: nats stream cluster step-down STREAM",
                listed(foreign)
            )
        };
        return Stage::Busy(operation.waiting_for(cause));
    }
    let operation = operation.waiting_for(moves_of());
    Stage::Act(Action::Evacuate { server: candidate.to_owned(), step_down, moves }, operation)
}

/// Returns whether another leader of a stream may be requested (again).
fn is_due(now: Time, requested: Option<&(Time, u32)>) -> bool {
    const MOST_DOUBLINGS: u32 = 5;
    requested.is_none_or(|(at, times)| {
        now.since(*at) >= STEP_DOWN_PAUSE * 2_u32.pow(times.saturating_sub(1).min(MOST_DOUBLINGS))
    })
}

fn too_many_replicas(assessment: &Assessment, desired: u32) -> Option<Blocked> {
    let streams: BTreeSet<(&str, u32)> = assessment
        .snapshot
        .replicas()
        .filter(|(_, replica)| replica.replicas > desired)
        .map(|(_, replica)| (replica.stream.name.as_str(), replica.replicas))
        .collect();
    let (first, replicas) = streams.first()?;
    let names = listed(streams.iter().map(|(name, _)| *name));
    Some(Blocked::new(
        BlockedReason::ScalingBlocked,
        format!(
            "cannot scale down to {desired} servers: stream {names} has {replicas} replicas. Lower them first: \
             nats stream edit {first} --replicas {desired}"
        ),
    ))
}

fn only_replicas(assessment: &Assessment, leaving: &[String]) -> Option<Blocked> {
    let only: BTreeSet<(&str, &str)> = assessment
        .snapshot
        .replicas()
        .filter(|(server, replica)| replica.replicas <= 1 && leaving.iter().any(|name| name == server))
        .map(|(server, replica)| (replica.stream.name.as_str(), server))
        .collect();
    let (first, server) = only.first()?;
    let names = listed(only.iter().map(|(name, _)| *name));
    let place = if only.len() == 1 { format!("on {server}") } else { "on servers that would leave".to_owned() };
    Some(Blocked::new(
        BlockedReason::ScalingBlocked,
        format!(
            "cannot scale down: stream {names} has its only replica {place}, and moving an only replica can lose \
             messages. Add replicas first, and remove them afterwards: nats stream edit {first} --replicas 3"
        ),
    ))
}
