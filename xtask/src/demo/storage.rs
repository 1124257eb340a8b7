//! StorageClasses that samples request. A local cluster has only its default one.

use k8s_openapi::api::storage::v1::StorageClass;
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, ObjectMeta, PostParams},
};

/// Presence of a StorageClass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StorageClassState {
    Exists,
    /// Created with the parameters of the default class.
    Created,
    Missing,
}

const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";

/// Checks whether a StorageClass exists, and creates a missing one if `may_create` is set.
pub(super) async fn provide(client: Client, name: &str, may_create: bool) -> kube::Result<StorageClassState> {
    let api: Api<StorageClass> = Api::all(client);
    let classes = api.list(&ListParams::default()).await?;
    if classes.iter().any(|class| class.name_any() == name) {
        return Ok(StorageClassState::Exists);
    }
    let default = classes.into_iter().find(|class| class.annotations().contains_key(DEFAULT_CLASS));
    let Some(default) = default.filter(|_| may_create) else { return Ok(StorageClassState::Missing) };
    let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
    api.create(&PostParams::default(), &StorageClass { metadata, ..default }).await?;
    Ok(StorageClassState::Created)
}
