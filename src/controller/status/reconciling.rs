//! The condition `Reconciling` and `status.operation`: the change in progress, its step, and the obstacle of that step.

use std::time::Duration;

use nats_manager_api::{ConditionType, OperationStatus, Reason, naming};
use nats_manager_planner::plan::{Operation, OperationKind, OperationStep};

use super::{
    StatusFacts, text,
    update::{ConditionStatus, Update, time, timestamp},
};

/// Time in which the first deployment names no single server, since its servers become ready one after the other.
const BRIEF: Duration = Duration::from_secs(30);

const KIND: ConditionType = ConditionType::Reconciling;

impl Update<'_> {
    pub(super) fn reconciling(&mut self, facts: &StatusFacts<'_>) {
        let with_status = |operation| (operation, self.operation(operation, facts.action_failure));
        let operation = facts.plan.operation.as_ref().map(with_status);
        // The plan has no operation either while the watch caches disagree for a moment.
        let is_undecided = operation.is_none() && (!facts.plan.is_consistent || facts.has_outdated_counts());
        if !is_undecided {
            self.status.operation = operation.as_ref().map(|(_, status)| status.clone());
        }
        match (facts.pods_not_created, operation) {
            (Some(cause), _) => self.pods_not_created(cause),
            (None, Some((operation, status))) => self.in_progress(operation.kind, operation.step, &status),
            (None, None) if is_undecided => self.processing(),
            (None, None) => self.at_rest(facts),
        }
    }

    fn pods_not_created(&mut self, cause: &str) {
        let message = text::steady(self.old_message(KIND, Reason::FailedCreate), "", cause);
        if self.set(KIND, ConditionStatus::True, Reason::FailedCreate, &message) {
            self.announce(true, Reason::FailedCreate, &message);
        }
    }

    /// Sets a new spec as in progress until it is known to be carried out. Otherwise the condition stays.
    fn processing(&mut self) {
        let is_observed = self.old.observed_generation == Some(self.generation);
        if !is_observed || self.old.condition(KIND).is_none() || self.had_reason(KIND, Reason::FailedCreate) {
            self.set(KIND, ConditionStatus::True, Reason::Processing, "The newest spec is being processed.");
        }
    }

    fn at_rest(&mut self, facts: &StatusFacts<'_>) {
        if let Some(notice) = facts.reload_notice {
            if self.set(KIND, ConditionStatus::True, Reason::ReloadPending, notice) {
                self.announce(false, Reason::ReloadPending, notice);
            }
        } else if facts.is_rollout_forced {
            let message = leftover_force_rollout(facts);
            if self.set(KIND, ConditionStatus::False, Reason::RolloutForced, &message) {
                self.announce(true, Reason::RolloutForced, &message);
            }
        } else {
            self.not_reconciling();
        }
    }

    /// Sets the condition to False, and removes the operation.
    pub(super) fn not_reconciling(&mut self) {
        self.status.operation = None;
        self.set(KIND, ConditionStatus::False, Reason::Idle, "No change is in progress.");
    }

    fn in_progress(&mut self, kind: OperationKind, step: OperationStep, operation: &OperationStatus) {
        self.set(KIND, ConditionStatus::True, reason(kind), &message(kind, step, operation));
    }

    /// Returns the operation for the status, with the error of its action. The obstacle stays the same as long as it is
    /// one of the present obstacles.
    fn operation(&self, operation: &Operation, failure: Option<&str>) -> OperationStatus {
        let type_ = format!("{:?}", operation.kind);
        let old = self.old.operation.as_ref().filter(|old| old.type_ == type_);
        let since = old.map_or_else(|| timestamp(self.now), |old| old.since.clone());
        let is_new = self.now.since(time(&since)) < BRIEF;
        let is_brief = operation.kind == OperationKind::Deployment && is_new;
        let step = format!("{:?}", operation.step);
        let server = operation.server.clone().filter(|_| !is_brief);
        let before = old.filter(|old| old.step == step && old.server == server);
        let before = before.and_then(|old| old.waiting_for.as_deref());
        let waiting_for = match (failure, operation.waiting_for.as_deref()) {
            _ if is_brief => None,
            // Each attempt may fail with different details.
            (Some(failure), _) => {
                Some(before.filter(|old| text::without_cause(old) == text::without_cause(failure)).unwrap_or(failure))
            }
            (None, Some(cause)) => Some(text::still_named(before, cause).unwrap_or(cause)),
            (None, None) => None,
        };
        let waiting_for = waiting_for.map(str::to_owned);
        OperationStatus { type_, server, step, waiting_for, since }
    }
}

fn reason(kind: OperationKind) -> Reason {
    match kind {
        OperationKind::Deployment => Reason::Deployment,
        OperationKind::RollingUpdate => Reason::RollingUpdate,
        OperationKind::ScaleUp => Reason::ScaleUp,
        OperationKind::ScaleDown => Reason::ScaleDown,
        OperationKind::FormCluster => Reason::FormCluster,
        OperationKind::ExpandVolumes => Reason::ExpandVolumes,
        OperationKind::ReplaceServer => Reason::ReplaceServer,
        OperationKind::Repair => Reason::Repair,
    }
}

/// Returns the message, such as `Rolling update: waiting to restart n-1: replica of stream sap on n-2 is not in sync`.
fn message(kind: OperationKind, step: OperationStep, operation: &OperationStatus) -> String {
    let change = match kind {
        OperationKind::Deployment => "First deployment",
        OperationKind::RollingUpdate => "Rolling update",
        OperationKind::ScaleUp => "Scale-up",
        OperationKind::ScaleDown => "Scale-down",
        OperationKind::FormCluster => "Change from one server to a cluster",
        OperationKind::ExpandVolumes => "Expansion of the volumes",
        OperationKind::ReplaceServer => "Server replacement",
        OperationKind::Repair => "Repair",
    };
    let server = operation.server.as_deref().unwrap_or("servers");
    let step = match (step, &operation.waiting_for) {
        (OperationStep::Wait, _) => match &operation.server {
            Some(server) => format!("waiting to continue with {server}"),
            None => "waiting".to_owned(),
        },
        (OperationStep::Create, None) => format!("creating {server}"),
        (OperationStep::Create, Some(_)) => format!("waiting for {server}"),
        (OperationStep::Restart, None) => format!("restarting {server}"),
        (OperationStep::Restart, Some(_)) => format!("waiting to restart {server}"),
        (OperationStep::Evacuate, None) => format!("moving replicas off {server}"),
        (OperationStep::Evacuate, Some(_)) => format!("waiting to move replicas off {server}"),
        (OperationStep::Stop, None) => format!("stopping {server}"),
        (OperationStep::Stop, Some(_)) => format!("waiting to stop {server}"),
        (OperationStep::RemovePeer, None) => format!("removing {server} from the meta group"),
        (OperationStep::RemovePeer, Some(_)) => format!("waiting to remove {server} from the meta group"),
        (OperationStep::DeletePvc, None) => format!("deleting the PVC of {server}"),
        (OperationStep::DeletePvc, Some(_)) => format!("waiting to delete the PVC of {server}"),
        (OperationStep::ExpandPvc, None) => format!("requesting a larger volume for {server}"),
        (OperationStep::ExpandPvc, Some(_)) => format!("waiting for the volume of {server}"),
        (OperationStep::RecreateStatefulSet, None) => "recreating the StatefulSet without its Pods".to_owned(),
        (OperationStep::RecreateStatefulSet, Some(_)) => "waiting to recreate the StatefulSet".to_owned(),
        (OperationStep::Reload, None) => format!("reloading the configuration of {server}"),
        (OperationStep::Reload, Some(_)) => format!("waiting to reload the configuration of {server}"),
    };
    match &operation.waiting_for {
        Some(cause) => format!("{change}: {step}: {cause}"),
        None => format!("{change}: {step}"),
    }
}

/// Returns the message about the annotation `force-rollout` that is still set.
fn leftover_force_rollout(facts: &StatusFacts<'_>) -> String {
    format!(
        "No change is in progress, and the annotation {0} is still set: the next rolling update would not wait for \
         JetStream. Remove it: kubectl annotate nats {1} -n {2} {0}-",
        naming::FORCE_ROLLOUT,
        facts.id.name,
        facts.id.namespace
    )
}
