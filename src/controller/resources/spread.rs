//! Distribution of the Pods across zones, then nodes.

use k8s_openapi::{
    api::core::v1::{Affinity, PodAffinityTerm, PodAntiAffinity, TopologySpreadConstraint, WeightedPodAffinityTerm},
    apimachinery::pkg::apis::meta::v1::LabelSelector,
};
use nats_manager_api::{ResolvedCluster, Spread};

const ZONE: &str = "topology.kubernetes.io/zone";
const NODE: &str = "kubernetes.io/hostname";

/// Returns the affinity of the spec, with the default anti-affinity where the spec has none.
pub(super) fn affinity(cluster: &ResolvedCluster) -> Affinity {
    let affinity = cluster.scheduling.affinity.clone().unwrap_or_default();
    let pod_anti_affinity = affinity.pod_anti_affinity.or_else(|| Some(anti_affinity(cluster)));
    Affinity { pod_anti_affinity, ..affinity }
}

/// Builds the default anti-affinity, a preference with the predecessor's weights.
fn anti_affinity(cluster: &ResolvedCluster) -> PodAntiAffinity {
    let apart = |topology_key: &str, weight| WeightedPodAffinityTerm {
        weight,
        pod_affinity_term: PodAffinityTerm {
            label_selector: Some(servers(cluster)),
            topology_key: topology_key.to_owned(),
            ..PodAffinityTerm::default()
        },
    };
    PodAntiAffinity {
        preferred_during_scheduling_ignored_during_execution: Some(vec![apart(ZONE, 70), apart(NODE, 35)]),
        ..PodAntiAffinity::default()
    }
}

/// Returns the constraints of the spec, which count the servers unless they have a selector, or else the default ones.
pub(super) fn constraints(cluster: &ResolvedCluster) -> Vec<TopologySpreadConstraint> {
    let Some(mut constraints) = cluster.scheduling.topology_spread_constraints.clone() else {
        return even_spread(cluster);
    };
    for constraint in &mut constraints {
        constraint.label_selector.get_or_insert_with(|| servers(cluster));
    }
    constraints
}

/// Builds the default constraints: no zone and no node has two servers more than another.
fn even_spread(cluster: &ResolvedCluster) -> Vec<TopologySpreadConstraint> {
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
