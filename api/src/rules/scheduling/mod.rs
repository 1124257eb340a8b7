//! Rules on the placement of the servers: those of Kubernetes for a Pod template, so that a spec that the apiserver
//! would reject later is rejected at admission (`k8s.io/kubernetes/pkg/apis/core/validation`).

mod affinity;
mod selector;

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{NodeAffinity, Toleration, TopologySpreadConstraint};

use super::{
    ClusterFacts, Findings, Violation, ViolationClass,
    metadata::{is_label_value, is_qualified_name},
    path::FieldPath,
};
use crate::{deployed::FileStore, scheduling::Scheduling, spec_view::SpecView};

const FIELD: &str = "spec.scheduling";
const PATH: FieldPath<'static> = FieldPath::new(FIELD);
const NOT_A_KEY: &str =
    "must be a label key: a name of at most 63 characters, with an optional DNS domain and '/' before it";
const NOT_A_VALUE: &str = "must be a label value: at most 63 characters, letters, digits, '-', '_' or '.'";

/// Result of a check: the first violation, since lists of a user may be long.
type Checked = Result<(), Box<Violation>>;

pub(super) fn check(scheduling: &Scheduling, findings: &mut Findings) {
    let checks = [
        check_node_selector(&scheduling.node_selector),
        each(PATH.child("tolerations"), &scheduling.tolerations, check_toleration),
        scheduling.affinity.as_ref().map_or(Ok(()), |all| affinity::check(PATH.child("affinity"), all)),
        check_constraints(scheduling.topology_spread_constraints.as_deref().unwrap_or_default()),
    ];
    for violation in checks.into_iter().filter_map(Result::err) {
        findings.reject(*violation);
    }
}

/// Warns about a change of the allowed nodes, since the existing volumes do not move.
pub(super) fn check_change(
    old: SpecView<'_>,
    new: SpecView<'_>,
    cluster_facts: &ClusterFacts,
    findings: &mut Findings,
) {
    let has_volumes =
        cluster_facts.deployed.as_ref().is_some_and(|deployed| deployed.file_store != FileStore::MemoryOnly);
    if has_volumes && nodes(old.scheduling) != nodes(new.scheduling) {
        findings.warn(
            FIELD,
            "the servers restart one by one, and their volumes stay where they are: a server whose volume cannot be \
             attached to an allowed node stays pending",
        );
    }
}

/// Returns what decides on which nodes a server can run.
fn nodes(scheduling: &Scheduling) -> (&BTreeMap<String, String>, Option<&NodeAffinity>) {
    let affinity = scheduling.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    (&scheduling.node_selector, affinity)
}

fn check_node_selector(selector: &BTreeMap<String, String>) -> Checked {
    let field = PATH.child("nodeSelector");
    for (key, value) in selector {
        check_key(field.key(key), key)?;
        check_value(field.key(key), value)?;
    }
    Ok(())
}

fn check_toleration(field: FieldPath<'_>, toleration: &Toleration) -> Checked {
    let key = toleration.key.as_deref().unwrap_or_default();
    let operator = toleration.operator.as_deref().unwrap_or_default();
    let value = toleration.value.as_deref().unwrap_or_default();
    let effect = toleration.effect.as_deref().unwrap_or_default();
    if !key.is_empty() {
        check_key(field.child("key"), key)?;
    }
    check_choice(field.child("operator"), operator, &["", "Equal", "Exists"])?;
    check_choice(field.child("effect"), effect, &["", "NoSchedule", "PreferNoSchedule", "NoExecute"])?;
    match operator {
        "Exists" if !value.is_empty() => {
            return invalid(field.child("value"), value, "must be empty when `operator` is 'Exists'");
        }
        "Exists" => {}
        _ if key.is_empty() => {
            return invalid(field.child("operator"), operator, "must be 'Exists' when `key` is empty");
        }
        _ => check_value(field.child("value"), value)?,
    }
    if toleration.toleration_seconds.is_some() && effect != "NoExecute" {
        let message = "must be 'NoExecute' when `tolerationSeconds` is set";
        return invalid(field.child("effect"), effect, message);
    }
    Ok(())
}

fn check_constraints(constraints: &[TopologySpreadConstraint]) -> Checked {
    let list = PATH.child("topologySpreadConstraints");
    each(list, constraints, check_constraint)?;
    if constraints.len() < 2 {
        return Ok(());
    }
    let mut known = BTreeSet::new();
    each(list, constraints, |field, constraint| {
        if known.insert((&constraint.topology_key, &constraint.when_unsatisfiable)) {
            return Ok(());
        }
        let message = "must not repeat the `topologyKey` and `whenUnsatisfiable` of another constraint";
        invalid(field.child("topologyKey"), &constraint.topology_key, message)
    })
}

fn check_constraint(field: FieldPath<'_>, constraint: &TopologySpreadConstraint) -> Checked {
    if constraint.max_skew < 1 {
        return number(field.child("maxSkew"), constraint.max_skew, "must be greater than 0");
    }
    check_key(field.child("topologyKey"), &constraint.topology_key)?;
    let (unsatisfiable, required) = (constraint.when_unsatisfiable.as_str(), "DoNotSchedule");
    check_choice(field.child("whenUnsatisfiable"), unsatisfiable, &[required, "ScheduleAnyway"])?;
    match constraint.min_domains {
        Some(domains) if domains < 1 => {
            return number(field.child("minDomains"), domains, "must be greater than 0");
        }
        Some(domains) if unsatisfiable != required => {
            let message = "can only be set when `whenUnsatisfiable` is 'DoNotSchedule'";
            return number(field.child("minDomains"), domains, message);
        }
        _ => {}
    }
    let policies = [
        ("nodeAffinityPolicy", &constraint.node_affinity_policy),
        ("nodeTaintsPolicy", &constraint.node_taints_policy),
    ];
    for (name, policy) in policies {
        check_choice(field.child(name), policy.as_deref().unwrap_or("Honor"), &["Honor", "Ignore"])?;
    }
    for key in constraint.match_label_keys.iter().flatten() {
        check_key(field.child("matchLabelKeys"), key)?;
    }
    constraint.label_selector.as_ref().map_or(Ok(()), |all| selector::check(field.child("labelSelector"), all))
}

/// Checks the elements of a list, up to the first violation.
fn each<'a, T>(
    list: FieldPath<'_>,
    elements: &'a [T],
    mut check: impl FnMut(FieldPath<'_>, &'a T) -> Checked,
) -> Checked {
    elements.iter().enumerate().try_for_each(|(index, element)| check(list.index(index), element))
}

fn check_key(field: FieldPath<'_>, key: &str) -> Checked {
    if is_qualified_name(key) { Ok(()) } else { invalid(field, key, NOT_A_KEY) }
}

fn check_value(field: FieldPath<'_>, value: &str) -> Checked {
    if is_label_value(value) { Ok(()) } else { invalid(field, value, NOT_A_VALUE) }
}

fn check_choice(field: FieldPath<'_>, value: &str, choices: &[&str]) -> Checked {
    if choices.contains(&value) {
        return Ok(());
    }
    let named: Vec<String> =
        choices.iter().filter(|choice| !choice.is_empty()).map(|choice| format!("'{choice}'")).collect();
    invalid(field, value, &format!("must be one of {}", named.join(", ")))
}

fn invalid(field: FieldPath<'_>, value: &str, message: &str) -> Checked {
    Err(Box::new(Violation::invalid(field.to_string(), ViolationClass::Invalid, value, message)))
}

fn number(field: FieldPath<'_>, value: i32, message: &str) -> Checked {
    Err(Box::new(Violation::invalid(field.to_string(), ViolationClass::Invalid, value, message)))
}
