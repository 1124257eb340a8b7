//! Validation of creations and updates.

use nats_manager_api::{
    EffectiveSpec, NamespacedName, NatsSpec, NetworkPolicyMode,
    rules::{self, ClusterFacts, Findings, Warning},
};

use crate::{
    FactSource,
    answer::AdmissionResult,
    envelope::{Request, ReviewOperation, Subject},
    object::{Recorded, ReviewedObject},
    status,
    stored_spec::StoredSpec,
};

/// Validates a CREATE or UPDATE of a NATS resource. One response contains all findings.
pub(crate) fn validate(request: &Request<'_>, object: &Subject<'_>, facts: &dyn FactSource) -> AdmissionResult {
    let new = match object.nats() {
        Ok(new) => new,
        Err(error) => return AdmissionResult::rejected(status::mistyped(&request.name, &error)),
    };
    let old = ReviewedObject::old(request);
    let id = new.id(request);
    match new.spec().read() {
        Ok(spec) => {
            let cluster_facts = cluster_facts(&id, old.as_deref(), facts);
            Review { request, id: &id, new: &new, old: old.as_deref() }.check(spec, facts, &cluster_facts)
        }
        // An unchanged spec is allowed, whichever client wrote it.
        Err(error) if old.is_some_and(|old| old.spec().is_same(&new.spec())) => {
            AdmissionResult::Allowed(vec![error.to_string()])
        }
        Err(error) => AdmissionResult::rejected(status::mistyped(&id.name, &error)),
    }
}

/// Returns the facts around the resource of this name. `old` is the stored object.
pub(crate) fn cluster_facts(
    id: &NamespacedName,
    old: Option<&ReviewedObject<'_>>,
    facts: &dyn FactSource,
) -> ClusterFacts {
    let Recorded { jet_stream, members } = old.map(ReviewedObject::recorded).unwrap_or_default();
    let uid = old.and_then(ReviewedObject::uid);
    ClusterFacts { jet_stream, members, ..facts.cluster_facts(id, uid) }
}

/// Readable object under review.
pub(crate) struct Review<'a> {
    pub(crate) request: &'a Request<'a>,
    pub(crate) id: &'a NamespacedName,
    pub(crate) new: &'a ReviewedObject<'a>,
    /// Stored object of an UPDATE.
    pub(crate) old: Option<&'a ReviewedObject<'a>>,
}

impl Review<'_> {
    /// Checks the spec of the new object against the rules, with its defaults filled in or not.
    pub(crate) fn check(
        &self,
        spec: NatsSpec,
        facts: &dyn FactSource,
        cluster_facts: &ClusterFacts,
    ) -> AdmissionResult {
        let Self { request, id, new, old } = *self;
        let is_new = request.operation == ReviewOperation::Create;
        if let Some(allowed) = is_new.then(|| facts.allowed()).flatten().filter(|allowed| allowed != id) {
            return AdmissionResult::rejected(status::forbidden(&id.name, rules::forbidden_message(&allowed)));
        }
        let EffectiveSpec { spec, warnings: ignored_defaults } = new.effective(spec);
        // An unreadable old spec is no basis for a comparison.
        let before = old.and_then(|old| match ignored_defaults.as_slice() {
            [] => StoredSpec::read(old, new, &spec),
            _ => StoredSpec::whole(old),
        });
        let mut findings = match &before {
            Some(before) => rules::check_update(before.view(), &spec, cluster_facts),
            None => rules::check(&spec, cluster_facts),
        };
        findings.warnings.extend(ignored_defaults);
        let annotations = new.own_annotations();
        findings.warnings.extend(rules::ineffective_flags(&annotations));
        findings.warnings.extend(rules::pause_warning(&annotations));
        findings.warnings.extend(NetworkPolicyMode::warning(Some(&annotations)));
        result(&id.name, &findings)
    }
}

/// Returns the result for the findings on the resource of this name.
pub(crate) fn result(name: &str, findings: &Findings) -> AdmissionResult {
    if findings.violations.is_empty() {
        AdmissionResult::Allowed(findings.warnings.iter().map(Warning::text).collect())
    } else {
        AdmissionResult::rejected(status::invalid(name, &findings.violations))
    }
}
