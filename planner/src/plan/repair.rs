//! Repair of servers: reloads and restarts that other changes wait for.

use std::time::Duration;

use super::{
    Action, Blocked, BlockedReason, Operation, OperationKind, OperationStep, PlanInput, ServerRef, Stage,
    slots::{Slot, Slots},
};
use crate::{
    actual::{PodState, ServerMode},
    health::{Assessment, IssueKind},
};

/// Pause between two reloads of a server: one whose volume is still full disables JetStream again.
const RELOAD_PAUSE: Duration = Duration::from_mins(1);
/// Time in which a replica with a write error can recover by itself.
const WRITE_ERROR: Duration = Duration::from_mins(1);
/// Pause between two restarts of the same server: its volume may still be full.
const RESTART_PAUSE: Duration = Duration::from_mins(5);
/// Time after which a restart that cannot be carried out is reported.
const REPORTED_AFTER: Duration = Duration::from_mins(10);

/// Returns the repair that is due.
pub(super) fn repair(
    input: &PlanInput<'_>,
    assessment: &Assessment,
    kind: ServerMode,
    slots: Option<&Slots<'_>>,
) -> Stage {
    // A standalone server is restarted by its liveness probe.
    let disabled = disabled(input, assessment);
    if !disabled.is_empty() && kind == ServerMode::Clustered {
        return reload(disabled);
    }
    match write_error(input, assessment, slots) {
        Some(pod) => {
            let operation = Operation::new(OperationKind::Repair, OperationStep::Restart).at(&pod.name);
            let reason = "a replica has a write error, which only a restart ends".to_owned();
            let action = Action::RestartServer { server: pod.name.clone(), uid: pod.uid.clone(), reason };
            Stage::Act(action, operation)
        }
        None => blocked(input, assessment).map_or(Stage::Idle, Stage::Blocked),
    }
}

/// Returns the restart that a stream or the meta group has no quorum without. It is left to the user.
fn blocked(input: &PlanInput<'_>, assessment: &Assessment) -> Option<Blocked> {
    let is_there = |name: &str| input.actual.pods.iter().any(|pod| pod.name == name && pod.terminating.is_none());
    let server = write_errors(input, assessment, REPORTED_AFTER)
        .find(|server| is_there(server) && !is_paused(input, server) && !assessment.keeps_quorum_without(server))?;
    let remedy = if assessment.keeps_messages_without(server) {
        format!("To restart it anyway: kubectl delete pod {server} -n {}", input.actual.namespace)
    } else {
        "Check the volumes of all servers, and run: nats stream report".to_owned()
    };
    let message = format!(
        "a replica on {server} has a write error, which only a restart ends, and a stream or the meta group has no \
         quorum without {server}. {remedy}"
    );
    Some(Blocked::new(BlockedReason::RepairBlocked, message))
}

/// Returns the servers with a write error that has lasted so long.
fn write_errors<'a>(
    input: &PlanInput<'_>,
    assessment: &'a Assessment,
    lasted: Duration,
) -> impl Iterator<Item = &'a str> {
    let now = input.now;
    assessment.issues.iter().filter_map(move |issue| match &issue.kind {
        IssueKind::WriteError { server } if now.since(issue.since) >= lasted => Some(server.as_str()),
        _ => None,
    })
}

/// Returns whether a server was restarted a moment ago.
fn is_paused(input: &PlanInput<'_>, server: &str) -> bool {
    input.history.restarted.get(server).is_some_and(|at| input.now.since(*at) < RESTART_PAUSE)
}

/// Reloads servers that have not loaded the present configuration.
pub(super) fn late_reloads(input: &PlanInput<'_>) -> Stage {
    let due: Vec<ServerRef> = input.late_reloads.iter().filter(|server| is_due(input, &server.name)).cloned().collect();
    if due.is_empty() { Stage::Idle } else { reload(due) }
}

fn reload(servers: Vec<ServerRef>) -> Stage {
    let operation = Operation::new(OperationKind::Repair, OperationStep::Reload);
    let operation = match servers.first() {
        Some(first) => operation.at(&first.name),
        None => operation,
    };
    Stage::Act(Action::Reload { servers }, operation)
}

fn is_due(input: &PlanInput<'_>, server: &str) -> bool {
    input.history.reloaded.get(server).is_none_or(|at| input.now.since(*at) >= RELOAD_PAUSE)
}

fn disabled(input: &PlanInput<'_>, assessment: &Assessment) -> Vec<ServerRef> {
    let answers = assessment.snapshot.answers().filter(|(name, answer)| answer.disabled && is_due(input, name));
    answers.map(|(name, answer)| ServerRef { name: name.to_owned(), id: answer.id.clone() }).collect()
}

/// Returns the Pod to restart for a write error: only while the other servers are healthy, so that no second server is
/// away. A write error fails the startup probe, so servers that do not serve may wait for the same repair: they are
/// restarted one after the other. The rolling update restarts the highest outdated Pod, unless it waits for other
/// repairs.
fn write_error<'a>(
    input: &'a PlanInput<'_>,
    assessment: &Assessment,
    slots: Option<&Slots<'_>>,
) -> Option<&'a PodState> {
    let slots = slots?;
    let are_others_serving = |server: &str| {
        let all = || slots.iter().map(|(ordinal, slot)| (input.actual.server(ordinal), slot));
        let is_unready = all().any(|(other, slot)| other == server && !slot.is_serving());
        let waits_too = |other: &str, slot: Slot<'_>| !slot.is_away() && has_write_error(assessment, other);
        all().all(|(other, slot)| slot.is_serving() || other == server || (is_unready && waits_too(&other, slot)))
    };
    let mut candidates = write_errors(input, assessment, WRITE_ERROR).filter(|server| {
        !is_paused(input, server)
            && assessment.issues_without(&[server]).all(|issue| waits_for_repair(issue, assessment))
            && assessment.keeps_quorum_without(server)
            && assessment.keeps_messages_without(server)
            && are_others_serving(server)
    });
    let server = candidates.find(|server| {
        let ordinal = input.actual.pods.iter().find(|pod| pod.name == **server).and_then(|pod| pod.ordinal);
        let is_next = slots.last_outdated().is_some()
            && slots.last_outdated() == ordinal
            && assessment.issues_without(&[server]).next().is_none();
        let pvc = ordinal.and_then(|ordinal| input.actual.pvc(ordinal));
        !is_next && pvc.is_none_or(|pvc| !pvc.terminating)
    })?;
    input.actual.pods.iter().find(|pod| pod.name == server && pod.terminating.is_none())
}

/// Returns whether an issue ends by a repair of a write error, or only after it: other replicas with a write error, and
/// peers whose removal waits until every stream is healthy.
fn waits_for_repair(issue: &IssueKind, assessment: &Assessment) -> bool {
    matches!(issue, IssueKind::UnexpectedPeer { .. }) || is_write_error(issue, assessment)
}

/// Returns whether an issue is a replica's write error, or follows from one.
pub(super) fn is_write_error(issue: &IssueKind, assessment: &Assessment) -> bool {
    match issue {
        IssueKind::WriteError { .. } => true,
        IssueKind::OutOfSync { server, .. } => has_write_error(assessment, server),
        _ => false,
    }
}

fn has_write_error(assessment: &Assessment, name: &str) -> bool {
    assessment.issues.iter().any(|issue| matches!(&issue.kind, IssueKind::WriteError { server } if server == name))
}
