//! The Istio DestinationRule: clients in the mesh use plain NATS, since the servers have no proxy that could terminate
//! mutual TLS.

use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use nats_manager_api::ResolvedCluster;
use serde_json::json;

use super::metadata;

/// Name of the CRD without which the apiserver does not serve the kind.
pub const CRD_NAME: &str = "destinationrules.networking.istio.io";

/// Returns group, version, kind and plural of the DestinationRule.
pub fn resource() -> ApiResource {
    ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk("networking.istio.io", "v1beta1", "DestinationRule"),
        "destinationrules",
    )
}

pub(super) fn build(cluster: &ResolvedCluster) -> DynamicObject {
    let mut rule = DynamicObject::new(&cluster.id.name, &resource()).data(json!({
        "spec": {
            "host": cluster.host(),
            "trafficPolicy": {"tls": {"mode": "DISABLE"}},
        }
    }));
    rule.metadata = metadata::object(cluster, cluster.id.name.clone(), metadata::annotations(cluster, []));
    metadata::stamped(rule)
}
