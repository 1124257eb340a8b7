//! Attempts to gain power or to inject text through a NATS resource. Each is rejected at admission, and harmless where it
//! is stored even so: the children differ from those of the default resource only where they may.

use nats_manager_api::{Spread, resolve, rules, rules::ClusterFacts};
use serde_json::{Value, json};

use super::{Children, built, config, nats};

/// An attempt, and whether admission rejects it.
struct Attempt {
    name: &'static str,
    spec: Value,
    is_rejected: bool,
}

fn attempt(name: &'static str, spec: Value) -> Attempt {
    Attempt { name, spec, is_rejected: true }
}

/// Builds an attempt that admission accepts, since it has no effect.
fn accepted(name: &'static str, spec: Value) -> Attempt {
    Attempt { name, spec, is_rejected: false }
}

const TEXT: &str = "\"}\naccounts { A { users: [{user: a, password: b}] } }\ninclude /etc/passwd\n#";

fn attempts() -> Vec<Attempt> {
    let key = |map: &str, key: &str, value: &str| json!({map: {key: value}});
    let size = |store: &str, size: &str| json!({"jetStream": {store: {"size": size}}});
    let mut all = vec![
        // Text in nats.conf, the Secret and the Pod template
        accepted("text of a configuration in an annotation", key("annotations", "a", TEXT)),
        accepted("a variable of a container in an annotation", key("annotations", "a", "$(POD_NAME)")),
        attempt("text of a configuration in a label", key("labels", "a", TEXT)),
        attempt("text of a configuration in a key", key("labels", TEXT, "a")),
        attempt("text of a configuration in an annotation's key", key("annotations", TEXT, "a")),
        attempt("text in a memory store", size("memStorage", &format!("1Gi{TEXT}"))),
        attempt("text in a file store", size("fileStorage", &format!("1Gi{TEXT}"))),
        attempt("a line break in a size", size("fileStorage", "1Gi\n")),
        attempt("a negative size", size("fileStorage", "-1Gi")),
        attempt("text in a limit", json!({"resources": {"limits": {"memory": format!("1Gi{TEXT}")}}})),
        attempt("a resource that no container has", json!({"resources": {"limits": {"pods": "1"}}})),
        attempt("a device of another Pod", json!({"resources": {"claims": [{"name": "gpu"}]}})),
        attempt("a path as a class", json!({"jetStream": {"fileStorage": {"storageClassName": "../../secrets"}}})),
        attempt("text as a class", json!({"jetStream": {"fileStorage": {"storageClassName": TEXT}}})),
        attempt("capitals as a class", json!({"jetStream": {"fileStorage": {"storageClassName": "Fast"}}})),
        // Selectors
        attempt("a Pod of the manager", key("labels", "nats.operator.kyma-project.io/manager", "true")),
        attempt("a Pod of another release", key("labels", "app.kubernetes.io/instance", "other")),
        attempt("a Pod of another Deployment", key("labels", "control-plane", "manager")),
        attempt("a Pod of another cluster", key("labels", "nats_cluster", "other")),
        attempt("another Pod's identity", key("labels", "statefulset.kubernetes.io/pod-name", "eventing-nats-0")),
        attempt("another revision", key("labels", "controller-revision-hash", "x")),
        // The manager's own records
        attempt("the hash of the object", key("annotations", "nats.operator.kyma-project.io/applied-hash", "x")),
        attempt("the recorded members", key("annotations", "nats.operator.kyma-project.io/size", "1")),
    ];
    // Instructions to other components
    for instruction in [
        "sidecar.istio.io/inject",
        "sidecar.istio.io/proxyImage",
        "sidecar.istio.io/userVolume",
        "SIDECAR.istio.io/userVolumeMount",
        "proxy.istio.io/config",
        "istio.io/rev",
        "linkerd.io/inject",
        "config.linkerd.io/proxy-image",
        "vault.hashicorp.com/agent-inject",
        "vault.hashicorp.com/agent-image",
        "k8s.v1.cni.cncf.io/networks",
        "container.apparmor.security.beta.kubernetes.io/nats",
        "container.seccomp.security.alpha.kubernetes.io/nats",
        "seccomp.security.alpha.kubernetes.io/pod",
        "reflector.v1.k8s.emberstack.com/reflection-allowed",
        "replicator.v1.mittwald.de/replicate-to",
        "rt-cfg.kyma-project.io/add-img-pull-secret",
        "rt-cfg.kyma-project.io/alter-img-registry",
        "add-cluster-trust-bundle",
        "kubernetes.io/config.mirror",
        "scheduler.alpha.kubernetes.io/tolerations",
    ] {
        all.push(attempt(instruction, key("annotations", instruction, "true")));
        all.push(attempt(instruction, key("labels", instruction, "true")));
    }
    all
}

/// Returns the parts of the children that no label or annotation may change, and which the attempts do not name.
fn power(children: &Children) -> Value {
    let stateful_set = children.stateful_set.spec.clone().unwrap();
    let template = stateful_set.template;
    let reserved = |map: Option<std::collections::BTreeMap<String, String>>| {
        // Hashes differ whenever anything does.
        let is_free = |key: &str| key == "a" || key.ends_with("-hash");
        map.unwrap_or_default().into_iter().filter(|(key, _)| !is_free(key)).collect::<Vec<_>>()
    };
    let metadata = template.metadata.unwrap();
    json!({
        "pod": template.spec,
        "podLabels": reserved(metadata.labels),
        "podAnnotations": reserved(metadata.annotations),
        "selector": stateful_set.selector,
        "pvcs": stateful_set.volume_claim_templates,
        "service": children.service.spec,
        "serviceAnnotations": reserved(children.service.metadata.annotations.clone()),
        "budget": children.pod_disruption_budget.spec,
        "secret": children.secret.data.as_ref().map(|data| data.values().map(|value| value.0.clone()).collect::<Vec<_>>()),
        "secretText": children.secret.string_data,
        "secretAnnotations": reserved(children.secret.metadata.annotations.clone()),
        "secretLabels": reserved(children.secret.metadata.labels.clone()),
        "config": config(children),
        "destinationRule": children.destination_rule.data,
    })
}

#[test]
fn attempts_are_rejected_and_harmless() {
    let resolved = |spec: &Value| {
        resolve(&nats("kyma-system", "eventing-nats", spec.clone()), &ClusterFacts::default(), Spread::Soft)
    };
    let standard = power(&built(&resolved(&json!({})).unwrap()));
    for Attempt { name, spec, is_rejected } in attempts() {
        let findings = rules::check(&serde_json::from_value(spec.clone()).unwrap(), &ClusterFacts::default());
        assert_eq!(!findings.violations.is_empty(), is_rejected, "{name}: {:?}", findings.violations);
        for violation in findings.violations {
            assert!(violation.to_string().len() < 1000, "{name}");
        }
        // A spec that does not resolve is not deployed.
        if let Ok(cluster) = resolved(&spec) {
            assert_eq!(power(&built(&cluster)), standard, "{name}");
        }
    }
}

/// The apiserver accepts names of letters, digits, `-` and `.` only (RFC 1123), which are still words of the syntax of
/// nats.conf.
#[test]
fn name_and_namespace_are_no_configuration() {
    let config_of = |namespace: &str, name: &str| {
        let resource = nats(namespace, name, json!({}));
        config(&built(&resolve(&resource, &ClusterFacts::default(), Spread::Soft).unwrap())).to_owned()
    };
    let standard = config_of("kyma-system", "eventing-nats");
    let (long_namespace, long_name) = ("n".repeat(63), "e".repeat(253));
    for (namespace, name) in [
        ("include", "accounts"),
        ("true", "false"),
        ("0", "1gb"),
        ("a--b", "x.y.z"),
        ("kube-system", "port"),
        (long_namespace.as_str(), long_name.as_str()),
    ] {
        let expected = standard.replace("eventing-nats", name).replace("kyma-system", namespace);
        assert_eq!(config_of(namespace, name), expected, "{namespace}/{name}");
    }
}
