//! Rules on the labels and annotations that the user adds to the children.
//!
//! Syntax: <https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/>.

use std::collections::BTreeMap;

use super::{
    Findings, Violation, ViolationClass,
    reserved::{self, Reserved},
    truncated,
};
use crate::{resource::NatsSpec, spec_view::SpecView};

/// Maximum size of the user's labels and annotations together, in bytes: the apiserver's limit for the annotations of an
/// object (`k8s.io/apimachinery/pkg/api/validation`) minus a reserve for the operator's own. A StatefulSet contains all
/// of them twice, and their keys twice more in its managed fields, which together stay below the size that etcd stores
/// (1.5 MiB, <https://etcd.io/docs/latest/dev-guide/limit/>).
const METADATA_SIZE: usize = 256 * 1024 - 4096;

/// Annotation whose value Kubernetes checks in a Pod template.
const POD_DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

const LABELS: &str = "spec.labels";
const ANNOTATIONS: &str = "spec.annotations";

pub(super) fn check(spec: SpecView<'_>, findings: &mut Findings) {
    check_labels(spec.labels, findings);
    check_annotations(spec.annotations, findings);
    let (labels, annotations) = (total_size(spec.labels), total_size(spec.annotations));
    let size = labels + annotations;
    if size > METADATA_SIZE {
        let field = if labels > annotations { LABELS } else { ANNOTATIONS };
        let message = format!("labels and annotations must be at most {METADATA_SIZE} bytes together");
        findings.reject(Violation::invalid(field, ViolationClass::Invalid, size, message));
    }
}

fn check_labels(labels: &BTreeMap<String, String>, findings: &mut Findings) {
    if findings.reject_too_many(LABELS, labels.len()) {
        return;
    }
    for (key, value) in labels {
        let field = || entry(LABELS, key);
        check_key(field, key, is_qualified_name(key), findings);
        if !is_label_value(value) {
            findings.reject(Violation::invalid(
                field(),
                ViolationClass::Invalid,
                value.clone(),
                "must be at most 63 characters, letters, digits, '-', '_' or '.', and start and end with a letter or digit",
            ));
        }
        check_reserved(field, reserved::label(key), value, findings);
    }
}

fn check_annotations(annotations: &BTreeMap<String, String>, findings: &mut Findings) {
    if findings.reject_too_many(ANNOTATIONS, annotations.len()) {
        return;
    }
    for (key, value) in annotations {
        let field = || entry(ANNOTATIONS, key);
        // The apiserver validates keys of annotations in lower case, and keys of labels as they are.
        check_key(field, key, is_qualified_name(&reserved::lowercase(key)), findings);
        check_reserved(field, reserved::annotation(key), value, findings);
        if key == POD_DELETION_COST && !is_deletion_cost(value) {
            let message = "must be a whole number from -2147483648 to 2147483647";
            findings.reject(Violation::invalid(field(), ViolationClass::Policy, value.clone(), message));
        }
    }
}

/// Returns the labels that are added to the children: those of the user that are not reserved.
pub(crate) fn effective_labels(spec: &NatsSpec) -> BTreeMap<String, String> {
    retained(&spec.labels, |key, _| reserved::label(key).is_none())
}

/// Returns the annotations that are added to the children: those of the user that are not reserved, and that a Pod can
/// have.
pub(crate) fn effective_annotations(spec: &NatsSpec) -> BTreeMap<String, String> {
    retained(&spec.annotations, |key, value| {
        reserved::annotation(key).is_none() && (key != POD_DELETION_COST || is_deletion_cost(value))
    })
}

fn retained(map: &BTreeMap<String, String>, keep: impl Fn(&str, &str) -> bool) -> BTreeMap<String, String> {
    map.iter().filter(|(key, value)| keep(key, value)).map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// Returns whether the value is a 32-bit integer without leading zeros or a plus sign
/// (`k8s.io/kubernetes/pkg/apis/core/helper`, `GetDeletionCostFromPodAnnotations`).
fn is_deletion_cost(value: &str) -> bool {
    value.parse::<i32>().is_ok_and(|cost| cost.to_string() == value)
}

/// Returns whether `key` is a name, with an optional domain and a slash before it.
pub(super) fn is_qualified_name(key: &str) -> bool {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    prefix.is_none_or(is_subdomain) && !name.is_empty() && is_label_value(name)
}

fn entry(map: &str, key: &str) -> String {
    format!("{map}[{}]", truncated(key))
}

fn check_key(field: impl Fn() -> String, key: &str, is_valid: bool, findings: &mut Findings) {
    if !is_valid {
        findings.reject(Violation::invalid(
            field(),
            ViolationClass::Invalid,
            key,
            "must be a name (at most 63 characters, letters, digits, '-', '_' or '.'), with an optional DNS domain and '/' before it",
        ));
    }
}

fn check_reserved(field: impl Fn() -> String, reserved: Option<Reserved>, value: &str, findings: &mut Findings) {
    if let Some(reserved) = reserved {
        findings.reject(Violation::forbidden(field(), ViolationClass::Policy, reserved.message()).with_value(value));
    }
}

pub(super) fn is_label_value(value: &str) -> bool {
    let is_alphanumeric = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = value.as_bytes();
    value.is_empty()
        || (bytes.len() <= 63
            && is_alphanumeric(bytes.first())
            && is_alphanumeric(bytes.last())
            && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte)))
}

pub(super) fn is_subdomain(name: &str) -> bool {
    let is_dns_label = |label: &str| {
        let bytes = label.as_bytes();
        let is_edge = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        is_edge(bytes.first())
            && is_edge(bytes.last())
            && bytes.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-')
    };
    name.len() <= 253 && name.split('.').all(is_dns_label)
}

fn total_size(annotations: &BTreeMap<String, String>) -> usize {
    annotations.iter().map(|(key, value)| key.len() + value.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn qualified_name_may_have_domain() {
        for good in ["a", "a.b-c_d", "example.com/a", "A", "1", "a/b"] {
            assert!(is_qualified_name(good), "{good}");
        }
        let long = "a".repeat(64);
        for bad in ["", "/", "a/", "/a", "a/b/c", "-a", "a-", "a b", "EXAMPLE.com/a", "ä", &long] {
            assert!(!is_qualified_name(bad), "{bad}");
        }
    }
}
