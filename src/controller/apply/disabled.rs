//! Deletion of a child that the resource turns off.

use std::{fmt::Debug, sync::Arc};

use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, Preconditions},
};
use serde::de::DeserializeOwned;

use super::{ApplyError, NETWORK_POLICY};
use crate::controller::ownership::Owner;

/// Deletes the policy that was made for this resource. One of others has the name at most, and stays.
pub(super) async fn delete<K>(api: &Api<K>, owner: &Owner<'_>, live: Option<&Arc<K>>) -> Result<(), ApplyError>
where
    K: Resource + DeserializeOwned + Clone + Debug,
{
    let is_ours = |live: &&Arc<K>| live.owner_references().iter().any(|reference| reference.uid == owner.uid);
    let Some(live) = live.filter(is_ours).filter(|live| live.meta().deletion_timestamp.is_none()) else {
        return Ok(());
    };
    let name = live.name_any();
    tracing::info!(kind = NETWORK_POLICY, name, "deleting: the resource turns it off");
    let precondition = Preconditions { uid: live.uid(), resource_version: None };
    match api.delete(&name, &DeleteParams::background().preconditions(precondition)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(cause) => Err(ApplyError::Rejected { kind: NETWORK_POLICY, name, cause }),
    }
}
