//! The volume claims of a resource's servers: where the data is.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, Preconditions},
};
use nats_manager_api::{NamespacedName, naming};

/// The claims of this resource's servers.
pub(super) async fn list(client: &Client, id: &NamespacedName) -> kube::Result<Vec<PersistentVolumeClaim>> {
    let api: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &id.namespace);
    let labels = format!("{}={}", naming::INSTANCE_LABEL, id.instance());
    let prefix = format!("{}-", id.claim_template());
    let mut claims = api.list(&ListParams::default().labels(&labels)).await?.items;
    claims.retain(|claim| claim.name_any().starts_with(&prefix));
    Ok(claims)
}

/// The server that a claim is of.
pub(super) fn ordinal(claim: &PersistentVolumeClaim, id: &NamespacedName) -> Option<u32> {
    claim.name_any().strip_prefix(&format!("{}-{}-", id.claim_template(), id.name))?.parse().ok()
}

/// Deletes exactly this claim: one made since under its name may hold what nobody has looked at.
pub(super) async fn delete(client: &Client, id: &NamespacedName, claim: &PersistentVolumeClaim) -> kube::Result<()> {
    let api: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &id.namespace);
    let exactly_this = Preconditions { uid: claim.uid(), resource_version: None };
    gone(api.delete(&claim.name_any(), &DeleteParams::background().preconditions(exactly_this)).await)
}

/// A claim that is not there is gone, and so is one whose name another has by now: a deletion conflicts with
/// nothing but its precondition.
fn gone<T>(answer: kube::Result<T>) -> kube::Result<()> {
    match answer {
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        answer => answer.map(|_| ()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::Status;

    #[test]
    fn a_claim_whose_name_another_has_is_gone() {
        for (code, is_gone) in [(404, true), (409, true), (403, false), (500, false)] {
            let answer: kube::Result<()> = Err(kube::Error::Api(Box::new(Status { code, ..Status::default() })));
            assert_eq!(gone(answer).is_ok(), is_gone, "{code}");
        }
        assert!(gone(Ok(())).is_ok());
    }

    #[test]
    fn a_claim_tells_its_server() {
        let id = NamespacedName::new("kyma-system", "eventing-nats");
        for (name, expected) in [
            ("eventing-nats-js-pvc-eventing-nats-4", Some(4)),
            ("eventing-nats-js-pvc-other-0", None),
            ("eventing-nats-js-pvc-eventing-nats-x", None),
        ] {
            let mut claim = PersistentVolumeClaim::default();
            claim.metadata.name = Some(name.to_owned());
            assert_eq!(ordinal(&claim, &id), expected, "{name}");
        }
    }
}
