//! The ValidatingAdmissionPolicy, generated from the rules.
//!
//! The apiserver evaluates it itself, so that it applies during an outage of the webhook, and after the recovery that
//! deletes the webhook configuration. It contains the rules that protect others than the owner of the resource, and that
//! the schema cannot express: keys of labels and annotations that are instructions to other components, the one resource
//! that may exist, and requests above their limits, with which no Pod can be created. The webhook checks all of them
//! too, and first, with better messages.
//!
//! Entries that an update does not change pass, so that a resource stays editable that was stored before a rule.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::admissionregistration::v1::{
        MatchResources, NamedRuleWithOperations, ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
        ValidatingAdmissionPolicyBindingSpec, ValidatingAdmissionPolicySpec, Validation, Variable,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::Resource;

use crate::{
    defaults,
    naming::{self, NamespacedName},
    resource::Nats,
    rules::{
        forbidden_message,
        reserved::{self, Reserved},
    },
};

/// Name of the policy and of its binding.
pub const NAME: &str = "nats-manager";

/// Builds the policy. `allowed` is the one resource that may be created.
pub fn policy(allowed: &NamespacedName) -> ValidatingAdmissionPolicy {
    ValidatingAdmissionPolicy {
        metadata: metadata(),
        spec: Some(ValidatingAdmissionPolicySpec {
            failure_policy: Some("Fail".to_owned()),
            match_constraints: Some(MatchResources {
                resource_rules: Some(vec![NamedRuleWithOperations {
                    api_groups: Some(vec![Nats::group(&()).into_owned()]),
                    api_versions: Some(vec![Nats::version(&()).into_owned()]),
                    operations: Some(vec!["CREATE".to_owned(), "UPDATE".to_owned()]),
                    resources: Some(vec![Nats::plural(&()).into_owned()]),
                    scope: Some("Namespaced".to_owned()),
                    ..NamedRuleWithOperations::default()
                }]),
                ..MatchResources::default()
            }),
            variables: Some(variables()),
            validations: Some(vec![name_rule(allowed), key_rule("labels"), key_rule("annotations"), request_rule()]),
            ..ValidatingAdmissionPolicySpec::default()
        }),
        ..ValidatingAdmissionPolicy::default()
    }
}

/// Builds the binding, which makes the policy apply to all namespaces.
pub fn binding() -> ValidatingAdmissionPolicyBinding {
    ValidatingAdmissionPolicyBinding {
        metadata: metadata(),
        spec: Some(ValidatingAdmissionPolicyBindingSpec {
            policy_name: Some(NAME.to_owned()),
            validation_actions: Some(vec!["Deny".to_owned()]),
            ..ValidatingAdmissionPolicyBindingSpec::default()
        }),
    }
}

fn metadata() -> ObjectMeta {
    ObjectMeta { name: Some(NAME.to_owned()), labels: Some(naming::webhook_labels()), ..ObjectMeta::default() }
}

/// Builds the variables, each of which may use the ones before it.
fn variables() -> Vec<Variable> {
    let mut all = Vec::new();
    let mut add = |name: &str, expression: String| all.push(Variable { name: name.to_owned(), expression });
    for (name, object) in [("spec", "object"), ("oldSpec", "oldObject")] {
        add(name, format!("{object} != null && has({object}.spec) ? {object}.spec : {{}}"));
    }
    for (name, parent, field) in [
        ("labels", "spec", "labels"),
        ("oldLabels", "oldSpec", "labels"),
        ("annotations", "spec", "annotations"),
        ("oldAnnotations", "oldSpec", "annotations"),
        ("resources", "spec", "resources"),
        ("oldResources", "oldSpec", "resources"),
        ("limits", "resources", "limits"),
        ("oldLimits", "oldResources", "limits"),
        ("requests", "resources", "requests"),
        ("oldRequests", "oldResources", "requests"),
    ] {
        add(name, format!("'{field}' in variables.{parent} ? variables.{parent}.{field} : {{}}"));
    }
    add("domains", list(reserved::INSTRUCTION_DOMAINS.into_iter().chain([reserved::OWN_DOMAIN])));
    let label = format!("key in {} || {}", list(reserved::set_labels().iter().map(String::as_str)), is_reserved("key"));
    add("reservedLabels", new_keys("labels", "oldLabels", &label));
    let own = reserved::OWN_ANNOTATIONS.map(str::to_lowercase);
    let own = list(own.iter().map(String::as_str));
    let annotation = format!("key.lowerAscii() in {own} || {}", is_reserved("key.lowerAscii()"));
    add("reservedAnnotations", new_keys("annotations", "oldAnnotations", &annotation));
    add("excessiveRequests", excessive_requests());
    all
}

/// Returns the expression for the keys of a map that meet a condition, without the entries that an update leaves as they
/// are. `condition` is about `key`.
fn new_keys(map: &str, old: &str, condition: &str) -> String {
    format!(
        "variables.{map}.filter(key, !(key in variables.{old} && variables.{old}[key] == variables.{map}[key]) \
         && ({condition}))"
    )
}

/// Returns the expression for a key that is reserved as a label and as an annotation.
fn is_reserved(key: &str) -> String {
    let names = reserved::INSTRUCTION_NAMES.map(|name| format!("{key} == '{name}' || {key}.endsWith('/{name}')"));
    format!(
        "variables.domains.exists(domain, {key}.startsWith(domain + '/') || {key}.contains('.' + domain + '/')) \
         || {key} in {} || {}",
        list(reserved::INSTRUCTION_KEYS.into_iter().chain([reserved::OWN_DOMAIN])),
        names.join(" || ")
    )
}

/// Returns the expression for the names of requests above their limits. A limit that equals the default passes: it may
/// be stored although no apply set it, and gives way then. A limit of 0 is no limit.
fn excessive_requests() -> String {
    let defaults: BTreeMap<&str, &str> = defaults::LIMITS.into();
    let pairs: Vec<String> = defaults.iter().map(|(name, amount)| format!("'{name}': '{amount}'")).collect();
    let defaults = format!("{{{}}}", pairs.join(", "));
    let [limit, request] = ["limits", "requests"].map(|map| format!("string(variables.{map}[name])"));
    let amount = |of: &str| format!("quantity({of})");
    // By value: clients with Go types write every quantity in its canonical notation.
    let is_unchanged = |old_map: &str, new: &str| {
        let old = format!("string(variables.{old_map}[name])");
        format!("name in variables.{old_map} && isQuantity({old}) && {}.compareTo({new}) == 0", amount(&old))
    };
    format!(
        "variables.requests.filter(name, name in variables.limits && isQuantity({request}) && isQuantity({limit}) \
         && {request_amount}.compareTo({limit_amount}) > 0 \
         && !(name in {defaults} && ({limit_amount}.compareTo(quantity('0')) == 0 \
         || {limit_amount}.compareTo(quantity({defaults}[name])) == 0)) \
         && !({same_request} && {same_limit}))",
        request_amount = amount(&request),
        limit_amount = amount(&limit),
        same_request = is_unchanged("oldRequests", &amount(&request)),
        same_limit = is_unchanged("oldLimits", &amount(&limit)),
    )
}

fn name_rule(allowed: &NamespacedName) -> Validation {
    let NamespacedName { namespace, name } = allowed;
    Validation {
        expression: format!(
            "request.operation != 'CREATE' || (object.metadata.namespace == '{namespace}' && object.metadata.name == '{name}')"
        ),
        message: Some(forbidden_message(allowed)),
        reason: Some("Forbidden".to_owned()),
        ..Validation::default()
    }
}

/// Builds the rule on the keys of `spec.labels` or `spec.annotations`.
fn key_rule(field: &str) -> Validation {
    let variable = if field == "labels" { "reservedLabels" } else { "reservedAnnotations" };
    let message = format!("{}, or {}", Reserved::Set.message(), Reserved::Instruction.message());
    Validation {
        expression: format!("size(variables.{variable}) == 0"),
        message: Some(format!("spec.{field}: a key {message}")),
        message_expression: Some(format!("'spec.{field}[' + variables.{variable}[0] + ']: Forbidden: {message}'")),
        ..Validation::default()
    }
}

fn request_rule() -> Validation {
    Validation {
        expression: "size(variables.excessiveRequests) == 0".to_owned(),
        message: Some("spec.resources.requests: must not be more than the limit".to_owned()),
        message_expression: Some(
            "'spec.resources.requests.' + variables.excessiveRequests[0] + ': must not be more than the limit ' \
             + string(variables.limits[variables.excessiveRequests[0]])"
                .to_owned(),
        ),
        ..Validation::default()
    }
}

/// Returns a list of texts in CEL. None of them contains a quote or a backslash.
fn list<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = texts.map(|text| format!("'{text}'")).collect();
    format!("[{}]", quoted.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_need_no_escapes() {
        let policy = policy(&NamespacedName::new("kyma-system", "eventing-nats"));
        let spec = policy.spec.unwrap();
        for variable in spec.variables.unwrap() {
            assert!(!variable.expression.contains('\\'), "{}", variable.expression);
            assert_eq!(variable.expression.matches('\'').count() % 2, 0, "{}", variable.expression);
        }
    }
}
