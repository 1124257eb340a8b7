//! Names and labels of everything that belongs to a NATS resource. They are the contract's: other
//! components select on them, and most cannot change in a running cluster.

use std::{collections::BTreeMap, fmt};

use crate::rules::MAX_SIZE;

/// The finalizer that keeps a resource until its data is dealt with.
pub const FINALIZER: &str = "nats.operator.kyma-project.io/finalizer";
/// Who owns the fields that we apply.
pub const FIELD_MANAGER: &str = "nats-manager";
/// Annotation, value `"true"`: delete even where streams exist or JetStream cannot be asked.
pub const FORCE_DELETION: &str = "nats.operator.kyma-project.io/force-deletion";
/// Annotation on every child: a hash of what we applied, since a comparison of the wanted with the
/// live object does not see what was removed.
pub const APPLIED_HASH: &str = "nats.operator.kyma-project.io/applied-hash";
/// Annotation on the StatefulSet: whether its topology spread is `hard` or `soft`.
pub const SPREAD: &str = "nats.operator.kyma-project.io/topology-spread";
/// Annotation on the StatefulSet: the recorded membership, which is the number of servers that the configuration was
/// built for. The replicas do not show it: users may scale a StatefulSet.
pub const SIZE: &str = "nats.operator.kyma-project.io/size";
/// Annotation on the StatefulSet: the memory store that its servers were last told, in bytes.
pub const MEMORY_STORE: &str = "nats.operator.kyma-project.io/memory-store";
/// Annotation on the StatefulSet: a hash of its pod template as it was applied: whether a change
/// restarts the pods.
pub const TEMPLATE_HASH: &str = "nats.operator.kyma-project.io/template-hash";
/// Annotation on a NATS resource: `"true"` lets a rolling update go on without JetStream being whole.
pub const FORCE_ROLLOUT: &str = "nats.operator.kyma-project.io/force-rollout";
/// Annotation on the StatefulSet: peers that were removed from the meta group, as `ID=SECONDS` since 1970, separated by
/// commas. Their names cannot rejoin for five minutes.
pub const REMOVED_PEERS: &str = "nats.operator.kyma-project.io/removed-peers";
/// Annotation of earlier versions on the StatefulSet: when servers were last removed, in seconds since 1970. Read, and no
/// longer written.
pub const SERVERS_REMOVED_AT: &str = "nats.operator.kyma-project.io/servers-removed-at";
/// Annotation on the pod template: a hash of the configuration that a reload cannot apply.
pub const CONFIG_HASH: &str = "nats.operator.kyma-project.io/config-hash";
/// Annotation on the pod template: the memory store (bytes) that the servers had to restart for,
/// since a reload cannot lower it.
pub const RESTARTED_FOR_MEMORY_STORE: &str = "nats.operator.kyma-project.io/restarted-for-memory-store";

/// The label that tells the NATS clusters of a namespace apart.
pub const INSTANCE_LABEL: &str = "app.kubernetes.io/instance";

/// A name in a namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamespacedName {
    /// The namespace.
    pub namespace: String,
    /// The name in it.
    pub name: String,
}

impl NamespacedName {
    /// `name` in `namespace`.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// The Secret with the system account.
    pub fn secret(&self) -> String {
        format!("{}-secret", self.name)
    }

    /// The ConfigMap with `nats.conf`.
    pub fn config_map(&self) -> String {
        format!("{}-config", self.name)
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
        // `+1` and `01` are numbers too, and no server's.
        (i64::from(ordinal) < MAX_SIZE && pvc == self.pvc(ordinal)).then_some(ordinal)
    }

    /// The server, and pod, of this ordinal.
    pub fn server(&self, ordinal: u32) -> String {
        format!("{}-{ordinal}", self.name)
    }

    /// The host of the Service inside the cluster.
    pub fn host(&self) -> String {
        format!("{}.{}.svc.cluster.local", self.name, self.namespace)
    }

    /// The address that clients use.
    pub fn url(&self) -> String {
        format!("nats://{}:4222", self.host())
    }

    /// The value of [`INSTANCE_LABEL`]: the module's own CR goes by the name of its user.
    pub fn instance(&self) -> &str {
        if self.name == "eventing-nats" { "eventing" } else { &self.name }
    }

    /// What the Service, the StatefulSet and the PodDisruptionBudget select by: immutable.
    pub fn selector(&self) -> BTreeMap<String, String> {
        labels([
            ("app.kubernetes.io/name", "nats"),
            (INSTANCE_LABEL, self.instance()),
            ("kyma-project.io/dashboard", "eventing"),
        ])
    }

    /// The labels of all objects, save those of the user.
    pub fn labels(&self) -> BTreeMap<String, String> {
        let mut all = self.pod_labels();
        all.remove("nats_cluster");
        all.insert("helm.sh/chart".to_owned(), "nats-0.17.3".to_owned());
        all
    }

    /// The labels of the pods, save those of the user.
    pub fn pod_labels(&self) -> BTreeMap<String, String> {
        let mut all = self.selector();
        all.extend(labels([
            ("app.kubernetes.io/component", "nats-manager"),
            ("app.kubernetes.io/created-by", "nats-manager"),
            ("app.kubernetes.io/managed-by", "nats-manager"),
            ("app.kubernetes.io/part-of", "nats-manager"),
            ("control-plane", "nats-manager"),
            ("nats_cluster", &self.name),
        ]));
        all
    }

    /// A label selector, as the apiserver's list and watch take it, for pods and claims.
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

fn labels<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pvc_belongs_to_a_server_only_by_its_exact_name() {
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
