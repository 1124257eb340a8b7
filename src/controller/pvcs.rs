//! The servers' PVCs: where the data is.
//!
//! A PVC is a server's by its exact name, whatever its labels; others in the namespace are never deleted.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, Preconditions},
};
use nats_manager_api::NamespacedName;
use nats_manager_planner::actual::MAX_SERVERS;

/// Lists the PVCs of this resource's servers, as the apiserver has them now.
pub(super) async fn list(client: &Client, id: &NamespacedName) -> kube::Result<Vec<PersistentVolumeClaim>> {
    let api: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &id.namespace);
    let mut all = api.list(&ListParams::default()).await?.items;
    all.retain(|pvc| ordinal(pvc, id).is_some());
    Ok(all)
}

/// Returns the ordinal of the server that a PVC belongs to; `None` for any other name.
pub(super) fn ordinal(pvc: &PersistentVolumeClaim, id: &NamespacedName) -> Option<u32> {
    let name = pvc.name_any();
    let ordinal = name.strip_prefix(&format!("{}-{}-", id.claim_template(), id.name))?.parse().ok()?;
    // `+1` and `01` are numbers too, and no server's.
    (ordinal < MAX_SERVERS && name == self::name(id, ordinal)).then_some(ordinal)
}

/// Returns the name of the PVC of a server.
pub(super) fn name(id: &NamespacedName, ordinal: u32) -> String {
    format!("{}-{}", id.claim_template(), id.server(ordinal))
}

/// Deletes exactly this PVC: one that was created since under its name may hold something else.
pub(super) async fn delete(client: &Client, id: &NamespacedName, ordinal: u32, uid: &str) -> kube::Result<()> {
    let api: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &id.namespace);
    let precondition = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
    let parameters = DeleteParams::background().preconditions(precondition);
    gone(api.delete(&name(id, ordinal), &parameters).await)
}

/// A PVC that does not exist is gone, and so is one whose name another has by now: a deletion conflicts with nothing
/// but its precondition.
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
    fn pvc_whose_name_another_has_is_gone() {
        for (code, is_gone) in [(404, true), (409, true), (403, false), (500, false)] {
            let answer: kube::Result<()> = Err(kube::Error::Api(Box::new(Status { code, ..Status::default() })));
            assert_eq!(gone(answer).is_ok(), is_gone, "{code}");
        }
        assert!(gone(Ok(())).is_ok());
    }

    #[test]
    fn only_exact_names_belong_to_servers() {
        let id = NamespacedName::new("kyma-system", "eventing-nats");
        for (name, expected) in [
            ("eventing-nats-js-pvc-eventing-nats-4", Some(4)),
            ("eventing-nats-js-pvc-eventing-nats-98", Some(98)),
            ("eventing-nats-js-pvc-eventing-nats-99", None),
            ("eventing-nats-js-pvc-eventing-nats-04", None),
            ("eventing-nats-js-pvc-eventing-nats-+4", None),
            ("eventing-nats-js-pvc-eventing-nats-0-restored", None),
            ("eventing-nats-js-pvc-eventing-nats-backup", None),
            ("eventing-nats-js-pvc-other-0", None),
            ("eventing-nats-js-pvc-eventing-nats-x", None),
            ("eventing-nats-js-pvc-eventing-nats-4294967296", None),
        ] {
            let mut pvc = PersistentVolumeClaim::default();
            pvc.metadata.name = Some(name.to_owned());
            assert_eq!(ordinal(&pvc, &id), expected, "{name}");
        }
    }
}
