//! Reviews of the subresource `scale` (`kubectl scale`), which changes only the number of servers.
//!
//! The apiserver sends a `Scale` of the group `autoscaling`, without the resource. The resource comes from the facts.

use nats_manager_api::{
    NamespacedName, NatsSpec,
    rules::{self, ClusterFacts},
};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{FactSource, answer::AdmissionResult, envelope::Request, object::TypeError, status, validation};

/// Name of the subresource.
pub(crate) const SUB_RESOURCE: &str = "scale";
/// Kind of its objects, and the group of that kind.
pub(crate) const KIND: (&str, &str) = ("autoscaling", "Scale");

/// Fields of a `Scale` that a review depends on.
#[derive(Deserialize)]
struct Scale {
    #[serde(default)]
    spec: ScaleSpec,
}

#[derive(Default, Deserialize)]
struct ScaleSpec {
    /// Number of servers. An absent value is 0.
    #[serde(default)]
    replicas: i64,
}

/// Validates a new number of servers as an update of the resource.
pub(crate) fn validate(request: &Request<'_>, object: &RawValue, facts: &dyn FactSource) -> AdmissionResult {
    let id = NamespacedName::new(&*request.namespace, &*request.name);
    let scale: Scale = match serde_json::from_str(object.get()) {
        Ok(scale) => scale,
        Err(error) => {
            return AdmissionResult::rejected(status::mistyped(&id.name, &TypeError::at("spec.replicas", &error)));
        }
    };
    let Some(stored) = facts.stored(&id) else {
        return AdmissionResult::rejected(status::unavailable(&id.name));
    };
    let old = stored.effective_spec().spec;
    let mut new: NatsSpec = old.clone();
    new.cluster.size = scale.spec.replicas;
    let stored_status = stored.status.as_ref();
    let cluster_facts = ClusterFacts {
        jet_stream: stored_status.and_then(|status| status.jet_stream.clone()),
        members: stored_status.and_then(|status| status.members),
        ..facts.cluster_facts(&id, stored.metadata.uid.as_deref())
    };
    validation::result(&id.name, &rules::check_update(&old, &new, &cluster_facts))
}
