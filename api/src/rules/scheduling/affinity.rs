//! Rules on affinity to nodes and Pods.

use k8s_openapi::api::core::v1::{
    Affinity, NodeAffinity, NodeSelectorTerm, PodAffinityTerm, PreferredSchedulingTerm, WeightedPodAffinityTerm,
};

use super::{Checked, check_choice, check_key, each, invalid, number, selector};
use crate::rules::{metadata::is_subdomain, path::FieldPath};

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

pub(super) fn check(field: FieldPath<'_>, affinity: &Affinity) -> Checked {
    if let Some(nodes) = &affinity.node_affinity {
        check_nodes(field.child("nodeAffinity"), nodes)?;
    }
    if let Some(pods) = &affinity.pod_affinity {
        let (required, preferred) = (
            &pods.required_during_scheduling_ignored_during_execution,
            &pods.preferred_during_scheduling_ignored_during_execution,
        );
        check_pods(field.child("podAffinity"), required.as_deref(), preferred.as_deref())?;
    }
    if let Some(pods) = &affinity.pod_anti_affinity {
        let (required, preferred) = (
            &pods.required_during_scheduling_ignored_during_execution,
            &pods.preferred_during_scheduling_ignored_during_execution,
        );
        check_pods(field.child("podAntiAffinity"), required.as_deref(), preferred.as_deref())?;
    }
    Ok(())
}

fn check_nodes(field: FieldPath<'_>, affinity: &NodeAffinity) -> Checked {
    if let Some(required) = &affinity.required_during_scheduling_ignored_during_execution {
        let required_field = field.child(REQUIRED);
        let terms = required_field.child("nodeSelectorTerms");
        if required.node_selector_terms.is_empty() {
            return invalid(terms, "", "must have at least one node selector term");
        }
        each(terms, &required.node_selector_terms, check_term)?;
    }
    let preferred = affinity.preferred_during_scheduling_ignored_during_execution.as_deref().unwrap_or_default();
    each(field.child(PREFERRED), preferred, |field, term: &PreferredSchedulingTerm| {
        check_weight(field, term.weight)?;
        check_term(field.child("preference"), &term.preference)
    })
}

fn check_term(field: FieldPath<'_>, term: &NodeSelectorTerm) -> Checked {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    each(field.child("matchExpressions"), expressions, |field, requirement| {
        check_key(field.child("key"), &requirement.key)?;
        selector::check_node_operator(field, &requirement.operator, requirement.values.as_deref().unwrap_or_default())
    })?;
    let fields = term.match_fields.as_deref().unwrap_or_default();
    each(field.child("matchFields"), fields, |field, requirement| {
        check_choice(field.child("key"), &requirement.key, &["metadata.name"])?;
        check_choice(field.child("operator"), &requirement.operator, &["In", "NotIn"])?;
        if requirement.values.as_deref().unwrap_or_default().len() == 1 {
            return Ok(());
        }
        invalid(field.child("values"), "", "must have one value")
    })
}

fn check_pods(
    field: FieldPath<'_>,
    required: Option<&[PodAffinityTerm]>,
    preferred: Option<&[WeightedPodAffinityTerm]>,
) -> Checked {
    each(field.child(REQUIRED), required.unwrap_or_default(), check_pod_term)?;
    each(field.child(PREFERRED), preferred.unwrap_or_default(), |field, term| {
        check_weight(field, term.weight)?;
        check_pod_term(field.child("podAffinityTerm"), &term.pod_affinity_term)
    })
}

fn check_pod_term(field: FieldPath<'_>, term: &PodAffinityTerm) -> Checked {
    check_key(field.child("topologyKey"), &term.topology_key)?;
    for namespace in term.namespaces.iter().flatten() {
        if !is_subdomain(namespace) || namespace.contains('.') {
            return invalid(field.child("namespaces"), namespace, "must be the name of a namespace");
        }
    }
    let selectors = [("labelSelector", &term.label_selector), ("namespaceSelector", &term.namespace_selector)];
    for (name, all) in selectors {
        if let Some(all) = all {
            selector::check(field.child(name), all)?;
        }
    }
    Ok(())
}

fn check_weight(field: FieldPath<'_>, weight: i32) -> Checked {
    if (1..=100).contains(&weight) {
        return Ok(());
    }
    number(field.child("weight"), weight, "must be in the range 1-100")
}
