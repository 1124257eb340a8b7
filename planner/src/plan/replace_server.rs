//! Replacement of a server with one that has a fresh volume, on request: its PVC is deleted, then its Pod.
//!
//! The request is an annotation on the PVC, so it ends with the PVC. Each step follows from the actual state: a PVC
//! that is terminating while its Pod runs is the second half of an interrupted replacement. The StatefulSet controller
//! creates no Pod while its PVC is terminating.
//!
//! The peer stays in the meta group. A server with an empty store rejoins under its name within seconds, and every
//! replica is copied from the other servers. A peer that is removed is barred for five minutes instead, and its streams
//! with one replica are recreated empty in any case.

use super::{
    Action, Blocked, BlockedReason, Operation, OperationKind, OperationStep, PlanInput, PvcRef, Stage,
    existing::Servers,
    remove_peers, rollout,
    slots::{Slot, Slots},
    text::listed,
    versions,
};
use crate::{
    actual::{PodState, PvcState, Replacement, ServerMode, StatefulSetState},
    health::Assessment,
    snapshot::{Healthz, StreamId},
};

/// The annotation on a PVC that requests the replacement, for messages.
pub const REPLACE_SERVER: &str = "nats.operator.kyma-project.io/replace-server";

/// Facts that replacements depend on.
#[derive(Clone, Copy)]
pub(super) struct Replacements<'a> {
    pub(super) input: &'a PlanInput<'a>,
    pub(super) servers: &'a Servers<'a>,
    pub(super) set: &'a StatefulSetState,
    /// The servers, whose template is not about to change.
    pub(super) slots: &'a Slots<'a>,
    /// A rolling update is in progress.
    pub(super) is_rolling: bool,
}

/// Replaces the first server for which it is requested and not blocked.
pub(super) fn replace(all: &Replacements<'_>) -> Stage {
    // Servers beyond the desired number are removed with their PVCs.
    let kept = all.servers.replicas.min(all.input.desired.replicas);
    let requests = || {
        let pvcs = all.input.actual.pvcs.iter().filter(|pvc| pvc.ordinal < kept);
        pvcs.filter_map(|pvc| Some(Request { all: *all, pvc, consent: pvc.replacement? }))
    };
    if let Some(begun) = requests().find(|request| request.pvc.terminating) {
        return begun.next();
    }
    let mut blocked = Stage::Idle;
    for request in requests() {
        match (request.next(), &blocked) {
            (stage @ Stage::Blocked(_), Stage::Idle) => blocked = stage,
            (Stage::Blocked(_), _) => {}
            (stage, _) => return stage,
        }
    }
    blocked
}

/// Returns the operation of replaced servers that do not have all their replicas yet.
pub(super) fn rejoining(input: &PlanInput<'_>, slots: &Slots<'_>) -> Option<Operation> {
    let is_replaced = |server: &String| input.history.replaced.contains(server);
    let (server, slot) = slots
        .iter()
        .map(|(ordinal, slot)| (input.actual.server(ordinal), slot))
        .find(|(server, _)| is_replaced(server))?;
    let issues = || input.assessment().and_then(|assessment| assessment.obstacle_without(&[]));
    let cause = slot.obstacle(&server).or_else(issues)?;
    Some(Operation::new(OperationKind::ReplaceServer, OperationStep::Create).at(server).waiting_for(cause))
}

/// A request to replace one server.
struct Request<'a> {
    all: Replacements<'a>,
    pvc: &'a PvcState,
    consent: Replacement,
}

impl Request<'_> {
    fn server(&self) -> String {
        self.all.input.actual.server(self.pvc.ordinal)
    }

    fn slot(&self) -> Option<Slot<'_>> {
        self.all.slots.iter().find(|(ordinal, _)| *ordinal == self.pvc.ordinal).map(|(_, slot)| slot)
    }

    fn next(&self) -> Stage {
        let server = self.server();
        let pod = self.slot().and_then(Slot::pod);
        let operation = |step| Operation::new(OperationKind::ReplaceServer, step).at(&server);
        if self.pvc.terminating && pod.is_none_or(|pod| pod.terminating.is_some()) {
            let cause = match pod {
                Some(_) => format!("{server} is terminating"),
                None => self.pvc.terminating_message(&server),
            };
            return Stage::Busy(operation(OperationStep::Create).waiting_for(cause));
        }
        let operation = operation(OperationStep::DeletePvc);
        if self.all.input.is_unobservable() && self.all.servers.kind() == ServerMode::Clustered {
            let cause = "cannot verify that every stream is complete on the other servers, since their monitoring port \
                         (8222) is unreachable. Allow the manager to connect to it";
            let message = format!("cannot replace {server} with a fresh volume: {cause}");
            return Stage::Blocked(Blocked::new(BlockedReason::ReplacementBlocked, message));
        }
        if let Some(cause) = self.obstacle(&server) {
            return Stage::Busy(operation.waiting_for(cause));
        }
        if self.consent == Replacement::KeepStreams {
            if self.all.input.streams.is_none() {
                return Stage::NeedsStreams(operation);
            }
            if let Some(cause) = self.loss(&server) {
                return Stage::Blocked(self.blocked(&server, &cause));
            }
        }
        let pvc = PvcRef { ordinal: self.pvc.ordinal, uid: self.pvc.uid.clone() };
        let pod = pod.map(|pod: &PodState| pod.uid.clone());
        // The second half of an interrupted replacement changes the PVC no more.
        let version = self.pvc.resource_version.clone().filter(|_| !self.pvc.terminating);
        Stage::Act(Action::ReplaceServer { server, pvc, version, pod }, operation)
    }

    /// Returns the obstacle to taking this server away; `None` if every stream is complete on the others.
    fn obstacle(&self, server: &str) -> Option<String> {
        let is_serving = self.slot().is_some_and(Slot::is_serving);
        // A server that does not serve may be what the rolling update waits for.
        if is_serving && self.all.is_rolling {
            return Some("the rolling update to be complete".to_owned());
        }
        if is_serving && versions::are_mixed(self.all.input) {
            return Some("all servers to run the same version".to_owned());
        }
        if let Some(cause) = self.all.slots.leaving() {
            return Some(cause);
        }
        if self.all.servers.kind() == ServerMode::Standalone {
            return None; // it has the only replica of everything: see `loss`
        }
        let Replacements { input, set, slots, .. } = self.all;
        if let Some(cause) = slots.obstacle_beside(self.pvc.ordinal, set.partition, input.actual) {
            return Some(cause);
        }
        if input.assessment().is_none() {
            return Some("no server has answered at its monitoring port (8222)".to_owned());
        }
        rollout::health_obstacle(input, server, &[])
    }

    /// Returns the streams that would be lost, as a cause, or the reason for which they are unknown; `None` if no stream
    /// would be lost.
    fn loss(&self, server: &str) -> Option<String> {
        let assessment = self.all.input.assessment();
        let reported = assessment.map(|assessment| self.only_here(assessment, server)).unwrap_or_default();
        if !reported.is_empty() {
            return Some(lost(reported.iter().map(String::as_str)));
        }
        let names = match self.all.input.streams? {
            Ok(names) => names,
            Err(error) => return Some(format!("cannot verify that no stream is lost: {error}")),
        };
        // A server that is down, or cannot read its store, does not report all its streams.
        let elsewhere = match (assessment, self.all.servers.kind()) {
            (Some(assessment), ServerMode::Clustered) => {
                let others = (0..self.all.servers.replicas).filter(|ordinal| *ordinal != self.pvc.ordinal);
                let others: Vec<String> = others.map(|ordinal| self.all.input.actual.server(ordinal)).collect();
                remove_peers::missing_on(assessment, names, &others)
            }
            _ => names.iter().map(String::as_str).collect(),
        };
        if !elsewhere.is_empty() {
            return Some(lost(elsewhere));
        }
        let answer = assessment.and_then(|assessment| assessment.snapshot.answer(server));
        let reports_all = answer.is_some_and(|answer| answer.healthz == Healthz::Ok);
        (!reports_all && !self.all.input.has_default_account_only)
            .then(|| "cannot verify that no stream of another account is lost".to_owned())
    }

    /// Returns the streams that the server reports, and that no other server has, or that have one replica.
    fn only_here(&self, assessment: &Assessment, server: &str) -> Vec<String> {
        let Some(answer) = assessment.snapshot.answer(server) else { return Vec::new() };
        let is_elsewhere = |stream: &StreamId| {
            let mut replicas = assessment.snapshot.replicas();
            self.all.servers.kind() == ServerMode::Clustered
                && replicas.any(|(other, replica)| other != server && replica.stream == *stream)
        };
        let only = answer.streams.iter().filter(|replica| replica.replicas <= 1 || !is_elsewhere(&replica.stream));
        only.map(|replica| replica.stream.to_string()).collect()
    }

    fn blocked(&self, server: &str, cause: &str) -> Blocked {
        let actual = self.all.input.actual;
        let message = format!(
            "cannot replace {server} with a fresh volume: {cause}. Add replicas to streams that have one (nats stream \
             edit STREAM --replicas 3), or back them up; then accept the loss: kubectl annotate pvc -n {} \
             {} {REPLACE_SERVER}=force --overwrite",
            actual.namespace,
            actual.pvc_name(self.pvc.ordinal)
        );
        Blocked::new(BlockedReason::ReplacementBlocked, message)
    }
}

fn lost<'a>(streams: impl IntoIterator<Item = &'a str>) -> String {
    format!("stream {} has its only replica there", listed(streams))
}
