//! Rules on affinity to nodes and Pods.

use k8s_openapi::api::core::v1::{
    Affinity, NodeAffinity, NodeSelectorTerm, PodAffinityTerm, PreferredSchedulingTerm, WeightedPodAffinityTerm,
};

use super::{Checked, check_choice, check_key, each, invalid, number, selector};
use crate::rules::metadata::is_subdomain;

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

pub(super) fn check(field: &str, affinity: &Affinity) -> Checked {
    if let Some(nodes) = &affinity.node_affinity {
        check_nodes(&format!("{field}.nodeAffinity"), nodes)?;
    }
    if let Some(pods) = &affinity.pod_affinity {
        let (required, preferred) = (
            &pods.required_during_scheduling_ignored_during_execution,
            &pods.preferred_during_scheduling_ignored_during_execution,
        );
        check_pods(&format!("{field}.podAffinity"), required.as_deref(), preferred.as_deref())?;
    }
    if let Some(pods) = &affinity.pod_anti_affinity {
        let (required, preferred) = (
            &pods.required_during_scheduling_ignored_during_execution,
            &pods.preferred_during_scheduling_ignored_during_execution,
        );
        check_pods(&format!("{field}.podAntiAffinity"), required.as_deref(), preferred.as_deref())?;
    }
    Ok(())
}

fn check_nodes(field: &str, affinity: &NodeAffinity) -> Checked {
    if let Some(required) = &affinity.required_during_scheduling_ignored_during_execution {
        let terms = format!("{field}.{REQUIRED}.nodeSelectorTerms");
        if required.node_selector_terms.is_empty() {
            return invalid(&terms, "", "must have at least one node selector term");
        }
        each(&terms, &required.node_selector_terms, check_term)?;
    }
    let preferred = affinity.preferred_during_scheduling_ignored_during_execution.as_deref().unwrap_or_default();
    each(&format!("{field}.{PREFERRED}"), preferred, |field, term: &PreferredSchedulingTerm| {
        check_weight(field, term.weight)?;
        check_term(&format!("{field}.preference"), &term.preference)
    })
}

fn check_term(field: &str, term: &NodeSelectorTerm) -> Checked {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    each(&format!("{field}.matchExpressions"), expressions, |field, requirement| {
        check_key(&format!("{field}.key"), &requirement.key)?;
        selector::check_node_operator(field, &requirement.operator, requirement.values.as_deref().unwrap_or_default())
    })?;
    let fields = term.match_fields.as_deref().unwrap_or_default();
    each(&format!("{field}.matchFields"), fields, |field, requirement| {
        check_choice(&format!("{field}.key"), &requirement.key, &["metadata.name"])?;
        check_choice(&format!("{field}.operator"), &requirement.operator, &["In", "NotIn"])?;
        if requirement.values.as_deref().unwrap_or_default().len() == 1 {
            return Ok(());
        }
        invalid(&format!("{field}.values"), "", "must have one value")
    })
}

fn check_pods(
    field: &str,
    required: Option<&[PodAffinityTerm]>,
    preferred: Option<&[WeightedPodAffinityTerm]>,
) -> Checked {
    each(&format!("{field}.{REQUIRED}"), required.unwrap_or_default(), check_pod_term)?;
    each(&format!("{field}.{PREFERRED}"), preferred.unwrap_or_default(), |field, term| {
        check_weight(field, term.weight)?;
        check_pod_term(&format!("{field}.podAffinityTerm"), &term.pod_affinity_term)
    })
}

fn check_pod_term(field: &str, term: &PodAffinityTerm) -> Checked {
    check_key(&format!("{field}.topologyKey"), &term.topology_key)?;
    for namespace in term.namespaces.iter().flatten() {
        if !is_subdomain(namespace) || namespace.contains('.') {
            return invalid(&format!("{field}.namespaces"), namespace, "must be the name of a namespace");
        }
    }
    let selectors = [("labelSelector", &term.label_selector), ("namespaceSelector", &term.namespace_selector)];
    for (name, all) in selectors {
        if let Some(all) = all {
            selector::check(&format!("{field}.{name}"), all)?;
        }
    }
    Ok(())
}

fn check_weight(field: &str, weight: i32) -> Checked {
    if (1..=100).contains(&weight) {
        return Ok(());
    }
    number(&format!("{field}.weight"), weight, "must be in the range 1-100")
}
