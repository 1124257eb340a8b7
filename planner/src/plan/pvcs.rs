//! PVCs of servers that were removed.
//!
//! Their streams are complete on the other servers by then. An old store would conflict with a new server of the name.

use super::{
    Action, Blocked, BlockedReason, Operation, OperationKind, OperationStep, PlanInput, PvcRef, Stage,
    existing::Servers, text::listed,
};
use crate::{
    actual::{PvcState, ServerMode},
    health::IssueKind,
};

/// Deletes PVCs beyond the replicas, once no Pod uses them, no peer is left, and JetStream is healthy. Where the servers
/// cannot be polled, it returns what users have to do.
pub(super) fn delete(input: &PlanInput<'_>, servers: &Servers<'_>) -> Stage {
    let Some(assessment) = input.assessment() else { return leftovers(input, servers) };
    let meta = assessment.snapshot.meta_group();
    if servers.kind() == ServerMode::Clustered && meta.is_none() {
        return Stage::Idle; // only a meta leader lists the peers
    }
    let is_peer = |pvc: &&PvcState| {
        let server = input.actual.server(pvc.ordinal);
        meta.is_some_and(|(leader, meta)| leader == server || meta.peers.iter().any(|peer| peer.is(&server)))
    };
    let beyond: Vec<&PvcState> = input
        .actual
        .pvcs
        .iter()
        .filter(|pvc| pvc.ordinal >= servers.replicas && !pvc.terminating && !is_peer(pvc))
        .collect();
    if beyond.is_empty() {
        return Stage::Idle;
    }
    let names: Vec<String> = beyond.iter().map(|pvc| input.actual.server(pvc.ordinal)).collect();
    let operation =
        Operation::new(OperationKind::ScaleDown, OperationStep::DeletePvc).at(listed(names.iter().map(String::as_str)));
    if let Some(pod) = input.actual.pods.iter().find(|pod| names.contains(&pod.name)) {
        return Stage::Busy(operation.waiting_for(format!("{} is terminating", pod.name)));
    }
    // A peer that is about to be restored, or foreign, does not prevent the deletion.
    if let Some(cause) = assessment.obstacle_but(|issue| matches!(issue, IssueKind::UnexpectedPeer { .. })) {
        return Stage::Busy(operation.waiting_for(cause));
    }
    let pvcs = beyond.iter().map(|pvc| PvcRef { ordinal: pvc.ordinal, uid: pvc.uid.clone() }).collect();
    Stage::Act(Action::DeletePvcs { pvcs }, operation)
}

/// Returns the end of a scale-down that is left to users, since the peers are unknown: the peers, then the PVCs.
fn leftovers(input: &PlanInput<'_>, servers: &Servers<'_>) -> Stage {
    // A scale-up uses them again.
    let first = servers.replicas.max(input.desired.replicas);
    let beyond = input.actual.pvcs.iter().filter(|pvc| pvc.ordinal >= first && !pvc.terminating);
    let stopped = beyond.filter(|pvc| input.actual.pod(pvc.ordinal).is_none());
    let stopped: Vec<u32> = stopped.map(|pvc| pvc.ordinal).collect();
    let Some(lowest) = stopped.first().filter(|_| input.is_unobservable()) else { return Stage::Idle };
    let names: Vec<String> = stopped.iter().map(|ordinal| input.actual.server(*ordinal)).collect();
    let server = input.actual.server(*lowest);
    let delete = format!("kubectl delete pvc -n {} {}", input.actual.namespace, input.actual.pvc_name(*lowest));
    let remove = match servers.kind() {
        ServerMode::Standalone => String::new(),
        ServerMode::Clustered => {
            format!(
                "remove it from the meta group with the system account: nats server cluster peer-remove {server}; then "
            )
        }
    };
    Stage::Blocked(Blocked::new(
        BlockedReason::ScalingBlocked,
        format!(
            "the scale-down to size {} is not complete: the PVC of {} is left, and the manager cannot poll the servers. \
             For each server {remove}delete its PVC: {delete}",
            servers.replicas,
            listed(names.iter().map(String::as_str))
        ),
    ))
}
