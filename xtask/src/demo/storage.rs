//! The classes of volumes that samples ask for. A local cluster has only its default one.

use k8s_openapi::api::storage::v1::StorageClass;
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, ObjectMeta, PostParams},
};

/// Whether a class is there, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StorageClassState {
    There,
    /// It was made, like the default class.
    Made,
    Missing,
}

const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";

/// Looks for a class; one that is missing is made if it may be.
pub(super) async fn provide(client: Client, name: &str, may_make: bool) -> kube::Result<StorageClassState> {
    let api: Api<StorageClass> = Api::all(client);
    let classes = api.list(&ListParams::default()).await?;
    if classes.iter().any(|class| class.name_any() == name) {
        return Ok(StorageClassState::There);
    }
    let default = classes.into_iter().find(|class| class.annotations().contains_key(DEFAULT_CLASS));
    let Some(default) = default.filter(|_| may_make) else { return Ok(StorageClassState::Missing) };
    let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
    api.create(&PostParams::default(), &StorageClass { metadata, ..default }).await?;
    Ok(StorageClassState::Made)
}
