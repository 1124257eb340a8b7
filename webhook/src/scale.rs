//! Reviews of the subresource `scale` (`kubectl scale`), which changes only the number of servers.
//!
//! The apiserver sends a `Scale` of the group `autoscaling`, without the resource. The resource comes from the facts.

use std::sync::Arc;

use nats_manager_api::{
    NamespacedName, Nats, NatsSpec,
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
    metadata: ScaleMetadata,
    #[serde(default)]
    spec: ScaleSpec,
}

#[derive(Default, Deserialize)]
struct ScaleMetadata {
    /// Uid of the resource.
    uid: Option<String>,
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
    // The cache may still have an earlier resource of the same name.
    let is_meant = |stored: &Arc<Nats>| scale.metadata.uid.is_none() || scale.metadata.uid == stored.metadata.uid;
    let Some(stored) = facts.stored(&id).filter(is_meant) else {
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{WebhookKind, facts::NoFacts, review::review};

    #[test]
    fn scale_of_a_resource_that_is_not_cached_is_rejected_until_it_is() {
        for (metadata, cached, code) in
            [(json!({"uid": "new"}), "new", None), (json!({}), "new", None), (json!({"uid": "new"}), "old", Some(503))]
        {
            let body = json!({
                "apiVersion": "admission.k8s.io/v1",
                "kind": "AdmissionReview",
                "request": {
                    "uid": "u",
                    "kind": {"group": KIND.0, "kind": KIND.1},
                    "resource": {"group": status::GROUP},
                    "subResource": SUB_RESOURCE,
                    "operation": "UPDATE",
                    "name": "n",
                    "namespace": "ns",
                    "object": {"metadata": metadata, "spec": {"replicas": 5}},
                },
            });
            let mut nats = Nats::new("n", NatsSpec::default());
            nats.metadata.uid = Some(cached.to_owned());
            let facts = NoFacts { stored: Some(Arc::new(nats)) };
            let (_, answer) = review(WebhookKind::Validate, body.to_string().as_bytes(), &facts).unwrap();
            let response = &serde_json::from_slice::<Value>(&answer).unwrap()["response"];
            assert_eq!(response["allowed"], code.is_none(), "{response}");
            assert_eq!(response["status"]["code"].as_u64(), code, "{response}");
        }
    }
}
