//! Keys of labels and annotations that a NATS resource cannot set on the children.
//!
//! A user who may edit NATS resources is not necessarily allowed to create Pods or read Secrets in the namespace of the
//! servers. So no key is accepted that another controller takes as an instruction to change Pods, or to copy Secrets.

use std::{borrow::Cow, collections::BTreeSet, sync::LazyLock};

use crate::{
    applied::LAST_APPLIED,
    naming::{self, NamespacedName},
};

/// Reason for which a key is reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reserved {
    /// Key that NATS Manager or Kubernetes sets on the children. Another value would be overwritten.
    Set,
    /// Key with which other components change Pods (containers, images, volumes, networks, security), or copy Secrets.
    Instruction,
}

/// Domain of the keys of NATS Manager.
pub(crate) const OWN_DOMAIN: &str = "nats.operator.kyma-project.io";

/// Annotations that NATS Manager, or the StatefulSet controller and kubectl, set on the children.
pub(crate) const OWN_ANNOTATIONS: [&str; 6] = [
    "prometheus.io/port",
    "prometheus.io/scrape",
    "sidecar.istio.io/inject",
    naming::LOCAL_VOLUMES,
    LAST_APPLIED,
    "kubectl.kubernetes.io/restartedAt",
];

/// Labels that the StatefulSet controller sets on the Pods
/// (<https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/>).
const STATEFUL_SET_LABELS: [&str; 3] =
    ["controller-revision-hash", "statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index"];

/// Domains whose keys, or the keys of whose subdomains, are instructions.
pub(crate) const INSTRUCTION_DOMAINS: [&str; 20] = [
    // Sidecars: their image, volumes and environment can be chosen by further keys.
    "istio.io",
    "linkerd.io",
    "kuma.io",
    "consul.hashicorp.com",
    "dapr.io",
    "opentelemetry.io",
    // Containers and volumes with Secrets of other owners.
    "vault.hashicorp.com",
    "vault.security.banzaicloud.io",
    // Networks and addresses of the Pod.
    "k8s.v1.cni.cncf.io",
    "cni.projectcalico.org",
    // Profiles that Kubernetes reads from annotations.
    "apparmor.security.beta.kubernetes.io",
    "seccomp.security.alpha.kubernetes.io",
    // Copies of a Secret in other namespaces.
    "reflector.v1.k8s.emberstack.com",
    "replicator.v1.mittwald.de",
    "kubed.appscode.com",
    // Other values in a Secret.
    "secret-generator.v1.mittwald.de",
    // A role at the cloud provider.
    "iam.amazonaws.com",
    // Devices of the node.
    "cdi.k8s.io",
    // Environment variables that restart the servers.
    "reloader.stakater.com",
    // Image registries, pull secrets and trusted certificates.
    "rt-cfg.kyma-project.io",
];

/// Names, with or without a domain, that are instructions.
pub(crate) const INSTRUCTION_NAMES: [&str; 1] = ["add-cluster-trust-bundle"];

/// Annotations with which Kubernetes rejects a Pod template, or takes a Pod for one of the kubelet's own
/// (`ValidatePodSpecificAnnotations` in `k8s.io/kubernetes/pkg/apis/core/validation`).
pub(crate) const INSTRUCTION_KEYS: [&str; 5] = [
    "kubernetes.io/config.mirror",
    "kubernetes.io/config.source",
    "kubernetes.io/config.hash",
    "kubernetes.io/config.seen",
    "scheduler.alpha.kubernetes.io/tolerations",
];

/// Returns the reason for which a label is reserved, if it is.
pub(crate) fn label(key: &str) -> Option<Reserved> {
    static SET_LABELS: LazyLock<BTreeSet<String>> = LazyLock::new(set_labels);
    if SET_LABELS.contains(key) {
        return Some(Reserved::Set);
    }
    any(key)
}

/// Returns the reason for which an annotation is reserved, if it is.
pub(crate) fn annotation(key: &str) -> Option<Reserved> {
    // The apiserver accepts capitals in keys of annotations, and components differ in how they compare them.
    if OWN_ANNOTATIONS.iter().any(|own| own.eq_ignore_ascii_case(key)) {
        return Some(Reserved::Set);
    }
    any(&lowercase(key))
}

/// Returns the key in lower case. A key that is in lower case already is not copied.
pub(super) fn lowercase(key: &str) -> Cow<'_, str> {
    let is_lowercase = key.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase());
    if is_lowercase { key.into() } else { key.to_lowercase().into() }
}

/// Returns the reason for which a key is reserved as a label and as an annotation.
fn any(key: &str) -> Option<Reserved> {
    let (domain, name) = key.split_once('/').map_or((None, key), |(domain, name)| (Some(domain), name));
    let is_in = |reserved: &str| {
        domain.is_some_and(|domain| {
            domain.strip_suffix(reserved).is_some_and(|parent| parent.is_empty() || parent.ends_with('.'))
        })
    };
    if is_in(OWN_DOMAIN) || key == OWN_DOMAIN {
        return Some(Reserved::Set);
    }
    let is_instruction = INSTRUCTION_DOMAINS.into_iter().any(is_in)
        || INSTRUCTION_NAMES.contains(&name)
        || INSTRUCTION_KEYS.contains(&key);
    is_instruction.then_some(Reserved::Instruction)
}

/// Returns the labels that NATS Manager or the StatefulSet controller sets on the children.
pub(crate) fn set_labels() -> BTreeSet<String> {
    let id = NamespacedName::new("", "");
    let own = id.labels().into_keys().chain(id.pod_labels().into_keys());
    own.chain(STATEFUL_SET_LABELS.map(str::to_owned)).collect()
}

impl Reserved {
    /// Returns the message of the violation.
    pub(crate) fn message(self) -> &'static str {
        match self {
            Self::Set => "is set by NATS Manager itself; remove it",
            Self::Instruction => {
                "is reserved: other components change Pods or copy Secrets because of it; remove it, and configure \
                 them by their own resources"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_keys_are_recognized() {
        use Reserved::{Instruction, Set};
        for (key, as_label, as_annotation) in [
            (naming::APPLIED_HASH, Some(Set), Some(Set)),
            ("nats.operator.kyma-project.io/manager", Some(Set), Some(Set)),
            ("nats.operator.kyma-project.io", Some(Set), Some(Set)),
            ("app.kubernetes.io/name", Some(Set), None),
            ("nats_cluster", Some(Set), None),
            ("controller-revision-hash", Some(Set), None),
            ("prometheus.io/scrape", None, Some(Set)),
            ("sidecar.istio.io/inject", Some(Instruction), Some(Set)),
            ("sidecar.istio.io/proxyImage", Some(Instruction), Some(Instruction)),
            ("Sidecar.Istio.io/userVolume", None, Some(Instruction)),
            ("istio.io/rev", Some(Instruction), Some(Instruction)),
            ("proxy.istio.io/config", Some(Instruction), Some(Instruction)),
            ("notistio.io/a", None, None),
            ("istio.io.example.com/a", None, None),
            ("config.linkerd.io/proxy-image", Some(Instruction), Some(Instruction)),
            ("vault.hashicorp.com/agent-inject", Some(Instruction), Some(Instruction)),
            ("k8s.v1.cni.cncf.io/networks", Some(Instruction), Some(Instruction)),
            ("container.apparmor.security.beta.kubernetes.io/nats", Some(Instruction), Some(Instruction)),
            ("container.seccomp.security.alpha.kubernetes.io/nats", Some(Instruction), Some(Instruction)),
            ("seccomp.security.alpha.kubernetes.io/pod", Some(Instruction), Some(Instruction)),
            ("reflector.v1.k8s.emberstack.com/reflection-allowed", Some(Instruction), Some(Instruction)),
            ("replicator.v1.mittwald.de/replicate-to", Some(Instruction), Some(Instruction)),
            ("rt-cfg.kyma-project.io/add-img-pull-secret", Some(Instruction), Some(Instruction)),
            ("iam.amazonaws.com/role", Some(Instruction), Some(Instruction)),
            ("cdi.k8s.io/gpu", Some(Instruction), Some(Instruction)),
            ("kubectl.kubernetes.io/restartedAt", None, Some(Set)),
            ("add-cluster-trust-bundle", Some(Instruction), Some(Instruction)),
            ("example.com/add-cluster-trust-bundle", Some(Instruction), Some(Instruction)),
            ("kubernetes.io/config.mirror", Some(Instruction), Some(Instruction)),
            ("custom", None, None),
            ("example.com/a", None, None),
        ] {
            assert_eq!((label(key), annotation(key)), (as_label, as_annotation), "{key}");
        }
    }
}
