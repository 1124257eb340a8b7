//! Rules on the number of servers, and on their logging.

use super::{ClusterFacts, Findings, Violation, ViolationClass};
use crate::{naming::MAX_SIZE, resource::message, spec_view::SpecView};

pub(super) const SIZE: &str = "spec.cluster.size";

pub(super) fn check(spec: SpecView<'_>, cluster_facts: &ClusterFacts, findings: &mut Findings) {
    let size = spec.cluster.size;
    let mut reject = |class, message: String| findings.reject(Violation::invalid(SIZE, class, size, message));
    if size < 1 {
        reject(ViolationClass::Invalid, "should be greater than or equal to 1".to_owned());
    } else if size > MAX_SIZE {
        reject(ViolationClass::Invalid, format!("should be less than or equal to {MAX_SIZE}"));
    }
    if size % 2 == 0 {
        reject(ViolationClass::Policy, message::ODD_SIZE.to_owned());
    }
    if size == 1 {
        findings.warn(SIZE, "a single server has no redundancy; use 3 for production");
    }
    let wanted = usize::try_from(size.clamp(1, 3)).unwrap_or(1);
    if let Some(zones) = cluster_facts.zones.filter(|zones| *zones < wanted) {
        findings.warn(SIZE, format!("the cluster has nodes in {zones} availability zones, {wanted} are recommended"));
    }
}

pub(super) fn check_change(
    old: SpecView<'_>,
    new: SpecView<'_>,
    cluster_facts: &ClusterFacts,
    findings: &mut Findings,
) {
    // A change from one server can be taken back until the configuration is built for several servers.
    let deployed = || cluster_facts.deployed.as_ref().map(|deployed| deployed.size);
    let is_standalone = cluster_facts.members.or_else(deployed) == Some(1);
    if old.cluster.size > 1 && new.cluster.size == 1 && !is_standalone {
        findings.reject(Violation::invalid(SIZE, ViolationClass::Policy, new.cluster.size, message::NOT_BACK_TO_ONE));
    }
}

pub(super) fn check_logging(spec: SpecView<'_>, findings: &mut Findings) {
    if spec.logging.trace {
        findings.warn("spec.logging.trace", "logs every message and slows the servers down");
    }
    if spec.logging.debug {
        findings.warn("spec.logging.debug", "produces many log lines; turn it off after use");
    }
}
