//! Metric of the conditions. It has one series for each condition, so at most as many as there are types.

use std::{collections::BTreeMap, sync::Mutex};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};

/// Conditions of the NATS resource, as in its status.
#[derive(Debug, Default)]
pub(super) struct ConditionMetrics {
    family: Family<ConditionLabels, Gauge>,
    /// Present series by the type of the condition.
    shown: Mutex<BTreeMap<String, ConditionLabels>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ConditionLabels {
    r#type: String,
    status: String,
    reason: String,
}

impl ConditionMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "nats_manager_condition",
            "1 for each condition of the NATS resource, with its status and reason",
            self.family.clone(),
        );
    }

    /// Shows the conditions and removes the others. A scrape never misses a condition that stays.
    pub(super) fn show(&self, conditions: &[Condition]) {
        let mut next = BTreeMap::new();
        for condition in conditions {
            let labels = ConditionLabels {
                r#type: condition.type_.clone(),
                status: condition.status.clone(),
                reason: condition.reason.clone(),
            };
            self.family.get_or_create(&labels).set(1);
            next.insert(condition.type_.clone(), labels);
        }
        let Ok(mut shown) = self.shown.lock() else { return };
        let previous = std::mem::replace(&mut *shown, next);
        for (kind, labels) in previous {
            if shown.get(&kind) != Some(&labels) {
                self.family.remove(&labels);
            }
        }
    }
}
