//! From a resolved cluster to the objects that run it: pure functions, a file a kind.
//!
//! Names, labels, selectors and ports are the contract's. What cannot change in a running cluster
//! (the selector, the service name, the pod management policy, the claim template) stays byte for
//! byte what it was, or a takeover would break.

mod config_map;
mod containers;
mod destination_rule;
mod metadata;
mod nats_conf;
mod pod_disruption_budget;
mod secret;
mod service;
mod spread;
mod stateful_set;
#[cfg(test)]
mod tests;

use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{ConfigMap, Secret, Service},
    policy::v1::PodDisruptionBudget,
};
use kube::core::DynamicObject;
use nats_manager_api::ResolvedCluster;
use nats_manager_planner::plan::Plan;

use crate::settings::Images;

pub use destination_rule::{CRD_NAME as DESTINATION_RULE_CRD, resource as destination_rule_resource};
pub(super) use nats_conf::{
    CLIENT_PORT, FOLDER as CONFIG_FOLDER, Layout, MONITOR_PORT, digest as config_digest, file as config_file, routes_in,
};
pub use secret::{RESOLVER_KEY, SystemAccount};
pub use stateful_set::template_hash;

/// The objects of one NATS cluster, whole, as they are applied. Each carries its `apiVersion` and
/// `kind`, the owner reference, and the hash of what it is ([`nats_manager_api::naming::APPLIED_HASH`]).
#[derive(Clone, Debug, PartialEq)]
pub struct Children {
    /// The system account.
    pub secret: Secret,
    /// `nats.conf`.
    pub config_map: ConfigMap,
    /// The headless Service.
    pub service: Service,
    /// The servers.
    pub stateful_set: StatefulSet,
    /// At most one server at a time is evicted.
    pub pod_disruption_budget: PodDisruptionBudget,
    /// Istio's proxies leave the traffic alone. Only for clusters that know the kind.
    pub destination_rule: DynamicObject,
}

/// Builds the resources of `cluster` as the plan has them now.
pub fn build(cluster: &ResolvedCluster, plan: &Plan, images: &Images, account: &SystemAccount) -> Children {
    Children {
        secret: secret::build(cluster, account),
        config_map: config_map::build(cluster, plan),
        service: service::build(cluster),
        stateful_set: stateful_set::build(cluster, images, plan),
        pod_disruption_budget: pod_disruption_budget::build(cluster),
        destination_rule: destination_rule::build(cluster),
    }
}
