//! The PodDisruptionBudget: one server at a time is evicted, so that a majority stays when nodes are drained.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};
use nats_manager_api::ResolvedCluster;

use super::metadata;

pub(super) fn build(cluster: &ResolvedCluster) -> PodDisruptionBudget {
    metadata::stamped(PodDisruptionBudget {
        // By contract it has the labels of the spec, but not the annotations.
        metadata: metadata::object(cluster, cluster.id.name.clone(), BTreeMap::new()),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(metadata::selector(cluster)),
            ..PodDisruptionBudgetSpec::default()
        }),
        ..PodDisruptionBudget::default()
    })
}
