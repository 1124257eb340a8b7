//! The servers' PVCs: where the data is.
//!
//! A PVC is a server's by its exact name, whatever its labels; others in the namespace are never deleted.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, Preconditions},
};
use nats_manager_api::NamespacedName;

/// Lists the PVCs of this resource's servers, as the apiserver has them now.
pub(crate) async fn list(client: &Client, id: &NamespacedName) -> kube::Result<Vec<PersistentVolumeClaim>> {
    let api: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &id.namespace);
    let mut all = api.list(&ListParams::default()).await?.items;
    all.retain(|pvc| id.pvc_ordinal(&pvc.name_any()).is_some());
    Ok(all)
}

/// Deletes exactly this PVC: one that was created since under its name may hold something else.
pub(crate) async fn delete(client: &Client, id: &NamespacedName, ordinal: u32, uid: &str) -> kube::Result<()> {
    let api: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &id.namespace);
    let precondition = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
    let parameters = DeleteParams::background().preconditions(precondition);
    gone(api.delete(&id.pvc(ordinal), &parameters).await)
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
}
