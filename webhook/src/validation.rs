//! From a request to a verdict.

use nats_manager_api::{
    NamespacedName, NatsSpec,
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

/// Judges a CREATE or UPDATE of a NATS resource. All findings stand in one answer.
pub(crate) fn validate(request: &Request<'_>, object: &RawValue, facts: &dyn FactSource) -> AdmissionResult {
    let new = match ReviewedObject::read(object) {
        Ok(new) => new,
        Err(error) => return AdmissionResult::refused(status::mistyped(&request.name, &error)),
    };
    let old = ReviewedObject::old(request);
    if new.is_leaving(request, old.as_ref()) {
        return AdmissionResult::Ignored;
    }
    match new.spec() {
        Ok(spec) => {
            let id = new.id(request);
            let cluster_facts = cluster_facts(&id, old.as_ref(), facts);
            judge(request, &id, old, &spec, facts, &cluster_facts)
        }
        Err(error) if is_untouched(&new, old.as_ref()) => AdmissionResult::Allowed(vec![error.to_string()]),
        Err(error) => AdmissionResult::refused(status::mistyped(&new.id(request).name, &error)),
    }
}

/// What is around the resource of this name, of which `old` is stored.
pub(crate) fn cluster_facts(
    id: &NamespacedName,
    old: Option<&ReviewedObject<'_>>,
    facts: &dyn FactSource,
) -> ClusterFacts {
    let (jet_stream, members) = (old.and_then(ReviewedObject::jet_stream), old.and_then(ReviewedObject::members));
    ClusterFacts { jet_stream, members, ..facts.cluster_facts(id) }
}

/// Judges a spec that can be read, with its defaults filled in or not.
pub(crate) fn judge(
    request: &Request<'_>,
    id: &NamespacedName,
    old: Option<ReviewedObject<'_>>,
    spec: &NatsSpec,
    facts: &dyn FactSource,
    cluster_facts: &ClusterFacts,
) -> AdmissionResult {
    let is_new = request.operation == ReviewOperation::Create;
    if let Some(allowed) = facts.allowed().filter(|allowed| is_new && allowed != id) {
        return AdmissionResult::refused(status::forbidden(&id.name, rules::forbidden_message(&allowed)));
    }
    // An old spec that cannot be read is none to compare with.
    let before: Option<NatsSpec> = old.and_then(|old| old.spec().ok());
    let Findings { violations, warnings } = match before {
        Some(before) => rules::check_update(&before, spec, cluster_facts),
        None => rules::check(spec, cluster_facts),
    };
    if violations.is_empty() {
        AdmissionResult::Allowed(warnings.iter().map(ToString::to_string).collect())
    } else {
        AdmissionResult::refused(status::invalid(&id.name, &violations))
    }
}

/// Whether the spec is to the letter what is stored: then it stays, whatever wrote it.
fn is_untouched(new: &ReviewedObject<'_>, old: Option<&ReviewedObject<'_>>) -> bool {
    old.is_some_and(|old| old.spec.map(RawValue::get) == new.spec.map(RawValue::get))
}
