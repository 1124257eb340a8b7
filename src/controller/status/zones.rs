//! The condition `AvailabilityZones`: the servers run in enough zones.

use nats_manager_api::{ConditionType, ModuleState, Reason};

use super::{
    StatusFacts,
    update::{ConditionStatus, Update},
};

/// Number of zones with which a cluster of three or more servers survives the loss of one zone.
const ENOUGH_ZONES: u32 = 3;

const KIND: ConditionType = ConditionType::AvailabilityZones;

impl Update<'_> {
    pub(super) fn zones(&mut self, facts: &StatusFacts<'_>) {
        if !facts.zones.is_complete && self.has_counted_zones() {
            self.keep_zones();
            return;
        }
        let used = facts.zones.count;
        self.status.availability_zones_used = i64::try_from(used).unwrap_or(i64::MAX);
        let enough = facts.size.min(ENOUGH_ZONES) as usize;
        if let Some(node) = &facts.zones.unlabelled_node {
            // An unknown zone leaves the state as it was.
            if self.old.state == ModuleState::Warning.to_string() {
                self.warn();
            }
            let cause = format!("node {node} has no label topology.kubernetes.io/zone");
            self.set(KIND, ConditionStatus::False, Reason::FailedProcessing, &cause);
        } else if facts.size < ENOUGH_ZONES {
            let message = "NATS is not configured to run in cluster mode (i.e. spec.cluster.size < 3).";
            self.set(KIND, ConditionStatus::False, Reason::NotConfigured, message);
        } else if used >= enough {
            self.set(
                KIND,
                ConditionStatus::True,
                Reason::Deployed,
                "NATS is deployed in different availability zones.",
            );
        } else {
            self.warn();
            let message = format!(
                "NATS is not currently using enough availability zones (Recommended: {ENOUGH_ZONES}, current: {used})."
            );
            self.set(KIND, ConditionStatus::False, Reason::Unknown, &message);
        }
    }

    /// Keeps the condition, since Pods that restart have no zone for a moment.
    pub(super) fn keep_zones(&mut self) {
        let Some(zones) = self.old.condition(KIND).filter(|zones| zones.status == "False") else { return };
        let is = |reason: Reason| zones.reason == reason.to_string();
        // An unknown zone has left the state as it was.
        let was_warning = self.old.state == ModuleState::Warning.to_string();
        if is(Reason::Unknown) || (is(Reason::FailedProcessing) && was_warning) {
            self.warn();
        }
    }

    /// Returns whether zones were counted since the servers have been ready.
    fn has_counted_zones(&self) -> bool {
        let zones = self.old.condition(KIND);
        zones.is_some_and(|zones| zones.status != "Unknown" && zones.reason != Reason::Pending.to_string())
    }

    /// Sets the condition while the servers are not ready, when no zones are counted.
    pub(super) fn no_zones(&mut self) {
        self.status.availability_zones_used = 0;
        let message = "Availability zones are counted when the StatefulSet is ready.";
        self.set(KIND, ConditionStatus::False, Reason::Pending, message);
    }
}
