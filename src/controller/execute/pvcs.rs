//! The servers' PVCs, which contain the data.
//!
//! A PVC belongs to a server by its exact name, regardless of labels. Other PVCs in the namespace are never deleted.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, Preconditions},
};
use nats_manager_api::{Bytes, NamespacedName, naming::FIELD_MANAGER};
use serde_json::json;

/// Lists the PVCs of this resource's servers from the apiserver.
pub(crate) async fn list(client: &Client, id: &NamespacedName) -> kube::Result<Vec<PersistentVolumeClaim>> {
    let api: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &id.namespace);
    let mut all = api.list(&ListParams::default()).await?.items;
    all.retain(|pvc| id.pvc_ordinal(&pvc.name_any()).is_some());
    Ok(all)
}

/// Deletes exactly this PVC, by its uid: a newer one with its name may contain other data.
pub(crate) async fn delete(client: &Client, id: &NamespacedName, ordinal: u32, uid: &str) -> kube::Result<()> {
    let api: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &id.namespace);
    let precondition = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
    let parameters = DeleteParams::background().preconditions(precondition);
    ignore_missing_or_replaced(api.delete(&id.pvc(ordinal), &parameters).await)
}

/// Raises the requested size of exactly this PVC. The apiserver rejects a merge patch with another uid (409).
pub(crate) async fn expand(
    client: &Client,
    name: &str,
    id: &NamespacedName,
    uid: &str,
    size: Bytes,
) -> kube::Result<()> {
    let api: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &id.namespace);
    let patch = json!({"metadata": {"uid": uid}, "spec": {"resources": {"requests": {"storage": size.to_string()}}}});
    let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    ignore_missing_or_replaced(api.patch(name, &parameters, &Patch::Merge(patch)).await)
}

/// Treats a PVC that does not exist (404), or whose name another one has (409), as done. A request conflicts only with
/// its precondition.
fn ignore_missing_or_replaced<T>(answer: kube::Result<T>) -> kube::Result<()> {
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
    fn replaced_pvc_counts_as_deleted() {
        for (code, is_deleted) in [(404, true), (409, true), (403, false), (500, false)] {
            let answer: kube::Result<()> = Err(kube::Error::Api(Box::new(Status { code, ..Status::default() })));
            assert_eq!(ignore_missing_or_replaced(answer).is_ok(), is_deleted, "{code}");
        }
        assert!(ignore_missing_or_replaced(Ok(())).is_ok());
    }
}
