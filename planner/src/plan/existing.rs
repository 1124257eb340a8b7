//! Existing servers, from any source: their number, the mode of their configuration, the recorded membership.

use super::{Blocked, BlockedReason, PlanInput, Variant};
use crate::actual::{ActualState, ConfigKey, MAX_SERVERS, ServerMode, StatefulSetState};

/// The existing part of a cluster.
pub(super) enum Existing<'a> {
    /// Nothing exists: a new cluster.
    Nothing,
    /// The resources to build are unknown for now.
    Unknown(Blocked),
    /// Servers, or their leftover objects.
    Servers(Servers<'a>),
}

/// Servers that exist, or that existed before the StatefulSet was deleted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Servers<'a> {
    /// The StatefulSet; `None` while it is missing.
    pub(super) set: Option<&'a StatefulSetState>,
    /// The number of servers: the present or last replicas of the StatefulSet.
    pub(super) replicas: u32,
    /// The variant that the Pods of the present template read.
    pub(super) variant: Variant,
    /// The recorded membership.
    pub(super) members: u32,
    /// The cluster is being formed: the first server still runs standalone, the others have the new template.
    pub(super) is_forming: bool,
    /// The restart of the first server as a member was recorded and may have been carried out already. Observations of
    /// the first server may be older.
    pub(super) is_joining: bool,
}

impl<'a> Existing<'a> {
    pub(super) fn of(input: &PlanInput<'a>) -> Self {
        let actual = input.actual;
        match &actual.stateful_set {
            Some(set) => Self::Servers(Servers::of_set(input, set)),
            None => Self::without_stateful_set(actual),
        }
    }

    /// Returns the servers that existed before the StatefulSet went missing: from the recorded membership, else the
    /// routes of the live configuration, else the PVCs. Never from the spec: an interrupted scale-down must resume with
    /// the servers that existed.
    fn without_stateful_set(actual: &'a ActualState) -> Self {
        let config = actual.config.unwrap_or_default();
        let routes = config.clustered_routes.or(config.main_routes).map(|routes| routes.max(1));
        let kept = || actual.pvcs.iter().filter(|pvc| !pvc.terminating);
        let pvcs = kept().map(|pvc| pvc.ordinal.saturating_add(1)).max();
        let terminating = actual.pvcs.iter().find(|pvc| pvc.terminating);
        if actual.members.is_none() && routes.is_none() && pvcs.is_none() && terminating.is_none() {
            return Self::Nothing;
        }
        if let Some(pvc) = terminating {
            let server = actual.server(pvc.ordinal);
            return Self::Unknown(Blocked::new(
                BlockedReason::PvcTerminating,
                format!("{}; servers are created when it is gone", pvc.terminating_message(&server)),
            ));
        }
        let Some(size) = actual.members.or(routes).or(pvcs).filter(|size| (1..=MAX_SERVERS).contains(size)) else {
            return Self::Nothing;
        };
        if actual.members.is_none() && routes.is_none() && kept().count() != size as usize {
            return Self::Unknown(Blocked::new(
                BlockedReason::StoreUnknown,
                "the StatefulSet and the ConfigMap are gone and the PVCs do not show whether the servers formed a \
                 cluster; restore the ConfigMap, or delete the PVCs to start with empty servers",
            ));
        }
        let kind = ServerMode::of(size);
        let is_formed = kind == ServerMode::Clustered && config.clustered_routes.is_some();
        let variant = if is_formed { Variant::FORMED } else { Variant::main(kind) };
        Self::Servers(Servers {
            set: None,
            replicas: size,
            variant,
            members: size,
            is_forming: false,
            is_joining: false,
        })
    }
}

impl<'a> Servers<'a> {
    fn of_set(input: &PlanInput<'a>, set: &'a StatefulSetState) -> Self {
        let actual = input.actual;
        let replicas = set.replicas;
        let recorded = actual.members.filter(|members| (1..=MAX_SERVERS).contains(members));
        if set.config_key == ConfigKey::Clustered {
            let is_clustered = runs_clustered(input);
            let (is_forming, is_joining) = match recorded.map(ServerMode::of) {
                Some(ServerMode::Standalone) => (!is_clustered, false),
                // The configuration of standalone servers is unchanged, so the first server may be standalone.
                Some(ServerMode::Clustered) => {
                    let is_standalone = is_first_standalone(input, set)
                        || actual.config.is_some_and(|config| config.main_routes == Some(0));
                    (!is_clustered && is_standalone, !is_clustered && is_standalone)
                }
                None => (is_first_standalone(input, set), false),
            };
            let recorded = recorded.filter(|members| ServerMode::of(*members) == ServerMode::Clustered);
            let members = if is_forming && !is_joining { 1 } else { recorded.unwrap_or(replicas) };
            return Self { set: Some(set), replicas, variant: Variant::FORMED, members, is_forming, is_joining };
        }
        let routes = actual.config.and_then(|config| config.main_routes);
        // A server with a meta group is clustered, whatever was recorded. One without may be starting: then the record
        // counts, before the ConfigMap, which the predecessor may have overwritten.
        let kind = if runs_clustered(input) {
            ServerMode::Clustered
        } else {
            let recorded = recorded.map(ServerMode::of);
            let routes = routes.map(|routes| if routes > 0 { ServerMode::Clustered } else { ServerMode::Standalone });
            recorded.or(routes).unwrap_or(ServerMode::of(replicas))
        };
        let members = recorded.filter(|members| ServerMode::of(*members) == kind).unwrap_or(match kind {
            ServerMode::Standalone => replicas.clamp(1, 2),
            ServerMode::Clustered => routes.filter(|routes| *routes > 0).unwrap_or(replicas.min(MAX_SERVERS)),
        });
        Self { set: Some(set), replicas, variant: Variant::main(kind), members, is_forming: false, is_joining: false }
    }

    /// Returns the mode that running servers have.
    pub(super) fn kind(&self) -> ServerMode {
        if self.is_forming { ServerMode::Standalone } else { self.variant.kind }
    }
}

/// Returns whether the first server reports a meta group.
pub(super) fn runs_clustered(input: &PlanInput<'_>) -> bool {
    let first = input.actual.server(0);
    let answer = input.assessment().and_then(|assessment| assessment.snapshot.answer(&first));
    answer.is_some_and(|answer| answer.meta.is_some())
}

/// Returns whether the first server is ready with an earlier template, and reports no meta group. A clustered server
/// without a meta group is not ready.
fn is_first_standalone(input: &PlanInput<'_>, set: &StatefulSetState) -> bool {
    let Some(pod) = input.actual.pod(0) else { return false };
    let answer = input.assessment().and_then(|assessment| assessment.snapshot.answer(&pod.name));
    let is_standalone = answer.is_some_and(|answer| answer.meta.is_none() && !answer.disabled);
    is_standalone && pod.is_serving() && pod.revision != set.update_revision
}
