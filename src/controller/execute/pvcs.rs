//! The servers' PVCs, which contain the data.
//!
//! A PVC belongs to a server by its exact name, regardless of labels. Other PVCs in the namespace are never deleted.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, Patch, Preconditions},
};
use nats_manager_api::{Bytes, NamespacedName};
use serde_json::json;

use crate::field_manager;

/// Lists the PVCs of this resource's servers from the apiserver.
pub(crate) async fn list(client: &Client, id: &NamespacedName) -> kube::Result<Vec<PersistentVolumeClaim>> {
    let api: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &id.namespace);
    let mut all = api.list(&ListParams::default()).await?.items;
    all.retain(|pvc| id.pvc_ordinal(&pvc.name_any()).is_some());
    Ok(all)
}

/// Deletes exactly this PVC, by its uid: a newer one with its name may contain other data. With a `version`, it deletes
/// exactly this version. Returns whether it existed.
pub(crate) async fn delete(
    client: &Client,
    id: &NamespacedName,
    ordinal: u32,
    uid: &str,
    version: Option<&str>,
) -> kube::Result<bool> {
    let api: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &id.namespace);
    let precondition = Preconditions { uid: Some(uid.to_owned()), resource_version: version.map(str::to_owned) };
    let parameters = DeleteParams::background().preconditions(precondition);
    existed(api.delete(&id.pvc(ordinal), &parameters).await)
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
    existed(api.patch(name, &field_manager::patch(), &Patch::Merge(patch)).await).map(|_| ())
}

/// Returns false for a PVC that does not exist (404), or whose name another one has (409). A request conflicts only with
/// its precondition.
fn existed<T>(answer: kube::Result<T>) -> kube::Result<bool> {
    match answer {
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(false),
        answer => answer.map(|_| true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::Status;

    #[test]
    fn replaced_pvc_counts_as_deleted() {
        for (code, expected) in [(404, Some(false)), (409, Some(false)), (403, None), (500, None)] {
            let answer: kube::Result<()> = Err(kube::Error::Api(Box::new(Status { code, ..Status::default() })));
            assert_eq!(existed(answer).ok(), expected, "{code}");
        }
        assert_eq!(existed(Ok(())).ok(), Some(true));
    }
}
