//! What differs from the reference on purpose.

use nats_manager_api::{Bytes, naming};
use serde_json::{Value, json};

use super::compare::Deviation;

/// A difference.
pub(crate) struct Difference {
    /// Why it is there.
    pub(crate) reason: &'static str,
    /// The kind of the object; empty: every one.
    pub(crate) kind: &'static str,
    /// As in [`Deviation::path`], where `[*]` is any index.
    pub(crate) path: &'static str,
    /// Returns whether ours is as it should be, by file.
    pub(crate) ours: fn(&str, &Value) -> bool,
    /// What the reference has in its place, as JSON; empty: nothing.
    pub(crate) theirs: &'static str,
}

const NATS_MEMORY: fn(&str) -> Bytes = |file| match file {
    "full-spec" => Bytes::gibi(3),
    "small-memory-store" => Bytes::mebi(64),
    _ => Bytes::gibi(1),
};

pub(crate) const DIFFERENCES: &[Difference] = &[
    Difference {
        reason: "A child that was changed by removing something looks like ours in every field; the hash of what was applied tells.",
        kind: "",
        path: r#".metadata.annotations["nats.operator.kyma-project.io/applied-hash"]"#,
        ours: |_, ours| is_hash(ours),
        theirs: "",
    },
    Difference {
        reason: "How the pods were spread when the cluster was made is kept: claims pin them to zones.",
        kind: "StatefulSet",
        path: r#".metadata.annotations["nats.operator.kyma-project.io/topology-spread"]"#,
        ours: |_, ours| *ours == json!("soft"),
        theirs: "",
    },
    Difference {
        reason: "The recorded membership: anybody may scale a StatefulSet.",
        kind: "StatefulSet",
        path: r#".metadata.annotations["nats.operator.kyma-project.io/size"]"#,
        ours: |file, ours| *ours == json!(if file == "size-1" { "1" } else { "3" }),
        theirs: "",
    },
    Difference {
        reason: "A reload raises the memory store but does not lower it: what the servers were told is kept.",
        kind: "StatefulSet",
        path: r#".metadata.annotations["nats.operator.kyma-project.io/memory-store"]"#,
        ours: |file, ours| {
            let store = match file {
                "full-spec" => Bytes::mebi(256),
                "small-memory-store" => Bytes::mebi(20),
                _ => Bytes::gibi(1),
            };
            *ours == json!(store.get().to_string())
        },
        theirs: "",
    },
    Difference {
        reason: "A change that restarts the pods is told from others, and held back by the partition in the same write.",
        kind: "StatefulSet",
        path: r#".metadata.annotations["nats.operator.kyma-project.io/template-hash"]"#,
        ours: |_, ours| is_hash(ours),
        theirs: "",
    },
    Difference {
        reason: "The partition is closed at rest: a change of the template by anybody restarts nothing by itself.",
        kind: "StatefulSet",
        path: ".spec.updateStrategy",
        ours: |file, ours| {
            let servers = if file == "size-1" { 1 } else { 3 };
            *ours == json!({"type": "RollingUpdate", "rollingUpdate": {"partition": servers}})
        },
        theirs: "",
    },
    Difference {
        reason: "A server with an unreadable stream or a large store is reported, and not killed every 15 minutes.",
        kind: "StatefulSet",
        path: ".spec.template.spec.containers[2].startupProbe.failureThreshold",
        ours: |_, ours| *ours == json!(8640),
        theirs: "90",
    },
    Difference {
        reason: "A change that a reload cannot apply rolls the pods; the reference leaves them as they are.",
        kind: "StatefulSet",
        path: r#".spec.template.metadata.annotations["nats.operator.kyma-project.io/config-hash"]"#,
        ours: |_, ours| is_hash(ours),
        theirs: "",
    },
    Difference {
        reason: "The reference only prefers other nodes and zones, weighed against everything else.",
        kind: "StatefulSet",
        path: ".spec.template.spec.topologySpreadConstraints",
        ours: |_, ours| {
            let spread = |key: &str| {
                json!({
                    "labelSelector": {"matchLabels": {"nats_cluster": "eventing-nats"}},
                    "maxSkew": 1,
                    "topologyKey": key,
                    "whenUnsatisfiable": "ScheduleAnyway",
                })
            };
            *ours == json!([spread("topology.kubernetes.io/zone"), spread("kubernetes.io/hostname")])
        },
        theirs: "",
    },
    Difference {
        reason: "Go frees memory before the kernel kills the server.",
        kind: "StatefulSet",
        path: ".spec.template.spec.containers[2].env[4]",
        ours: |file, ours| {
            *ours == json!({"name": "GOMEMLIMIT", "value": format!("{}B", NATS_MEMORY(file).percent(80).get())})
        },
        theirs: "",
    },
    Difference {
        reason: "An image that would run as root is refused by the kubelet.",
        kind: "StatefulSet",
        path: ".spec.template.spec.securityContext.runAsNonRoot",
        ours: |_, ours| *ours == json!(true),
        theirs: "",
    },
    Difference {
        reason: "No container writes outside its volumes.",
        kind: "StatefulSet",
        path: ".spec.template.spec.containers[*].securityContext.readOnlyRootFilesystem",
        ours: |_, ours| *ours == json!(true),
        theirs: "",
    },
    Difference {
        reason: "The default is said, or another target that somebody gives it would stay.",
        kind: "Service",
        path: ".spec.ports[*].targetPort",
        ours: |_, ours| ours.is_u64(),
        theirs: "",
    },
    Difference {
        reason: "The contract copies the user's labels and annotations to the Secret too; the file shows it without them.",
        kind: "Secret",
        path: ".metadata.annotations.custom-annotation",
        ours: |file, ours| file == "full-spec" && *ours == json!("nats"),
        theirs: "",
    },
    Difference {
        reason: "as the annotation",
        kind: "Secret",
        path: ".metadata.labels.custom-label",
        ours: |file, ours| file == "full-spec" && *ours == json!("nats"),
        theirs: "",
    },
];

impl Difference {
    pub(crate) fn covers(&self, file: &str, kind: &str, deviation: &Deviation) -> bool {
        let Some(ours) = &deviation.ours else { return false };
        (self.kind.is_empty() || self.kind == kind)
            && any_index(&deviation.path, self.path)
            && deviation.theirs.as_ref().map_or(String::new(), Value::to_string) == self.theirs
            && (self.ours)(file, ours)
    }
}

/// Whether a path is that of a pattern with at most one `[*]`.
fn any_index(path: &str, pattern: &str) -> bool {
    match pattern.split_once("[*]") {
        None => path == pattern,
        Some((before, after)) => path
            .strip_prefix(before)
            .and_then(|rest| rest.strip_suffix(after))
            .and_then(|index| index.strip_prefix('[')?.strip_suffix(']'))
            .is_some_and(|index| index.bytes().all(|byte| byte.is_ascii_digit())),
    }
}

fn is_hash(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[test]
fn the_annotations_are_those_of_the_api() {
    for name in [
        naming::APPLIED_HASH,
        naming::SPREAD,
        naming::SIZE,
        naming::MEMORY_STORE,
        naming::TEMPLATE_HASH,
        naming::CONFIG_HASH,
    ] {
        assert!(DIFFERENCES.iter().any(|difference| difference.path.contains(name)), "{name}");
    }
}
