//! Rules on the placement of the servers: those of Kubernetes for a Pod template, so that a spec that the apiserver
//! would reject later is rejected at admission (`k8s.io/kubernetes/pkg/apis/core/validation`).

mod affinity;
mod selector;

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Toleration, TopologySpreadConstraint};

use super::{
    ClusterFacts, Findings, Violation, ViolationClass,
    metadata::{is_label_value, is_qualified_name},
    truncated,
};
use crate::{deployed::FileStore, resource::NatsSpec};

const FIELD: &str = "spec.scheduling";
const NOT_A_KEY: &str =
    "must be a label key: a name of at most 63 characters, with an optional DNS domain and '/' before it";
const NOT_A_VALUE: &str = "must be a label value: at most 63 characters, letters, digits, '-', '_' or '.'";

/// Result of a check: the first violation, since lists of a user may be long.
type Checked = Result<(), Box<Violation>>;

pub(super) fn check(spec: &NatsSpec, findings: &mut Findings) {
    let scheduling = &spec.scheduling;
    let checks = [
        check_node_selector(spec),
        each(&format!("{FIELD}.tolerations"), &scheduling.tolerations, check_toleration),
        scheduling.affinity.as_ref().map_or(Ok(()), |all| affinity::check(&format!("{FIELD}.affinity"), all)),
        check_constraints(scheduling.topology_spread_constraints.as_deref().unwrap_or_default()),
    ];
    for violation in checks.into_iter().filter_map(Result::err) {
        findings.reject(*violation);
    }
}

/// Warns about a change of the allowed nodes, since the existing volumes do not move.
pub(super) fn check_change(old: &NatsSpec, new: &NatsSpec, cluster_facts: &ClusterFacts, findings: &mut Findings) {
    let nodes = |spec: &NatsSpec| {
        let affinity = spec.scheduling.affinity.as_ref().and_then(|affinity| affinity.node_affinity.clone());
        (spec.scheduling.node_selector.clone(), affinity)
    };
    let has_volumes =
        cluster_facts.deployed.as_ref().is_some_and(|deployed| deployed.file_store != FileStore::MemoryOnly);
    if has_volumes && nodes(old) != nodes(new) {
        findings.warn(
            FIELD,
            "the servers restart one by one, and their volumes stay where they are: a server whose volume cannot be \
             attached to an allowed node stays pending",
        );
    }
}

fn check_node_selector(spec: &NatsSpec) -> Checked {
    let field = format!("{FIELD}.nodeSelector");
    for (key, value) in &spec.scheduling.node_selector {
        let entry = format!("{field}[{}]", truncated(key));
        check_key(&entry, key)?;
        check_value(&entry, value)?;
    }
    Ok(())
}

fn check_toleration(field: &str, toleration: &Toleration) -> Checked {
    let key = toleration.key.as_deref().unwrap_or_default();
    let operator = toleration.operator.as_deref().unwrap_or_default();
    let value = toleration.value.as_deref().unwrap_or_default();
    let effect = toleration.effect.as_deref().unwrap_or_default();
    if !key.is_empty() {
        check_key(&format!("{field}.key"), key)?;
    }
    check_choice(&format!("{field}.operator"), operator, &["", "Equal", "Exists"])?;
    check_choice(&format!("{field}.effect"), effect, &["", "NoSchedule", "PreferNoSchedule", "NoExecute"])?;
    match operator {
        "Exists" if !value.is_empty() => {
            return invalid(&format!("{field}.value"), value, "must be empty when `operator` is 'Exists'");
        }
        "Exists" => {}
        _ if key.is_empty() => {
            return invalid(&format!("{field}.operator"), operator, "must be 'Exists' when `key` is empty");
        }
        _ => check_value(&format!("{field}.value"), value)?,
    }
    if toleration.toleration_seconds.is_some() && effect != "NoExecute" {
        let message = "must be 'NoExecute' when `tolerationSeconds` is set";
        return invalid(&format!("{field}.effect"), effect, message);
    }
    Ok(())
}

fn check_constraints(constraints: &[TopologySpreadConstraint]) -> Checked {
    let list = format!("{FIELD}.topologySpreadConstraints");
    each(&list, constraints, check_constraint)?;
    let mut known = BTreeSet::new();
    each(&list, constraints, |field, constraint| {
        if known.insert((&constraint.topology_key, &constraint.when_unsatisfiable)) {
            return Ok(());
        }
        let message = "must not repeat the `topologyKey` and `whenUnsatisfiable` of another constraint";
        invalid(&format!("{field}.topologyKey"), &constraint.topology_key, message)
    })
}

fn check_constraint(field: &str, constraint: &TopologySpreadConstraint) -> Checked {
    if constraint.max_skew < 1 {
        return number(&format!("{field}.maxSkew"), constraint.max_skew, "must be greater than 0");
    }
    check_key(&format!("{field}.topologyKey"), &constraint.topology_key)?;
    let (unsatisfiable, required) = (constraint.when_unsatisfiable.as_str(), "DoNotSchedule");
    check_choice(&format!("{field}.whenUnsatisfiable"), unsatisfiable, &[required, "ScheduleAnyway"])?;
    match constraint.min_domains {
        Some(domains) if domains < 1 => {
            return number(&format!("{field}.minDomains"), domains, "must be greater than 0");
        }
        Some(domains) if unsatisfiable != required => {
            let message = "can only be set when `whenUnsatisfiable` is 'DoNotSchedule'";
            return number(&format!("{field}.minDomains"), domains, message);
        }
        _ => {}
    }
    let policies = [
        ("nodeAffinityPolicy", &constraint.node_affinity_policy),
        ("nodeTaintsPolicy", &constraint.node_taints_policy),
    ];
    for (name, policy) in policies {
        check_choice(&format!("{field}.{name}"), policy.as_deref().unwrap_or("Honor"), &["Honor", "Ignore"])?;
    }
    for key in constraint.match_label_keys.iter().flatten() {
        check_key(&format!("{field}.matchLabelKeys"), key)?;
    }
    constraint.label_selector.as_ref().map_or(Ok(()), |all| selector::check(&format!("{field}.labelSelector"), all))
}

/// Checks the elements of a list, up to the first violation.
fn each<'a, T>(list: &str, elements: &'a [T], mut check: impl FnMut(&str, &'a T) -> Checked) -> Checked {
    elements.iter().enumerate().try_for_each(|(index, element)| check(&format!("{list}[{index}]"), element))
}

fn check_key(field: &str, key: &str) -> Checked {
    if is_qualified_name(key) { Ok(()) } else { invalid(field, key, NOT_A_KEY) }
}

fn check_value(field: &str, value: &str) -> Checked {
    if is_label_value(value) { Ok(()) } else { invalid(field, value, NOT_A_VALUE) }
}

fn check_choice(field: &str, value: &str, choices: &[&str]) -> Checked {
    if choices.contains(&value) {
        return Ok(());
    }
    let named: Vec<String> =
        choices.iter().filter(|choice| !choice.is_empty()).map(|choice| format!("'{choice}'")).collect();
    invalid(field, value, &format!("must be one of {}", named.join(", ")))
}

fn invalid(field: &str, value: &str, message: &str) -> Checked {
    Err(Box::new(Violation::invalid(field, ViolationClass::Invalid, value, message)))
}

fn number(field: &str, value: i32, message: &str) -> Checked {
    Err(Box::new(Violation::invalid(field, ViolationClass::Invalid, value, message)))
}
