//! Confirmation of disruptive actions: a second plan from a newer snapshot has to contain the same action.

use super::{
    Action, Operation, OperationKind, OperationStep, PeerRef, Plan, PlanInput, plan, remove_peers, text::listed,
};
use crate::snapshot::PeerId;

/// Returns the plan to carry out: with the confirmed action and the fields of the StatefulSet that the action needs, or
/// without an action.
///
/// `input` is newer than `first`: it was polled after `first` was made, and [`PlanInput::streams`] was requested before
/// that poll, so that a stream that was just created is in one of them.
pub fn confirm(first: &Plan, input: &PlanInput<'_>) -> Plan {
    let second = plan(input);
    let Some(action) = second.unconfirmed_action().cloned() else { return second };
    if first.action.as_ref() != Some(&action) {
        return Plan { action: None, ..second };
    }
    if let Some(waiting) = streams_obstacle(input, &second, &action) {
        return waiting;
    }
    carry_out(second, &action, input)
}

/// Returns a plan that waits if the names of all streams do not allow the action; `None` if they do.
fn streams_obstacle(input: &PlanInput<'_>, plan: &Plan, action: &Action) -> Option<Plan> {
    let staying = match action {
        Action::StopServers { replicas, .. } => *replicas,
        Action::RemovePeers { .. } => plan.replicas,
        Action::JoinCluster { .. } => 0,
        _ => return None,
    };
    let wait = |cause: String| {
        let operation = plan.operation.clone().map(|operation| operation.waiting_for(cause));
        Some(Plan { action: None, operation, ..plan.clone() })
    };
    let names = match input.streams {
        Some(Ok(names)) => names,
        Some(Err(cause)) => return wait(format!("cannot verify that no stream is lost: {cause}")),
        None => return wait("cannot verify that no stream is lost".to_owned()),
    };
    let staying: Vec<String> = (0..staying).map(|ordinal| input.actual.server(ordinal)).collect();
    let missing: Vec<&str> = match input.assessment() {
        Some(assessment) => remove_peers::missing_on(assessment, names, &staying),
        None => names.iter().map(String::as_str).collect(),
    };
    if missing.is_empty() {
        return None;
    }
    let streams = listed(missing);
    match action {
        Action::RemovePeers { peers } => restore_servers(input, plan, peers, &streams)
            .or_else(|| wait(format!("stream {streams} has no replica on a remaining server; delete it to go on"))),
        _ => wait(format!("stream {streams} has to have a replica on a remaining server")),
    }
}

/// Returns a plan that starts stopped servers again; `None` if their PVCs are gone. A stream that was created between
/// poll and stop may have its only replica on one of them.
fn restore_servers(input: &PlanInput<'_>, plan: &Plan, peers: &[PeerRef], streams: &str) -> Option<Plan> {
    let size = plan.replicas.checked_add(u32::try_from(peers.len()).ok()?)?;
    let names: Vec<String> = (plan.replicas..size).map(|ordinal| input.actual.server(ordinal)).collect();
    let are_next = peers.iter().all(|peer| names.iter().any(|name| peer.name == *name || peer.id == PeerId::of(name)));
    let have_data = (plan.replicas..size).all(|ordinal| input.actual.pvc(ordinal).is_some_and(|pvc| !pvc.terminating));
    let operation = Operation::new(OperationKind::ScaleDown, OperationStep::Create)
        .at(listed(names.iter().map(String::as_str)))
        .waiting_for(format!("stream {streams} has its only replica there"));
    (are_next && have_data).then(|| {
        let mut restored = Plan { action: None, operation: Some(operation), ..plan.clone() };
        restored.resize(size);
        restored
    })
}

/// Returns the plan with the action confirmed, and with the fields of the StatefulSet that the action needs.
fn carry_out(plan: Plan, action: &Action, input: &PlanInput<'_>) -> Plan {
    let mut confirmed = Plan { is_confirmed: true, ..plan };
    match action {
        Action::OpenPartition { partition, .. } => Plan { partition: *partition, ..confirmed },
        Action::StopServers { replicas, .. } => {
            confirmed.resize(*replicas);
            confirmed.partition = confirmed.partition.min(*replicas);
            confirmed
        }
        Action::JoinCluster { .. } => Plan { partition: 0, members: confirmed.replicas, ..confirmed },
        Action::RemovePeers { peers } => {
            confirmed.removed.extend(peers.iter().map(|peer| (peer.id.clone(), input.now)));
            confirmed
        }
        Action::Evacuate { .. }
        | Action::RestartServer { .. }
        | Action::ReplacePods { .. }
        | Action::DeletePvcs { .. }
        | Action::ExpandPvcs { .. }
        | Action::ReplaceServer { .. }
        | Action::RecreateStatefulSet { .. }
        | Action::Reload { .. } => confirmed,
    }
}
