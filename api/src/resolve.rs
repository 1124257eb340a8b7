//! From a spec to a cluster that can be deployed: every default resolved, every quantity read.

use std::collections::BTreeMap;

use crate::{
    deployed::{DeployedCluster, FileStore, SMALLEST_CLUSTER, Spread},
    naming::NamespacedName,
    quantity::{Bytes, RawQuantity},
    resource::{Logging, Nats, NatsSpec},
    rules::{self, ClusterFacts, Violation, ViolationClass, metadata},
};

/// A NATS cluster that can be deployed. Whoever has one parses nothing any more.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolvedCluster {
    /// The resource's name and namespace, which name all objects.
    pub id: NamespacedName,
    /// The resource's uid, for the owner references.
    pub uid: String,
    /// The number of servers, 1 to 99.
    pub size: u32,
    /// The memory store of each server; none is off.
    pub memory_store: Option<Bytes>,
    /// The file store of each server.
    pub file_store: FileStore,
    /// What the servers log.
    pub logging: Logging,
    /// Limits of each server, by resource; cpu and memory are there.
    pub limits: BTreeMap<String, RawQuantity>,
    /// Requests of each server, by resource; cpu and memory are there.
    pub requests: BTreeMap<String, RawQuantity>,
    /// The memory limit, in bytes.
    pub memory_limit: Bytes,
    /// The user's labels, without those that are ours.
    pub labels: BTreeMap<String, String>,
    /// The user's annotations, without those that are ours.
    pub annotations: BTreeMap<String, String>,
    /// How strictly the pods are spread.
    pub spread: Spread,
    /// The memory store that exists, as far as it decides on a restart.
    pub deployed_memory_store: DeployedMemoryStore,
    /// Violations of policies. They are accepted where they are stored already.
    pub policy_violations: Vec<Violation>,
}

/// The memory store of servers that exist; all `None` for a fresh cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeployedMemoryStore {
    /// The memory store that the servers were last configured with.
    pub configured: Option<Bytes>,
    /// The memory store that the Pods were last restarted for.
    pub restarted_for: Option<Bytes>,
}

/// Why a resource cannot be deployed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", list(.0))]
pub struct InvalidSpec(pub Vec<Violation>);

impl ResolvedCluster {
    /// Whether the servers form a cluster.
    pub fn is_clustered(&self) -> bool {
        self.size >= SMALLEST_CLUSTER
    }
}

/// Resolves a resource with the cluster facts around it. `new_spread` is how a cluster that does not exist
/// yet is to be spread; one that exists keeps what it has.
pub fn resolve(nats: &Nats, cluster_facts: &ClusterFacts, new_spread: Spread) -> Result<ResolvedCluster, InvalidSpec> {
    let spec = &nats.spec;
    let violations = rules::check(spec, cluster_facts);
    let invalid: Vec<Violation> = violations.invalid().cloned().collect();
    if !invalid.is_empty() {
        return Err(InvalidSpec(invalid));
    }
    let one = |violation| InvalidSpec(vec![violation]);
    let deployed = cluster_facts.deployed.as_ref();
    let memory_store = rules::memory_store(&spec.jet_stream.mem_storage).map_err(one)?;
    let resources = spec.resources.completed();
    let limits = resources.limits.unwrap_or_default();
    let memory_limit = limits.get("memory").and_then(bytes_rounded_up).ok_or_else(|| {
        one(Violation::forbidden("spec.resources.limits.memory", ViolationClass::Invalid, "must be a number of bytes"))
    })?;
    let own_labels = metadata::own_labels();
    Ok(ResolvedCluster {
        id: NamespacedName::new(
            nats.metadata.namespace.clone().unwrap_or_default(),
            nats.metadata.name.clone().unwrap_or_default(),
        ),
        uid: nats.metadata.uid.clone().unwrap_or_default(),
        size: size(spec).map_err(one)?,
        memory_store,
        file_store: rules::deployed_or_wanted_file_store(&spec.jet_stream.file_storage, cluster_facts).map_err(one)?,
        logging: spec.logging.clone(),
        limits,
        requests: resources.requests.unwrap_or_default(),
        memory_limit,
        labels: without(&spec.labels, |key| own_labels.contains_key(key)),
        annotations: without(&spec.annotations, metadata::is_own_annotation),
        spread: deployed.map_or(new_spread, |deployed| deployed.spread),
        deployed_memory_store: deployed.map_or_else(DeployedMemoryStore::default, DeployedMemoryStore::of),
        policy_violations: violations.policy().cloned().collect(),
    })
}

impl DeployedMemoryStore {
    fn of(deployed: &DeployedCluster) -> Self {
        Self { configured: deployed.memory_store, restarted_for: deployed.restarted_for_memory_store }
    }

    /// Returns the memory store (bytes; 0 is off) that the Pods must have been started with: a reload raises it, only a
    /// restart lowers it.
    pub fn restarted_for(self, desired: Bytes) -> Option<Bytes> {
        match self.configured {
            Some(configured) if desired < configured => Some(desired),
            _ => self.restarted_for,
        }
    }
}

fn size(spec: &NatsSpec) -> Result<u32, Violation> {
    u32::try_from(spec.cluster.size).map_err(|_| {
        Violation::invalid("spec.cluster.size", ViolationClass::Invalid, spec.cluster.size, "must be 1 to 99")
    })
}

/// A limit with a fraction of a byte is what the kubelet rounds up too.
fn bytes_rounded_up(raw: &RawQuantity) -> Option<Bytes> {
    raw.parse().ok().and_then(crate::Amount::bytes_rounded_up)
}

fn without(map: &BTreeMap<String, String>, left_out: impl Fn(&str) -> bool) -> BTreeMap<String, String> {
    map.iter().filter(|(key, _)| !left_out(key)).map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn list(violations: &[Violation]) -> String {
    let all: Vec<String> = violations.iter().map(ToString::to_string).collect();
    all.join("; ")
}
