//! The build stage: takes the resolved cluster and the plan, and returns the objects. Pure functions, a file per kind.
//!
//! Names, labels, selectors and ports belong to the contract. The immutable fields of a StatefulSet (the selector, the
//! service name, the Pod management policy, the PVC template) have the same bytes as the predecessor's, or the takeover
//! of a running cluster would fail.

mod config_map;
mod containers;
mod destination_rule;
mod metadata;
mod nats_conf;
mod network_policy;
mod pod_disruption_budget;
mod ports;
mod secret;
mod service;
mod spread;
mod stateful_set;
#[cfg(test)]
mod tests;
mod volumes;

use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{ConfigMap, Secret, Service},
    networking::v1::NetworkPolicy,
    policy::v1::PodDisruptionBudget,
};
use kube::core::DynamicObject;
use nats_manager_api::{Bytes, ResolvedCluster};
use nats_manager_planner::plan::Plan;

use crate::settings::Images;

pub use destination_rule::{CRD_NAME as DESTINATION_RULE_CRD, resource as destination_rule_resource};
pub(super) use nats_conf::{
    FOLDER as CONFIG_FOLDER, Layout, digest as config_digest, file as config_file, file_store_in, routes_in,
};
pub(super) use ports::{CLIENT as CLIENT_PORT, MONITOR as MONITOR_PORT};
pub use secret::{RESOLVER_KEY, SystemAccount};
pub(super) use stateful_set::build as build_stateful_set;
pub use stateful_set::template_hash;

/// Objects of one NATS cluster, with all the fields that are applied. Each has `apiVersion` and `kind`, the owner
/// reference, and the hash of its content ([`nats_manager_api::naming::APPLIED_HASH`]).
#[derive(Clone, Debug, PartialEq)]
pub struct Children {
    /// Secret with the system account.
    pub secret: Secret,
    pub config_map: ConfigMap,
    pub service: Service,
    /// Closed ports of the servers. `None` where the resource turns the policy off.
    pub network_policy: Option<NetworkPolicy>,
    pub stateful_set: StatefulSet,
    /// Limit of one evicted server at a time.
    pub pod_disruption_budget: PodDisruptionBudget,
    /// Exemption of the traffic from mutual TLS, applied only where the apiserver serves the kind.
    pub destination_rule: DynamicObject,
}

/// Returns the plan of a cluster that does not exist yet.
pub fn fresh_plan(cluster: &ResolvedCluster) -> Plan {
    let memory_store = cluster.memory_store.unwrap_or_default();
    Plan::fresh(cluster.size, memory_store.get(), cluster.file_store.volume_size().map(Bytes::get))
}

/// Builds the objects of `cluster` according to the plan.
pub fn build(cluster: &ResolvedCluster, plan: &Plan, images: &Images, account: &SystemAccount) -> Children {
    Children {
        secret: secret::build(cluster, account),
        config_map: config_map::build(cluster, plan),
        service: service::build(cluster),
        network_policy: network_policy::build(cluster),
        stateful_set: stateful_set::build(cluster, images, plan),
        pod_disruption_budget: pod_disruption_budget::build(cluster),
        destination_rule: destination_rule::build(cluster),
    }
}
