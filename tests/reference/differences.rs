//! Intended differences from the reference.

use nats_manager_api::{Bytes, naming};
use serde_json::{Value, json};

use super::compare::Deviation;

/// Intended difference of one field.
pub(crate) struct Difference {
    /// Reason for the difference.
    pub(crate) reason: &'static str,
    /// Kind of the object; empty for all kinds.
    pub(crate) kind: &'static str,
    /// Path as in [`Deviation::path`]; `[*]` matches any index.
    pub(crate) path: &'static str,
    /// Predicate of a file name and our value (`null` if absent): whether the value is the intended one.
    pub(crate) ours: fn(&str, &Value) -> bool,
    /// Value of the reference as JSON; empty if absent.
    pub(crate) theirs: &'static str,
}

const NATS_MEMORY: fn(&str) -> Bytes = |file| match file {
    "full-spec" => Bytes::gibi(3),
    "small-memory-store" => Bytes::mebi(64),
    _ => Bytes::gibi(1),
};

/// Returns 85% of the volume, in whole mebibytes.
fn file_store(file: &str) -> Bytes {
    Bytes::mebi(if file == "full-spec" { 1740 } else { 870 })
}

pub(crate) const DIFFERENCES: &[Difference] = &[
    Difference {
        reason: "All objects of a Kyma module have this label. The Pods restart at takeover in any case.",
        kind: "",
        path: r#".metadata.labels["kyma-project.io/module"]"#,
        ours: |_, ours| *ours == json!("nats"),
        theirs: "",
    },
    Difference {
        reason: "All Pods of a Kyma module have this label, which policies and scrapers select on.",
        kind: "StatefulSet",
        path: r#".spec.template.metadata.labels["kyma-project.io/module"]"#,
        ours: |_, ours| *ours == json!("nats"),
        theirs: "",
    },
    Difference {
        reason: "A field that was removed from our object shows as a changed hash only.",
        kind: "",
        path: r#".metadata.annotations["nats.operator.kyma-project.io/applied-hash"]"#,
        ours: |_, ours| is_hash(ours),
        theirs: "",
    },
    Difference {
        reason: "The topology spread of the creation is kept: PVCs pin pods to zones.",
        kind: "StatefulSet",
        path: r#".metadata.annotations["nats.operator.kyma-project.io/topology-spread"]"#,
        ours: |_, ours| *ours == json!("soft"),
        theirs: "",
    },
    Difference {
        reason: "The recorded membership: a StatefulSet can be scaled by other clients.",
        kind: "StatefulSet",
        path: r#".metadata.annotations["nats.operator.kyma-project.io/size"]"#,
        ours: |file, ours| *ours == json!(if file == "size-1" { "1" } else { "3" }),
        theirs: "",
    },
    Difference {
        reason: "A reload raises the memory store but does not lower it: the size that the servers have is recorded.",
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
        reason: "A reload raises the file store but does not lower it: the size that the servers have is recorded.",
        kind: "StatefulSet",
        path: r#".metadata.annotations["nats.operator.kyma-project.io/file-store"]"#,
        ours: |file, ours| *ours == json!(file_store(file).get().to_string()),
        theirs: "",
    },
    Difference {
        reason: "A store that may fill its whole volume ends with a full disk, and JetStream is disabled then.",
        kind: "ConfigMap",
        path: r#".data["nats.conf"].jetstream.max_file_store"#,
        ours: |_, ours| *ours == json!("870Mi"),
        theirs: "\"1Gi\"",
    },
    Difference {
        reason: "A store that may fill its whole volume ends with a full disk, and JetStream is disabled then.",
        kind: "ConfigMap",
        path: r#".data["nats.conf"].jetstream.max_file_store"#,
        ours: |_, ours| *ours == json!("1740Mi"),
        theirs: "\"2Gi\"",
    },
    Difference {
        reason: "The hash identifies a change that restarts the pods; the partition blocks it in the same write.",
        kind: "StatefulSet",
        path: r#".metadata.annotations["nats.operator.kyma-project.io/template-hash"]"#,
        ours: |_, ours| is_hash(ours),
        theirs: "",
    },
    Difference {
        reason: "The partition is closed at rest: a change of the template by another client restarts no pod.",
        kind: "StatefulSet",
        path: ".spec.updateStrategy",
        ours: |file, ours| {
            let servers = if file == "size-1" { 1 } else { 3 };
            *ours == json!({"type": "RollingUpdate", "rollingUpdate": {"partition": servers}})
        },
        theirs: "",
    },
    Difference {
        reason: "The default is explicit: with Delete, the deletion of the StatefulSet deletes the data.",
        kind: "StatefulSet",
        path: ".spec.persistentVolumeClaimRetentionPolicy",
        ours: |_, ours| *ours == json!({"whenDeleted": "Retain", "whenScaled": "Retain"}),
        theirs: "",
    },
    Difference {
        reason: "The default is explicit: otherwise a value of another client would stay.",
        kind: "StatefulSet",
        path: ".spec.minReadySeconds",
        ours: |_, ours| *ours == json!(0),
        theirs: "",
    },
    Difference {
        reason: "The default is explicit: the names of servers and PVCs begin with ordinal 0.",
        kind: "StatefulSet",
        path: ".spec.ordinals",
        ours: |_, ours| *ours == json!({"start": 0}),
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
        reason: "A change that a reload cannot apply restarts the pods; the reference does not restart them.",
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
        reason: "The kubelet rejects an image that would run as root.",
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
        reason: "The exporter's container has the port; a second one with its name causes a warning of the apiserver.",
        kind: "StatefulSet",
        path: ".spec.template.spec.containers[2].ports[5]",
        ours: |_, ours| ours.is_null(),
        theirs: r#"{"containerPort":7777,"name":"metrics","protocol":"TCP"}"#,
    },
    Difference {
        reason: "The cluster autoscaler may remove the node: the volume contains only the file with the process ID.",
        kind: "StatefulSet",
        path: r#".spec.template.metadata.annotations["cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes"]"#,
        ours: |file, ours| file != "memory-only" && *ours == json!("pid"),
        theirs: "",
    },
    Difference {
        reason: "Port 6222 admits any Pod to the cluster, and 8222 shows what it stores.",
        kind: "NetworkPolicy",
        path: "",
        ours: |_, ours| ours["metadata"]["name"] == json!("kyma-project.io--nats-servers-eventing-nats"),
        theirs: "",
    },
    Difference {
        reason: "A drain evicts a single server that is not ready; of several, only while the others are.",
        kind: "PodDisruptionBudget",
        path: ".spec.unhealthyPodEvictionPolicy",
        ours: |file, ours| *ours == json!(if file == "size-1" { "AlwaysAllow" } else { "IfHealthyBudget" }),
        theirs: "",
    },
    Difference {
        reason: "The default is explicit: otherwise a target port that another client sets would stay.",
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
    /// Returns whether a deviation is this difference.
    pub(crate) fn covers(&self, file: &str, kind: &str, deviation: &Deviation) -> bool {
        let ours = deviation.ours.as_ref().unwrap_or(&Value::Null);
        (self.kind.is_empty() || self.kind == kind)
            && matches(&deviation.path, self.path)
            && deviation.theirs.as_ref().map_or(String::new(), Value::to_string) == self.theirs
            && (self.ours)(file, ours)
    }
}

/// Returns whether a path matches a pattern with at most one `[*]`.
fn matches(path: &str, pattern: &str) -> bool {
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
fn annotations_are_those_of_the_api() {
    for name in [
        naming::APPLIED_HASH,
        naming::SPREAD,
        naming::SIZE,
        naming::MEMORY_STORE,
        naming::FILE_STORE,
        naming::TEMPLATE_HASH,
        naming::CONFIG_HASH,
    ] {
        assert!(DIFFERENCES.iter().any(|difference| difference.path.contains(name)), "{name}");
    }
}
