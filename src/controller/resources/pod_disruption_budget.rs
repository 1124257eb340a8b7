//! The PodDisruptionBudget: one server at a time is evicted, so that a majority stays when nodes are drained.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};
use nats_manager_api::{FileStore, ResolvedCluster};

use super::metadata;

pub(super) fn build(cluster: &ResolvedCluster) -> PodDisruptionBudget {
    metadata::stamped(PodDisruptionBudget {
        // By contract it has the labels of the spec, but not the annotations.
        metadata: metadata::object(cluster, cluster.id.name.clone(), BTreeMap::new()),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(metadata::selector(cluster)),
            unhealthy_pod_eviction_policy: Some(unhealthy_pod_eviction_policy(cluster).to_owned()),
            ..PodDisruptionBudgetSpec::default()
        }),
        ..PodDisruptionBudget::default()
    })
}

/// Returns the policy for servers that are not ready. The only server of a cluster of one never leaves enough others, so
/// that a drain of its node would wait for ever; its volume follows it. Of several, one is evicted only while the others
/// are ready: it may have the replica that they need for a majority. Without volumes, an eviction destroys the messages
/// (<https://kubernetes.io/docs/tasks/run-application/configure-pdb/#unhealthy-pod-eviction-policy>).
fn unhealthy_pod_eviction_policy(cluster: &ResolvedCluster) -> &'static str {
    match cluster.file_store {
        FileStore::Volume { .. } if !cluster.is_clustered() => "AlwaysAllow",
        _ => "IfHealthyBudget",
    }
}
