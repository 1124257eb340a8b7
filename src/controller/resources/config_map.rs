//! The ConfigMap with the configuration of nats-server.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use nats_manager_api::ResolvedCluster;
use nats_manager_planner::{
    actual::{ConfigKey, ServerMode},
    plan::Plan,
};

use super::{metadata, nats_conf};

/// Builds the ConfigMap with the key that fresh clusters read, and the key of a cluster that was formed from a
/// standalone server.
pub(super) fn build(cluster: &ResolvedCluster, plan: &Plan) -> ConfigMap {
    let main_routes = if plan.main_kind == ServerMode::Clustered { plan.routes } else { 0 };
    let mut keys = BTreeMap::from([(nats_conf::file(ConfigKey::Main).to_owned(), text(cluster, plan, main_routes))]);
    if plan.variant.key == ConfigKey::Clustered {
        keys.insert(nats_conf::file(ConfigKey::Clustered).to_owned(), text(cluster, plan, plan.routes));
    }
    metadata::stamped(ConfigMap {
        metadata: metadata::object(cluster, cluster.id.config_map(), metadata::annotations(cluster, [])),
        data: Some(keys),
        ..ConfigMap::default()
    })
}

fn text(cluster: &ResolvedCluster, plan: &Plan, routes: u32) -> String {
    let Plan { memory_store, file_store, .. } = *plan;
    nats_conf::text(cluster, nats_conf::Layout { routes, memory_store, file_store })
}
