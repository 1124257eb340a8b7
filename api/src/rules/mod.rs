//! The rules that a NATS resource keeps.
//!
//! One rule, one place: the webhook, the controller and the command line call [`check`] and
//! [`check_update`]; the CEL in the CRD is the floor below them.

mod cluster;
mod data;
pub(crate) mod metadata;
mod resources;
mod storage;
mod violation;

use std::collections::HashSet;

use crate::{
    deployed::DeployedCluster, naming::NamespacedName, provider::Provider, resource::NatsSpec, status::JetStreamStatus,
};

pub use cluster::MAX_SIZE;
pub use data::deletion_warning;
pub(crate) use storage::{deployed_or_wanted_file_store, memory_store};
pub use violation::{CauseType, Violation, ViolationClass, Warning};

/// What around the resource a rule may depend on. What is not known stays silent.
#[derive(Clone, Debug, Default)]
pub struct ClusterFacts {
    /// The cloud provider.
    pub provider: Provider,
    /// What is deployed for this resource.
    pub deployed: Option<DeployedCluster>,
    /// In how many availability zones the cluster has nodes.
    pub zones: Option<usize>,
    /// The names of every StorageClass of the cluster, and the default one.
    pub storage_classes: Option<StorageClasses>,
    /// Summary of what JetStream holds, from the status of the stored resource, which only the manager writes. Matters
    /// to changes alone.
    pub jet_stream: Option<JetStreamStatus>,
    /// The number of servers that the servers' configuration was built for, from the status of the stored resource.
    /// Matters to changes alone.
    pub members: Option<u32>,
}

/// Each StorageClass of the cluster.
#[derive(Clone, Debug, Default)]
pub struct StorageClasses {
    /// All names.
    pub names: Vec<String>,
    /// The one marked as default.
    pub default: Option<String>,
}

/// What the rules say of a resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// What admission refuses.
    pub violations: Vec<Violation>,
    /// What a user should know of, short.
    pub warnings: Vec<Warning>,
}

/// The message for a resource that is not the one that the cluster may have.
pub fn forbidden_message(allowed: &NamespacedName) -> String {
    format!(
        "Only a single NATS CR with name: {} and namespace: {} is allowed to be created in a Kyma cluster.",
        allowed.name, allowed.namespace
    )
}

/// Checks a spec on its own and against the cluster facts.
pub fn check(spec: &NatsSpec, cluster_facts: &ClusterFacts) -> Findings {
    let mut findings = Findings::default();
    cluster::check(spec, cluster_facts, &mut findings);
    storage::check(spec, cluster_facts, &mut findings);
    resources::check(&spec.resources, &mut findings);
    metadata::check(spec, &mut findings);
    cluster::check_logging(spec, &mut findings);
    findings
}

/// Checks a change of a spec.
///
/// A violation that the old spec has word for word, on the same value, is not of this change's
/// making: it becomes a warning, so that what is stored stays editable, whatever wrote it. So does
/// one that the change eases.
pub fn check_update(old: &NatsSpec, new: &NatsSpec, cluster_facts: &ClusterFacts) -> Findings {
    let mut findings = check(new, cluster_facts);
    let before: HashSet<Violation> = check(old, cluster_facts).violations.into_iter().collect();
    let (inherited, made) = findings
        .violations
        .into_iter()
        .partition::<Vec<_>, _>(|violation| before.contains(violation) || storage::is_eased(violation, old, new));
    findings.violations = made;
    findings.warnings.extend(inherited.iter().map(Violation::as_warning));
    cluster::check_change(old, new, cluster_facts, &mut findings);
    data::check_change(old, new, cluster_facts, &mut findings);
    storage::check_change(old, new, cluster_facts, &mut findings);
    findings
}

/// More entries in a map are not looked at one by one: findings take more memory than the entries.
const MOST_ENTRIES: usize = 1000;

/// The start of a key of the user's, for a field path: an answer has bounds.
fn short(key: &str) -> String {
    key.chars().take(80).collect()
}

impl Findings {
    /// Whether a map has so many entries that this is all there is to say of it.
    fn refuse_too_many(&mut self, field: &str, entries: usize) -> bool {
        let too_many = entries > MOST_ENTRIES;
        if too_many {
            let message = format!("must have at most {MOST_ENTRIES} entries");
            self.refuse(Violation::invalid(field, ViolationClass::Invalid, entries, message));
        }
        too_many
    }

    fn refuse(&mut self, violation: Violation) {
        self.violations.push(violation);
    }

    fn warn(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.warnings.push(Warning { field: field.into(), message: message.into() });
    }

    /// The violations that make the resource impossible to deploy.
    pub fn invalid(&self) -> impl Iterator<Item = &Violation> {
        self.of(ViolationClass::Invalid)
    }

    /// The violations that admission refuses but the controller deploys.
    pub fn policy(&self) -> impl Iterator<Item = &Violation> {
        self.of(ViolationClass::Policy)
    }

    fn of(&self, class: ViolationClass) -> impl Iterator<Item = &Violation> {
        self.violations.iter().filter(move |violation| violation.class == class)
    }
}
