//! Resolution of a spec into a cluster that can be deployed: with every default filled in and every quantity parsed.

use std::collections::BTreeMap;

use crate::{
    cluster_domain::ClusterDomain,
    deployed::{DeployedCluster, FileStore, SMALLEST_CLUSTER, Spread},
    naming::NamespacedName,
    network_policy::NetworkPolicyMode,
    quantity::{Bytes, RawQuantity},
    resource::{Logging, Nats, NatsSpec},
    rules::{self, ClusterFacts, Violation, ViolationClass, metadata},
    scheduling::Scheduling,
};

/// NATS cluster that can be deployed: validated, with defaults filled in and quantities parsed.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolvedCluster {
    /// Name and namespace of the resource, from which the names of all objects are derived.
    pub id: NamespacedName,
    /// DNS domain that the host names of the servers end with.
    pub domain: ClusterDomain,
    /// UID of the resource, for owner references.
    pub uid: String,
    /// Number of servers, 1 to 99.
    pub size: u32,
    /// Memory store of each server; `None` if it is disabled.
    pub memory_store: Option<Bytes>,
    /// File store of each server.
    pub file_store: FileStore,
    /// Logging of the servers.
    pub logging: Logging,
    /// Limits of each server, by resource, without those that are unlimited.
    pub limits: BTreeMap<String, RawQuantity>,
    /// Requests of each server, by resource. Always contains cpu and memory.
    pub requests: BTreeMap<String, RawQuantity>,
    /// Memory limit of each server, in bytes; `None` if there is none.
    pub memory_limit: Option<Bytes>,
    /// Labels of the user, without those that are reserved.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the user, without those that are reserved.
    pub annotations: BTreeMap<String, String>,
    /// Placement of the Pods.
    pub scheduling: Scheduling,
    /// Topology spread of the Pods, where the placement has none.
    pub spread: Spread,
    /// Ports of the servers that their NetworkPolicy closes.
    pub network_policy: NetworkPolicyMode,
    /// Memory store of the existing servers, as far as it decides on a restart.
    pub deployed_memory_store: DeployedMemoryStore,
    /// Policy violations, which are accepted in a resource that is already stored.
    pub policy_violations: Vec<Violation>,
}

/// Memory store of existing servers; all `None` for a new cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeployedMemoryStore {
    /// Memory store in the latest configuration of the servers.
    pub configured: Option<Bytes>,
    /// Memory store that the Pods were last restarted for.
    pub restarted_for: Option<Bytes>,
}

/// Error for a resource that cannot be deployed, with all violations of [`ViolationClass::Invalid`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", list(.0))]
pub struct InvalidSpec(pub Vec<Violation>);

impl ResolvedCluster {
    /// Returns the host name of the Service.
    pub fn host(&self) -> String {
        self.id.host(&self.domain)
    }

    /// Returns whether the servers form a cluster. Otherwise they are standalone.
    pub fn is_clustered(&self) -> bool {
        self.size >= SMALLEST_CLUSTER
    }
}

/// Resolves a resource with the facts of its cluster. `new_spread` is the topology spread of a cluster that does not
/// exist yet. An existing one keeps its spread.
///
/// ```
/// use nats_manager_api::{Bytes, InvalidSpec, Nats, NatsSpec, Spread, resolve, rules::ClusterFacts};
///
/// let nats = Nats::new("eventing-nats", NatsSpec::default());
/// let cluster = resolve(&nats, &ClusterFacts::default(), Spread::Soft)?;
/// assert_eq!(cluster.size, 3);
/// assert_eq!(cluster.memory_store, Some(Bytes::gibi(1)));
/// assert_eq!(cluster.memory_limit, Some(Bytes::gibi(1)));
/// # Ok::<(), InvalidSpec>(())
/// ```
pub fn resolve(nats: &Nats, cluster_facts: &ClusterFacts, new_spread: Spread) -> Result<ResolvedCluster, InvalidSpec> {
    let effective = nats.effective_spec().spec;
    // A stored resource stays valid although the records change that admission decided by.
    let (spec, tolerated) = if effective.resources.has_outgrown_defaults() {
        let found = rules::check(&effective, cluster_facts).violations;
        (&effective.without_outgrown_defaults(), found)
    } else {
        (&effective, Vec::new())
    };
    let violations = rules::check(spec, cluster_facts);
    let tolerated = tolerated
        .into_iter()
        .filter(|found| found.class == ViolationClass::Invalid && !violations.violations.contains(found))
        .map(|found| Violation { class: ViolationClass::Policy, ..found });
    let invalid: Vec<Violation> = violations.invalid().cloned().collect();
    if !invalid.is_empty() {
        return Err(InvalidSpec(invalid));
    }
    let one = |violation| InvalidSpec(vec![violation]);
    let deployed = cluster_facts.deployed.as_ref();
    let memory_store = rules::memory_store(&spec.jet_stream.mem_storage).map_err(one)?;
    let resources = spec.resources.completed();
    let limits = resources.limits.unwrap_or_default();
    let memory_limit = limits.get("memory").and_then(bytes_rounded_up);
    Ok(ResolvedCluster {
        id: NamespacedName::new(
            nats.metadata.namespace.clone().unwrap_or_default(),
            nats.metadata.name.clone().unwrap_or_default(),
        ),
        domain: cluster_facts.domain.clone(),
        uid: nats.metadata.uid.clone().unwrap_or_default(),
        size: size(spec).map_err(one)?,
        memory_store,
        file_store: rules::deployed_or_desired_file_store(&spec.jet_stream.file_storage, cluster_facts).map_err(one)?,
        logging: spec.logging.clone(),
        limits,
        requests: resources.requests.unwrap_or_default(),
        memory_limit,
        labels: metadata::effective_labels(spec),
        annotations: metadata::effective_annotations(spec),
        scheduling: spec.scheduling.clone(),
        spread: deployed.map_or(new_spread, |deployed| deployed.spread),
        network_policy: NetworkPolicyMode::of(nats.metadata.annotations.as_ref()),
        deployed_memory_store: deployed.map_or_else(DeployedMemoryStore::default, DeployedMemoryStore::of),
        policy_violations: violations.policy().cloned().chain(tolerated).collect(),
    })
}

/// Resolves the cluster that is deployed for a resource whose spec may be invalid. Each part of the spec that is invalid
/// is replaced by what is deployed, or else by its default.
///
/// # Errors
///
/// Fails if what is deployed is invalid too.
pub fn resolve_deployed(
    nats: &Nats,
    cluster_facts: &ClusterFacts,
    new_spread: Spread,
) -> Result<ResolvedCluster, InvalidSpec> {
    let mut valid = nats.clone();
    valid.spec = nats.effective_spec().spec;
    for violation in rules::check(&valid.spec.clone(), cluster_facts).invalid() {
        replace_part(&mut valid.spec, &violation.field, cluster_facts.deployed.as_ref());
    }
    resolve(&valid, cluster_facts, new_spread)
}

/// Replaces the part of a spec that contains `field`.
fn replace_part(spec: &mut NatsSpec, field: &str, deployed: Option<&DeployedCluster>) {
    let defaults = NatsSpec::default();
    let is_in =
        |part: &str| field.strip_prefix(part).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
    match () {
        () if is_in("spec.cluster") => {
            spec.cluster.size = deployed.map_or(defaults.cluster.size, |deployed| deployed.size.into());
        }
        () if is_in("spec.jetStream") => {
            spec.jet_stream = defaults.jet_stream;
            spec.jet_stream.file_storage.enabled =
                deployed.is_none_or(|deployed| deployed.file_store != FileStore::MemoryOnly);
            if let Some(store) = deployed.and_then(|deployed| deployed.memory_store) {
                spec.jet_stream.mem_storage.enabled = store.get() > 0;
                spec.jet_stream.mem_storage.size = store.to_string().into();
            }
        }
        () if is_in("spec.resources") => spec.resources = defaults.resources,
        () if is_in("spec.scheduling") => spec.scheduling = defaults.scheduling,
        () if is_in("spec.labels") => spec.labels = BTreeMap::new(),
        () => spec.annotations = BTreeMap::new(),
    }
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

/// Returns a limit in bytes. A fraction of a byte is rounded up, as by the kubelet.
fn bytes_rounded_up(raw: &RawQuantity) -> Option<Bytes> {
    raw.parse().ok().and_then(crate::Amount::bytes_rounded_up)
}

fn list(violations: &[Violation]) -> String {
    let all: Vec<String> = violations.iter().map(ToString::to_string).collect();
    all.join("; ")
}
