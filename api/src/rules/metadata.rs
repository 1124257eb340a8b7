//! Rules on the labels and annotations that the user adds to the children.
//!
//! Syntax: <https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/>.

use std::collections::BTreeMap;

use super::{Findings, Violation, ViolationClass, truncated};
use crate::{naming::NamespacedName, resource::NatsSpec};

/// Maximum size of the user's annotations together, in bytes: the apiserver's limit for an object
/// (`k8s.io/apimachinery/pkg/api/validation`) minus a reserve for the operator's own annotations.
const ANNOTATIONS_SIZE: usize = 256 * 1024 - 4096;

/// Annotations that the operator sets on the children.
const OWN_ANNOTATIONS: [&str; 6] = [
    "prometheus.io/port",
    "prometheus.io/scrape",
    "sidecar.istio.io/inject",
    "kubectl.kubernetes.io/last-applied-configuration",
    "kubectl.kubernetes.io/restartedAt",
    "nats.operator.kyma-project.io",
];

pub(super) fn check(spec: &NatsSpec, findings: &mut Findings) {
    check_labels(&spec.labels, findings);
    check_annotations(&spec.annotations, findings);
}

fn check_labels(labels: &BTreeMap<String, String>, findings: &mut Findings) {
    if findings.reject_too_many("spec.labels", labels.len()) {
        return;
    }
    let own = own_labels();
    for (key, value) in labels {
        let field = entry("spec.labels", key);
        check_key(&field, key, is_qualified_name(key), findings);
        if !is_label_value(value) {
            findings.reject(Violation::invalid(
                &field,
                ViolationClass::Invalid,
                value.clone(),
                "must be at most 63 characters, letters, digits, '-', '_' or '.', and start and end with a letter or digit",
            ));
        }
        if own.contains_key(key) {
            findings.reject(reserved(&field).with_value(value.clone()));
        }
    }
}

fn check_annotations(annotations: &BTreeMap<String, String>, findings: &mut Findings) {
    if findings.reject_too_many("spec.annotations", annotations.len()) {
        return;
    }
    for (key, value) in annotations {
        let field = entry("spec.annotations", key);
        // The apiserver validates keys of annotations in lower case, and keys of labels as they are.
        check_key(&field, key, is_qualified_name(&key.to_lowercase()), findings);
        if is_own_annotation(key) {
            findings.reject(reserved(&field).with_value(value.clone()));
        }
    }
    let size = total_size(annotations);
    if size > ANNOTATIONS_SIZE {
        findings.reject(Violation::invalid(
            "spec.annotations",
            ViolationClass::Invalid,
            size,
            format!("must be at most {ANNOTATIONS_SIZE} bytes together"),
        ));
    }
}

/// Returns whether the operator sets this annotation on a child, where it would overwrite a user's value.
pub(crate) fn is_own_annotation(key: &str) -> bool {
    OWN_ANNOTATIONS.contains(&key) || key.starts_with("nats.operator.kyma-project.io/")
}

/// Returns the labels that the operator sets on the children. Only their keys are meaningful here, not their values.
pub(crate) fn own_labels() -> BTreeMap<String, String> {
    let id = NamespacedName::new("", "");
    let mut own = id.labels();
    own.extend(id.pod_labels());
    own
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

fn check_key(field: &str, key: &str, is_valid: bool, findings: &mut Findings) {
    if !is_valid {
        findings.reject(Violation::invalid(
            field,
            ViolationClass::Invalid,
            key,
            "must be a name (at most 63 characters, letters, digits, '-', '_' or '.'), with an optional DNS domain and '/' before it",
        ));
    }
}

fn reserved(field: &str) -> Violation {
    Violation::forbidden(field, ViolationClass::Policy, "is set by NATS Manager itself; remove it")
}

fn is_label_value(value: &str) -> bool {
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
    use crate::naming;

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

    #[test]
    fn own_annotations_are_recognized() {
        assert!(is_own_annotation(naming::APPLIED_HASH));
        assert!(is_own_annotation(naming::TEMPLATE_HASH));
        assert!(is_own_annotation("sidecar.istio.io/inject"));
        assert!(!is_own_annotation("custom-annotation"));
    }
}
