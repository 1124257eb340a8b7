//! Validation rules of the NATS resource.
//!
//! Each rule is implemented here, once: the webhook, the controller and the command line call [`check`] and
//! [`check_update`]. The CEL in the CRD repeats the rules that must be enforced without the webhook as well.

mod cluster;
mod data;
mod flags;
pub(crate) mod metadata;
mod notation;
mod path;
pub(crate) mod reserved;
mod resources;
mod scheduling;
mod storage;
mod violation;

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashSet},
};

use crate::{
    cluster_domain::ClusterDomain, deployed::DeployedCluster, naming::NamespacedName, provider::Provider,
    spec_view::SpecView, status::JetStreamStatus,
};

pub use crate::naming::MAX_SIZE;
pub use data::deletion_warning;
pub use flags::{ineffective_flags, pause_warning};
pub(crate) use resources::limit_field;
pub(crate) use storage::{deployed_or_desired_file_store, memory_store};
pub use violation::{CauseType, Violation, ViolationClass, Warning};

/// Facts around the resource that rules depend on. A rule that depends on an unknown fact reports nothing.
#[derive(Clone, Debug, Default)]
pub struct ClusterFacts {
    /// Cloud provider of the Kubernetes cluster.
    pub provider: Provider,
    /// DNS domain of the Kubernetes cluster.
    pub domain: ClusterDomain,
    /// Cluster that is deployed for this resource.
    pub deployed: Option<DeployedCluster>,
    /// Number of availability zones in which the Kubernetes cluster has nodes.
    pub zones: Option<usize>,
    /// All StorageClasses of the Kubernetes cluster.
    pub storage_classes: Option<StorageClasses>,
    /// Names of the StorageClasses of the existing volumes. Affects only changes.
    pub volume_classes: BTreeSet<String>,
    /// Summary of the JetStream data, from the status of the stored resource, which only the manager writes. Affects
    /// only changes.
    pub jet_stream: Option<JetStreamStatus>,
    /// Number of servers that the servers' configuration was built for, from the status of the stored resource. Affects
    /// only changes.
    pub members: Option<u32>,
}

/// All StorageClasses of the Kubernetes cluster.
#[derive(Clone, Debug, Default)]
pub struct StorageClasses {
    /// Names of all StorageClasses, each with whether its volumes can be expanded (`allowVolumeExpansion`).
    pub all: BTreeMap<String, bool>,
    /// Name of the StorageClass that is marked as default.
    pub default: Option<String>,
}

/// Result of a check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Violations, which cause a rejection at admission.
    pub violations: Vec<Violation>,
    /// Warnings to the user, which do not cause a rejection.
    pub warnings: Vec<Warning>,
}

/// Builds the message for a NATS resource other than the single one that the Kubernetes cluster may have.
pub fn forbidden_message(allowed: &NamespacedName) -> String {
    format!(
        "Only a single NATS CR with name: {} and namespace: {} is allowed to be created in a Kyma cluster.",
        allowed.name, allowed.namespace
    )
}

/// Checks a spec on its own and against the cluster facts.
///
/// ```
/// use nats_manager_api::{ClusterSpec, NatsSpec, rules::{self, ClusterFacts}};
///
/// let spec = NatsSpec { cluster: ClusterSpec { size: 4 }, ..NatsSpec::default() };
/// let findings = rules::check(&spec, &ClusterFacts::default());
/// let fields: Vec<&str> = findings.violations.iter().map(|violation| violation.field.as_str()).collect();
/// assert_eq!(fields, ["spec.cluster.size"]);
/// ```
pub fn check<'a>(spec: impl Into<SpecView<'a>>, cluster_facts: &ClusterFacts) -> Findings {
    let spec = spec.into();
    let mut findings = Findings::default();
    cluster::check(spec, cluster_facts, &mut findings);
    storage::check(spec, cluster_facts, &mut findings);
    resources::check(spec.resources, &mut findings);
    scheduling::check(spec.scheduling, &mut findings);
    metadata::check(spec, &mut findings);
    cluster::check_logging(spec, &mut findings);
    findings
}

/// Checks a change of a spec.
///
/// A violation that the old spec has as well, with the same message and value, is not caused by the change. It becomes
/// a warning, so that every stored resource stays editable. A violation that the change eases becomes a warning, too.
/// Another notation of the same quantity is no change.
///
/// ```
/// use nats_manager_api::{ClusterSpec, NatsSpec, rules::{self, ClusterFacts}};
///
/// let sized = |size| NatsSpec { cluster: ClusterSpec { size }, ..NatsSpec::default() };
/// let facts = ClusterFacts::default();
/// let changed = rules::check_update(&sized(3), &sized(4), &facts);
/// assert_eq!(changed.violations[0].field, "spec.cluster.size");
/// let unmodified = rules::check_update(&sized(4), &sized(4), &facts);
/// assert_eq!(unmodified.violations, []);
/// assert_eq!(unmodified.warnings[0].field, "spec.cluster.size");
/// ```
pub fn check_update<'a>(
    old: impl Into<SpecView<'a>>,
    new: impl Into<SpecView<'a>>,
    cluster_facts: &ClusterFacts,
) -> Findings {
    let (old, new) = (old.into(), new.into());
    let mut findings = check(new, cluster_facts);
    if !findings.violations.is_empty() {
        excuse_inherited(&mut findings, old, new, cluster_facts);
    }
    cluster::check_change(old, new, cluster_facts, &mut findings);
    data::check_change(old, new, cluster_facts, &mut findings);
    scheduling::check_change(old, new, cluster_facts, &mut findings);
    storage::check_change(old, new, cluster_facts, &mut findings);
    findings
}

/// Turns violations that the old spec has as well, or that the change eases, into warnings.
fn excuse_inherited(findings: &mut Findings, old: SpecView<'_>, new: SpecView<'_>, cluster_facts: &ClusterFacts) {
    let old = notation::in_notation_of(new, old);
    let before: HashSet<Violation> = check(&old, cluster_facts).violations.into_iter().collect();
    let (inherited, made) = std::mem::take(&mut findings.violations).into_iter().partition::<Vec<_>, _>(|violation| {
        before.contains(violation) || storage::is_eased(violation, (&old).into(), new)
    });
    findings.violations = made;
    findings.warnings.extend(inherited.iter().map(Violation::as_warning));
}

/// Maximum number of entries in a map that are checked one by one: findings take more memory than the entries.
const MOST_ENTRIES: usize = 1000;

/// Returns the start of a user's key for a field path, so that responses stay bounded.
fn truncated(key: &str) -> String {
    key.chars().take(80).collect()
}

impl Findings {
    /// Rejects a map with more than [`MOST_ENTRIES`] entries. Returns whether it did: such a map is not checked
    /// further.
    fn reject_too_many(&mut self, field: &str, entries: usize) -> bool {
        let too_many = entries > MOST_ENTRIES;
        if too_many {
            let message = format!("must have at most {MOST_ENTRIES} entries");
            self.reject(Violation::invalid(field, ViolationClass::Invalid, entries, message));
        }
        too_many
    }

    fn reject(&mut self, violation: Violation) {
        self.violations.push(violation);
    }

    fn warn(&mut self, field: impl Into<Cow<'static, str>>, message: impl Into<Cow<'static, str>>) {
        self.warnings.push(Warning { field: field.into(), message: message.into() });
    }

    /// Returns the violations that make the resource impossible to deploy.
    pub fn invalid(&self) -> impl Iterator<Item = &Violation> {
        self.of(ViolationClass::Invalid)
    }

    /// Returns the violations that admission rejects but the controller deploys.
    pub fn policy(&self) -> impl Iterator<Item = &Violation> {
        self.of(ViolationClass::Policy)
    }

    fn of(&self, class: ViolationClass) -> impl Iterator<Item = &Violation> {
        self.violations.iter().filter(move |violation| violation.class == class)
    }
}
