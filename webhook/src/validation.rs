//! From a request to a verdict.

use nats_manager_api::{
    NamespacedName, NatsSpec,
    rules::{self, ClusterFacts, Findings},
};
use serde_json::value::RawValue;

use crate::{
    Facts,
    answer::Outcome,
    envelope::{Operation, Request},
    object::Object,
    status,
};

/// Judges a CREATE or UPDATE of a NATS resource. All findings stand in one answer.
pub(crate) fn validate(request: &Request<'_>, object: &RawValue, facts: &dyn Facts) -> Outcome {
    let new = match Object::read(object) {
        Ok(new) => new,
        Err(error) => return Outcome::refused(status::mistyped(&request.name, &error)),
    };
    let old = Object::old(request);
    if new.is_leaving(request, old.as_ref()) {
        return Outcome::Ignored;
    }
    match new.spec() {
        Ok(spec) => {
            let id = new.id(request);
            let cluster_facts = cluster_facts(&id, old.as_ref(), facts);
            judge(request, &id, old, &spec, facts, &cluster_facts)
        }
        Err(error) if is_untouched(&new, old.as_ref()) => Outcome::Allowed(vec![error.to_string()]),
        Err(error) => Outcome::refused(status::mistyped(&new.id(request).name, &error)),
    }
}

/// What is around the resource of this name, of which `old` is stored.
pub(crate) fn cluster_facts(id: &NamespacedName, old: Option<&Object<'_>>, facts: &dyn Facts) -> ClusterFacts {
    let (jet_stream, members) = (old.and_then(Object::jet_stream), old.and_then(Object::members));
    ClusterFacts { jet_stream, members, ..facts.cluster_facts(id) }
}

/// Judges a spec that can be read, with its defaults filled in or not.
pub(crate) fn judge(
    request: &Request<'_>,
    id: &NamespacedName,
    old: Option<Object<'_>>,
    spec: &NatsSpec,
    facts: &dyn Facts,
    cluster_facts: &ClusterFacts,
) -> Outcome {
    let is_new = request.operation == Operation::Create;
    if let Some(allowed) = facts.allowed().filter(|allowed| is_new && allowed != id) {
        return Outcome::refused(status::forbidden(&id.name, rules::forbidden_message(&allowed)));
    }
    // An old spec that cannot be read is none to compare with.
    let before: Option<NatsSpec> = old.and_then(|old| old.spec().ok());
    let Findings { violations, warnings } = match before {
        Some(before) => rules::check_update(&before, spec, cluster_facts),
        None => rules::check(spec, cluster_facts),
    };
    if violations.is_empty() {
        Outcome::Allowed(warnings.iter().map(ToString::to_string).collect())
    } else {
        Outcome::refused(status::invalid(&id.name, &violations))
    }
}

/// Whether the spec is to the letter what is stored: then it stays, whatever wrote it.
fn is_untouched(new: &Object<'_>, old: Option<&Object<'_>>) -> bool {
    old.is_some_and(|old| old.spec.map(RawValue::get) == new.spec.map(RawValue::get))
}
