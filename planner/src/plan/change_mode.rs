//! Changes of the mode: from a standalone server to a cluster, and back while that is possible.

use super::{
    Blocked, BlockedReason, Operation, OperationKind, OperationStep, Stage, Variant,
    decide::PlanDraft,
    form_cluster::{self, StandaloneStreams},
    rollout::PATIENCE,
    slots::Slot,
    versions,
};
use crate::actual::{PodState, ServerMode};

impl PlanDraft<'_> {
    /// Plans the desired mode at once: no server ever started, so no store exists that the change could destroy.
    pub(super) fn start_over(&mut self, desired: u32) {
        let kind = ServerMode::of(desired);
        self.plan.variant = Variant::main(kind);
        self.plan.main_kind = kind;
        self.plan.members = desired;
        self.plan.resize(desired);
        self.plan.partition = 0;
        self.plan.operation = Some(Operation::new(OperationKind::Deployment, OperationStep::Create));
    }

    /// Plans the first step from a standalone server to a cluster.
    pub(super) fn form(&mut self, desired: u32) {
        if versions::blocked(self.input).is_some() {
            return self.keep_mode(self.servers.replicas.min(self.servers.members));
        }
        match form_cluster::streams(self.input, desired) {
            // A leftover store of another standalone server must not start with a cluster block.
            StandaloneStreams::None if self.input.actual.pvcs.iter().any(|pvc| pvc.ordinal > 0) => {
                // Polls prove that the PVC is not needed, and it is deleted then.
                if self.input.is_unobservable() {
                    self.plan.blocked.push(form_cluster::leftover_pvcs(self.input.actual));
                }
                self.keep_mode(self.servers.members.min(self.servers.replicas));
            }
            StandaloneStreams::None if self.servers.replicas == 1 && self.servers.set.is_some() => {
                // If the first server is created again during the change, it gets the current revision.
                if self.has_one_revision() { self.begin_forming(desired) } else { self.keep_mode(1) }
            }
            StandaloneStreams::None if self.servers.set.is_none() => self.keep_mode(self.servers.replicas),
            StandaloneStreams::None if self.servers.replicas > self.servers.members => {
                self.keep_mode(self.servers.members);
            }
            StandaloneStreams::None => {
                let message =
                    "cannot scale from 2 servers, which are standalone, to a cluster; set spec.cluster.size to 1 first";
                self.plan.blocked.push(Blocked::new(BlockedReason::ScalingBlocked, message));
                self.keep_mode(self.servers.replicas);
            }
            StandaloneStreams::Blocked(blocked) => {
                self.plan.blocked.push(blocked);
                self.keep_mode(self.servers.members);
            }
            StandaloneStreams::Unknown(cause) => {
                let message = format!(
                    "cannot scale from 1 to {desired} servers: cannot verify that there are no streams: {cause}"
                );
                self.plan.blocked.push(Blocked::new(BlockedReason::ScalingBlocked, message));
                self.keep_mode(self.servers.members);
            }
            StandaloneStreams::Unlisted => {
                self.keep_mode(self.servers.members);
                self.plan.needs_streams = true;
            }
        }
    }

    /// Plans new servers with a template that reads a key of its own. The partition keeps the first server as it is.
    fn begin_forming(&mut self, desired: u32) {
        // Once the restart of the first server was recorded, only its completion is planned.
        let is_joining = self.servers.is_joining;
        self.plan.variant = Variant::FORMED;
        self.plan.replicas = desired;
        self.plan.routes = desired;
        self.plan.main_kind = if is_joining { self.main_kind() } else { ServerMode::Standalone };
        self.plan.members = if is_joining { self.servers.members } else { 1 };
        self.plan.partition = u32::from(!is_joining);
        self.plan.operation = Some(Operation::new(OperationKind::FormCluster, OperationStep::Create));
    }

    /// Plans the next step while the new servers exist and the first one still runs standalone.
    pub(super) fn continue_forming(&mut self, desired: u32) {
        if let Some(blocked) = versions::blocked(self.input) {
            self.plan.blocked.push(blocked);
            return self.back_to_standalone(1);
        }
        match form_cluster::streams(self.input, desired) {
            StandaloneStreams::None => {
                self.begin_forming(desired);
                let stage = form_cluster::join(self.input, &self.servers, desired);
                self.adopt(stage);
            }
            StandaloneStreams::Blocked(blocked) => {
                self.plan.blocked.push(blocked);
                self.back_to_standalone(1);
            }
            StandaloneStreams::Unknown(cause) => {
                self.begin_forming(self.servers.replicas.max(1));
                let operation = Operation::new(OperationKind::FormCluster, OperationStep::Wait);
                self.plan.operation = Some(operation.waiting_for(cause));
            }
            StandaloneStreams::Unlisted => {
                self.begin_forming(self.servers.replicas.max(1));
                self.plan.needs_streams = true;
            }
        }
    }

    /// Returns whether the present templates cannot bring back the first server as a standalone one. The current revision
    /// is broken, or it is that of the cluster: the controller makes the update revision the current one when it has
    /// stopped all Pods (`completeRollingUpdate` of `stateful_set_utils.go`, Kubernetes 1.34).
    pub(super) fn is_first_without_template(&self) -> bool {
        // A meta group with a leader has the votes of all its servers, whatever was recorded.
        let is_formed = self.input.assessment().is_some_and(|assessment| assessment.snapshot.meta_group().is_some());
        let Some(slots) = self.slots.as_ref().filter(|_| !is_formed) else { return false };
        let is_old = |pod: &PodState| pod.created.is_some_and(|created| self.input.now.since(created) >= PATIENCE);
        match slots.iter().next() {
            None => true,
            Some((_, Slot::Missing)) => slots.is_complete,
            Some((_, slot @ Slot::Outdated(pod))) => slot.is_unrunnable() && !pod.stranded && is_old(pod),
            Some((_, Slot::Updated(pod))) => !pod.started,
        }
    }

    /// Plans the first server with the template of standalone servers, instead of one that cannot run or does not exist.
    pub(super) fn start_standalone(&mut self, desired: u32) {
        let first = self.input.actual.server(0);
        let operation = Operation::new(OperationKind::FormCluster, OperationStep::Wait).at(&first);
        if let Some(pvc) = self.input.actual.pvc(0).filter(|pvc| pvc.terminating) {
            self.plan.may_build = false;
            self.plan.operation = Some(operation.waiting_for(pvc.terminating_message(&first)));
        } else if let Some(blocked) = versions::blocked(self.input) {
            // The server would start with the version that is blocked.
            self.plan.may_build = false;
            self.plan.blocked.push(blocked);
        } else {
            self.back_to_standalone(desired);
            // A Pod below the partition would be created with the current revision.
            self.plan.partition = 0;
            let cause = format!("{first} to start as a standalone server again");
            self.plan.operation = Some(operation.waiting_for(cause));
        }
    }

    /// Plans the restart of the first server as a member, which was recorded before. The restart is carried out, again
    /// if necessary, and cannot be reverted unless streams were created before it.
    pub(super) fn continue_joining(&mut self, desired: u32) {
        let members = self.servers.members;
        if ServerMode::of(desired) == ServerMode::Standalone {
            self.plan.blocked.push(form_cluster::single_server_blocked(members, desired));
        }
        if let Some(blocked) = versions::blocked(self.input) {
            // The restart is completed with the template that it was begun with.
            self.plan.blocked.push(blocked);
            self.plan.may_build = false;
        }
        let first = self.slots.as_ref().and_then(|slots| slots.iter().next()).map(|(_, slot)| slot);
        let is_standalone = first.is_some_and(|slot| matches!(slot, Slot::Outdated(_)) && !slot.is_away());
        match form_cluster::streams(self.input, members) {
            StandaloneStreams::Blocked(blocked) if is_standalone => {
                self.plan.blocked.push(blocked);
                self.back_to_standalone(1);
            }
            StandaloneStreams::None if is_standalone => {
                self.begin_forming(members);
                let unrunnable = self.slots.as_ref().map_or(Stage::Idle, form_cluster::replace_unrunnable);
                if !self.adopt(unrunnable) {
                    let stage = form_cluster::join(self.input, &self.servers, members);
                    self.adopt(stage);
                }
            }
            StandaloneStreams::Unlisted if is_standalone => {
                self.begin_forming(members);
                self.plan.needs_streams = true;
            }
            _ => {
                self.begin_forming(members);
                let unrunnable = self.slots.as_ref().map_or(Stage::Idle, form_cluster::replace_unrunnable);
                if self.adopt(unrunnable) {
                    return;
                }
                let first = self.input.actual.server(0);
                let operation = Operation::new(OperationKind::FormCluster, OperationStep::Restart);
                self.plan.operation = Some(operation.waiting_for(format!("{first} to join the cluster")).at(first));
            }
        }
    }

    /// Plans `desired` standalone servers again, before the first server has joined the cluster.
    pub(super) fn back_to_standalone(&mut self, desired: u32) {
        self.plan.variant = Variant::main(ServerMode::Standalone);
        self.plan.main_kind = ServerMode::Standalone;
        self.plan.replicas = desired;
        self.plan.routes = 0;
        self.plan.members = desired;
        self.plan.partition = desired;
        self.plan.operation = Some(Operation::new(OperationKind::ScaleDown, OperationStep::Stop));
    }
}
