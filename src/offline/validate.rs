//! `nats-manager validate`: the checks of admission, without a cluster.

use nats_manager_api::{EffectiveSpec, NamespacedName, Nats, NetworkPolicyMode, rules};

use super::{
    report::{Finding, Severity, ValidationReport},
    resource,
};

/// Checks every NATS resource in some YAML, except for rules that depend on the cluster. `served` is the one resource
/// that an installation serves by default.
pub fn validate(input: &str, served: &NamespacedName) -> ValidationReport {
    let resource::ReadResources { resources, mut report } = resource::read(input);
    for (subject, nats) in resources {
        let mut find = |severity, message| {
            report.findings.push(Finding { severity, subject: subject.clone(), message });
        };
        if !is_served(&nats, served) {
            find(Severity::Warning, format!("metadata.name: {}", rules::forbidden_message(served)));
        }
        let EffectiveSpec { spec, warnings } = nats.effective_spec();
        let mut found = rules::check(&spec, &rules::ClusterFacts::default());
        found.warnings.extend(warnings);
        found.warnings.extend(NetworkPolicyMode::warning(nats.metadata.annotations.as_ref()));
        for violation in found.violations {
            find(Severity::Error, violation.to_string());
        }
        for warning in found.warnings {
            find(Severity::Warning, warning.to_string());
        }
    }
    report
}

/// Returns whether the resource is the served one. kubectl fills in a namespace that is missing.
fn is_served(nats: &Nats, served: &NamespacedName) -> bool {
    nats.metadata.name.as_ref() == Some(&served.name)
        && nats.metadata.namespace.as_ref().is_none_or(|namespace| *namespace == served.namespace)
}
