//! Plans with no change in progress: those of new clusters, and those that the stages complete.

use std::collections::BTreeMap;

use super::{
    Blocked, BlockedReason, Operation, OperationKind, OperationStep, Plan, PlanInput, Variant, file_store::usable,
    scale_up::REJOIN,
};
use crate::{actual::ServerMode, version::Version};

impl Plan {
    /// Builds the plan of a new cluster with so many servers. The memory store and the size of each volume are in bytes.
    pub fn fresh(replicas: u32, memory_store: u64, volume_size: Option<u64>) -> Self {
        let kind = ServerMode::of(replicas);
        Self {
            may_build: true,
            replicas,
            variant: Variant::main(kind),
            routes: routes(kind, replicas),
            main_kind: kind,
            members: replicas,
            memory_store,
            file_store: volume_size.map_or(0, usable),
            partition: replicas,
            precondition: None,
            removed: BTreeMap::new(),
            action: None,
            is_confirmed: true,
            needs_streams: false,
            is_consistent: true,
            operation: None,
            blocked: Vec::new(),
            until: None,
        }
    }

    /// Sets the number of servers, and the membership and the routes that follow from it. Standalone servers that were
    /// added by hand never count as members.
    pub(super) fn resize(&mut self, replicas: u32) {
        self.replicas = replicas;
        self.members = match self.variant.kind {
            ServerMode::Clustered => replicas,
            ServerMode::Standalone => self.members.min(replicas).max(1),
        };
        self.routes = routes(self.variant.kind, replicas);
    }
}

/// Builds the plan of a cluster with so many servers and no change in progress.
pub(super) fn shape(input: &PlanInput<'_>, replicas: u32) -> Plan {
    let removed = input.history.removed.iter().filter(|(_, at)| input.now.since(**at) < REJOIN);
    Plan {
        removed: removed.map(|(peer, at)| (peer.clone(), *at)).collect(),
        ..Plan::fresh(replicas, input.desired.memory_store, input.desired.volume_size)
    }
}

/// Builds the plan of a cluster that does not exist yet. A harmful version blocks it.
pub(super) fn fresh(input: &PlanInput<'_>) -> Plan {
    let plan = shape(input, input.desired.replicas);
    if input.desired.version.is_some_and(Version::is_harmful) {
        let message = "NATS 2.15.0 can delete a running store; use 2.15.1 or later";
        return Plan { may_build: false, blocked: vec![Blocked::new(BlockedReason::VersionBlocked, message)], ..plan };
    }
    Plan { operation: Some(Operation::new(OperationKind::Deployment, OperationStep::Create)), ..plan }
}

fn routes(kind: ServerMode, servers: u32) -> u32 {
    if kind == ServerMode::Clustered { servers } else { 0 }
}
