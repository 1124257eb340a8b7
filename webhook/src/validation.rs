//! Validation of creations and updates.

use nats_manager_api::{
    EffectiveSpec, NamespacedName, NatsSpec,
    rules::{self, ClusterFacts, Findings},
};
use serde_json::value::RawValue;

use crate::{
    FactSource,
    answer::AdmissionResult,
    envelope::{Request, ReviewOperation},
    object::ReviewedObject,
    status,
};

/// Validates a CREATE or UPDATE of a NATS resource. One response contains all findings.
pub(crate) fn validate(request: &Request<'_>, object: &RawValue, facts: &dyn FactSource) -> AdmissionResult {
    let new = match ReviewedObject::read(object) {
        Ok(new) => new,
        Err(error) => return AdmissionResult::rejected(status::mistyped(&request.name, &error)),
    };
    let old = ReviewedObject::old(request);
    match new.spec() {
        Ok(spec) => {
            let cluster_facts = cluster_facts(&new.id(request), old.as_ref(), facts);
            check_spec(request, &new, old, spec, facts, &cluster_facts)
        }
        Err(error) if is_unchanged(&new, old.as_ref()) => AdmissionResult::Allowed(vec![error.to_string()]),
        Err(error) => AdmissionResult::rejected(status::mistyped(&new.id(request).name, &error)),
    }
}

/// Returns the facts around the resource of this name. `old` is the stored object.
pub(crate) fn cluster_facts(
    id: &NamespacedName,
    old: Option<&ReviewedObject<'_>>,
    facts: &dyn FactSource,
) -> ClusterFacts {
    let (jet_stream, members) = (old.and_then(ReviewedObject::jet_stream), old.and_then(ReviewedObject::members));
    ClusterFacts { jet_stream, members, ..facts.cluster_facts(id) }
}

/// Checks the spec of `new` against the rules, with its defaults filled in or not.
pub(crate) fn check_spec(
    request: &Request<'_>,
    new: &ReviewedObject<'_>,
    old: Option<ReviewedObject<'_>>,
    spec: NatsSpec,
    facts: &dyn FactSource,
    cluster_facts: &ClusterFacts,
) -> AdmissionResult {
    let id = new.id(request);
    let is_new = request.operation == ReviewOperation::Create;
    if let Some(allowed) = facts.allowed().filter(|allowed| is_new && *allowed != id) {
        return AdmissionResult::rejected(status::forbidden(&id.name, rules::forbidden_message(&allowed)));
    }
    let EffectiveSpec { spec, warnings: ignored_defaults } = new.effective(spec);
    // An unreadable old spec is no basis for a comparison.
    let before = old.and_then(|old| Some(old.effective(old.spec().ok()?).spec));
    let mut findings = match before {
        Some(before) => rules::check_update(&before, &spec, cluster_facts),
        None => rules::check(&spec, cluster_facts),
    };
    findings.warnings.extend(ignored_defaults);
    let annotations = new.annotations();
    findings.warnings.extend(rules::ineffective_flags(&annotations));
    findings.warnings.extend(rules::pause_warning(&annotations));
    findings.warnings.extend(new.network_policy_warning());
    result(&id.name, &findings)
}

/// Returns the result for the findings on the resource of this name.
pub(crate) fn result(name: &str, findings: &Findings) -> AdmissionResult {
    if findings.violations.is_empty() {
        AdmissionResult::Allowed(findings.warnings.iter().map(ToString::to_string).collect())
    } else {
        AdmissionResult::rejected(status::invalid(name, &findings.violations))
    }
}

/// Returns whether the spec is byte for byte the stored one. Such a spec is allowed, whichever client wrote it.
fn is_unchanged(new: &ReviewedObject<'_>, old: Option<&ReviewedObject<'_>>) -> bool {
    old.is_some_and(|old| old.spec.map(RawValue::get) == new.spec.map(RawValue::get))
}
