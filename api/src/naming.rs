//! Names, labels and annotations of all objects of a NATS resource. They are part of the contract: other components
//! select on them, and most cannot change in a running cluster.

use std::{collections::BTreeMap, fmt};

use crate::ClusterDomain;

/// Start of the keys of all annotations of NATS Manager.
pub const ANNOTATION_PREFIX: &str = "nats.operator.kyma-project.io/";
/// Finalizer that keeps a deleted resource until the handling of its data is complete.
pub const FINALIZER: &str = "nats.operator.kyma-project.io/finalizer";
/// Field manager of all fields that the operator applies.
pub const FIELD_MANAGER: &str = "nats-manager";
/// Annotation on a NATS resource: `"true"` permits a deletion even if streams exist or JetStream is unreachable.
pub const FORCE_DELETION: &str = "nats.operator.kyma-project.io/force-deletion";
/// Annotation on every child: a hash of the applied object. A comparison of the desired object with the live one does
/// not detect fields that were removed.
pub const APPLIED_HASH: &str = "nats.operator.kyma-project.io/applied-hash";
/// Annotation on the StatefulSet: the strictness of its topology spread, `hard` or `soft`.
pub const SPREAD: &str = "nats.operator.kyma-project.io/topology-spread";
/// Annotation on the StatefulSet: the recorded membership, which is the number of servers that the configuration was
/// built for. The replicas of the StatefulSet may differ, because users can scale it.
pub const SIZE: &str = "nats.operator.kyma-project.io/size";
/// Annotation on the StatefulSet: the memory store in the latest configuration of its servers, in bytes.
pub const MEMORY_STORE: &str = "nats.operator.kyma-project.io/memory-store";
/// Annotation on the StatefulSet: the file store in the latest configuration of its servers, in bytes.
pub const FILE_STORE: &str = "nats.operator.kyma-project.io/file-store";
/// Annotation on the StatefulSet: a hash of its applied Pod template. A different hash means that a change restarts the
/// Pods.
pub const TEMPLATE_HASH: &str = "nats.operator.kyma-project.io/template-hash";
/// Annotation on a NATS resource: `"true"` continues a rolling update although JetStream is not healthy.
pub const FORCE_ROLLOUT: &str = "nats.operator.kyma-project.io/force-rollout";
/// Annotation on a NATS resource: `"true"` pauses reconciliation. The status is still observed, and nothing else is written.
pub const PAUSE: &str = "nats.operator.kyma-project.io/pause-reconciliation";
/// Annotation on the PVC of a server: a request to replace the server with one that has a fresh volume. `"true"` waits
/// until no stream has its only replica there, `"force"` accepts the loss of such streams. It ends with the PVC.
pub const REPLACE_SERVER: &str = "nats.operator.kyma-project.io/replace-server";
/// Annotation on the StatefulSet: peers that were removed from the meta group, as `ID=SECONDS` since 1970, separated by
/// commas. Servers with their names cannot rejoin for five minutes.
pub const REMOVED_PEERS: &str = "nats.operator.kyma-project.io/removed-peers";
/// Annotation of earlier versions on the StatefulSet: the time of the last removal of servers, in seconds since 1970.
/// It is read, but no longer written.
pub const SERVERS_REMOVED_AT: &str = "nats.operator.kyma-project.io/servers-removed-at";
/// Annotation on the Pod template: a hash of the part of the configuration that a reload cannot apply.
pub const CONFIG_HASH: &str = "nats.operator.kyma-project.io/config-hash";
/// Annotation on the Pod template: the memory store (bytes) that the servers had to restart for, because a reload
/// cannot lower it.
pub const RESTARTED_FOR_MEMORY_STORE: &str = "nats.operator.kyma-project.io/restarted-for-memory-store";

/// Annotation on the Pod template: local volumes that may be lost. Without it, the cluster autoscaler removes no node on
/// which a Pod has such a volume
/// (<https://github.com/kubernetes/autoscaler/blob/master/cluster-autoscaler/FAQ.md>).
pub const LOCAL_VOLUMES: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes";

/// Label of all objects of the Kyma module, and of its Pods.
pub const MODULE_LABEL: (&str, &str) = ("kyma-project.io/module", "nats");

/// Label that distinguishes the NATS clusters of a namespace.
pub const INSTANCE_LABEL: &str = "app.kubernetes.io/instance";

/// Maximum number of servers: each one keeps a route to every other.
pub const MAX_SIZE: i64 = 99;

/// Name and namespace of an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamespacedName {
    /// Namespace of the object.
    pub namespace: String,
    /// Name of the object within its namespace.
    pub name: String,
}

impl NamespacedName {
    /// Combines a namespace and a name.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// Returns the name of the Secret with the system account.
    pub fn secret(&self) -> String {
        format!("{}-secret", self.name)
    }

    /// Returns the name of the ConfigMap with `nats.conf`.
    pub fn config_map(&self) -> String {
        format!("{}-config", self.name)
    }

    /// Returns the name of the servers' NetworkPolicy. Its prefix is that of all policies of Kyma.
    pub fn network_policy(&self) -> String {
        format!("kyma-project.io--nats-servers-{}", self.name)
    }

    /// Returns the name of the StatefulSet's PVC template.
    pub fn pvc_template(&self) -> String {
        format!("{}-js-pvc", self.name)
    }

    /// Returns the name of the PVC of a server.
    pub fn pvc(&self, ordinal: u32) -> String {
        format!("{}-{}", self.pvc_template(), self.server(ordinal))
    }

    /// Returns the ordinal of the server that the PVC of this name belongs to; `None` for any other name.
    pub fn pvc_ordinal(&self, pvc: &str) -> Option<u32> {
        let ordinal = pvc.strip_prefix(&format!("{}-{}-", self.pvc_template(), self.name))?.parse().ok()?;
        // `+1` and `01` parse as numbers, but no PVC of a server has them in its name.
        (i64::from(ordinal) < MAX_SIZE && pvc == self.pvc(ordinal)).then_some(ordinal)
    }

    /// Returns the name of the server, and of its Pod, with this ordinal.
    pub fn server(&self, ordinal: u32) -> String {
        format!("{}-{ordinal}", self.name)
    }

    /// Returns the host name of the Service inside the cluster.
    pub fn host(&self, domain: &ClusterDomain) -> String {
        format!("{}.{}.svc.{domain}", self.name, self.namespace)
    }

    /// Returns the URL for clients inside the cluster.
    pub fn url(&self, domain: &ClusterDomain) -> String {
        format!("nats://{}:4222", self.host(domain))
    }

    /// Returns the value of [`INSTANCE_LABEL`]. For the module's own CR it is the name of the component that uses it.
    pub fn instance(&self) -> &str {
        if self.name == "eventing-nats" { "eventing" } else { &self.name }
    }

    /// Returns the immutable selector of the Service, the StatefulSet and the PodDisruptionBudget.
    pub fn selector(&self) -> BTreeMap<String, String> {
        labels([
            ("app.kubernetes.io/name", "nats"),
            (INSTANCE_LABEL, self.instance()),
            ("kyma-project.io/dashboard", "eventing"),
        ])
    }

    /// Returns the labels of all objects, without the user's labels. `helm.sh/chart` has no meaning of its own any more: it
    /// stays for clients that select on it.
    pub fn labels(&self) -> BTreeMap<String, String> {
        let mut all = self.pod_labels();
        all.remove("nats_cluster");
        all.insert("helm.sh/chart".to_owned(), "nats-0.17.3".to_owned());
        all
    }

    /// Returns the labels of the Pods, without the user's labels.
    pub fn pod_labels(&self) -> BTreeMap<String, String> {
        let mut all = self.selector();
        all.extend(labels([
            ("app.kubernetes.io/component", "nats-manager"),
            ("app.kubernetes.io/created-by", "nats-manager"),
            ("app.kubernetes.io/managed-by", "nats-manager"),
            ("app.kubernetes.io/part-of", "nats-manager"),
            ("control-plane", "nats-manager"),
            ("nats_cluster", &self.name),
            MODULE_LABEL,
        ]));
        all
    }

    /// Builds the label selector of Pods and PVCs for list and watch requests.
    pub fn label_query(&self) -> String {
        let pairs: Vec<String> = self.selector().iter().map(|(key, value)| format!("{key}={value}")).collect();
        pairs.join(",")
    }
}

impl fmt::Display for NamespacedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Returns the labels of all objects of the admission webhook and policy.
pub fn webhook_labels() -> BTreeMap<String, String> {
    labels([
        ("app.kubernetes.io/name", "nats-manager"),
        (INSTANCE_LABEL, "nats-manager"),
        ("app.kubernetes.io/component", "webhook"),
        ("app.kubernetes.io/part-of", "nats-manager"),
        ("app.kubernetes.io/managed-by", "nats-manager"),
        MODULE_LABEL,
    ])
}

fn labels<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pvc_ordinal_requires_exact_name() {
        let id = NamespacedName::new("kyma-system", "eventing-nats");
        for (name, expected) in [
            ("eventing-nats-js-pvc-eventing-nats-4", Some(4)),
            ("eventing-nats-js-pvc-eventing-nats-98", Some(98)),
            ("eventing-nats-js-pvc-eventing-nats-99", None),
            ("eventing-nats-js-pvc-eventing-nats-04", None),
            ("eventing-nats-js-pvc-eventing-nats-+4", None),
            ("eventing-nats-js-pvc-eventing-nats-0-restored", None),
            ("eventing-nats-js-pvc-eventing-nats-backup", None),
            ("eventing-nats-js-pvc-other-0", None),
            ("eventing-nats-js-pvc-eventing-nats-x", None),
            ("eventing-nats-js-pvc-eventing-nats-4294967296", None),
        ] {
            assert_eq!(id.pvc_ordinal(name), expected, "{name}");
        }
    }
}
