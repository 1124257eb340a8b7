//! Distribution of the Pods across zones, then nodes.

use k8s_openapi::{
    api::core::v1::{Affinity, PodAffinityTerm, PodAntiAffinity, TopologySpreadConstraint, WeightedPodAffinityTerm},
    apimachinery::pkg::apis::meta::v1::LabelSelector,
};
use nats_manager_api::{ResolvedCluster, Spread};

const ZONE: &str = "topology.kubernetes.io/zone";
const NODE: &str = "kubernetes.io/hostname";

/// Builds the anti-affinity, a preference with the predecessor's weights.
pub(super) fn affinity(cluster: &ResolvedCluster) -> Affinity {
    let apart = |topology_key: &str, weight| WeightedPodAffinityTerm {
        weight,
        pod_affinity_term: PodAffinityTerm {
            label_selector: Some(servers(cluster)),
            topology_key: topology_key.to_owned(),
            ..PodAffinityTerm::default()
        },
    };
    Affinity {
        pod_anti_affinity: Some(PodAntiAffinity {
            preferred_during_scheduling_ignored_during_execution: Some(vec![apart(ZONE, 70), apart(NODE, 35)]),
            ..PodAntiAffinity::default()
        }),
        ..Affinity::default()
    }
}

/// Builds the constraints: no zone and no node has two servers more than another.
pub(super) fn constraints(cluster: &ResolvedCluster) -> Vec<TopologySpreadConstraint> {
    // Nodes that are drained or broken are tainted. If they counted as empty, their server could not be scheduled to
    // any other node.
    let (when_unsatisfiable, node_taints_policy) = match cluster.spread {
        Spread::Hard => ("DoNotSchedule", Some("Honor".to_owned())),
        Spread::Soft => ("ScheduleAnyway", None),
    };
    let even = |topology_key: &str| TopologySpreadConstraint {
        label_selector: Some(servers(cluster)),
        max_skew: 1,
        node_taints_policy: node_taints_policy.clone(),
        topology_key: topology_key.to_owned(),
        when_unsatisfiable: when_unsatisfiable.to_owned(),
        ..TopologySpreadConstraint::default()
    };
    vec![even(ZONE), even(NODE)]
}

fn servers(cluster: &ResolvedCluster) -> LabelSelector {
    let labels = [("nats_cluster".to_owned(), cluster.id.name.clone())].into();
    LabelSelector { match_labels: Some(labels), ..LabelSelector::default() }
}
