//! Replacement of a StatefulSet whose immutable fields differ, without its Pods.

use std::time::Duration;

use k8s_openapi::api::apps::v1::StatefulSet;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, Preconditions, PropagationPolicy},
};

use super::is_deleted_within;
use crate::{field_manager, watch::CachedObject};

/// Deletes exactly this StatefulSet without its Pods, waits until it is gone, and creates the desired one, which adopts
/// the Pods. `version` is its `resourceVersion` when that was decided.
pub(super) async fn recreate(
    api: Api<StatefulSet>,
    uid: &str,
    version: Option<&str>,
    desired: &StatefulSet,
    cache: &CachedObject<StatefulSet>,
) -> kube::Result<RecreateOutcome> {
    let name = desired.name_any();
    let precondition = Preconditions { uid: Some(uid.to_owned()), resource_version: version.map(str::to_owned) };
    let parameters = DeleteParams { propagation_policy: Some(PropagationPolicy::Orphan), ..DeleteParams::default() };
    match api.delete(&name, &parameters.preconditions(precondition)).await {
        // Another client was faster: the next plan starts from what it left.
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => return Ok(RecreateOutcome::Changed),
        answer => drop(answer?),
    }
    if !is_deleted_within(ORPHAN_TIMEOUT, &api, &name, uid).await {
        // The next plan creates it if it is gone later.
        return Ok(RecreateOutcome::Terminating);
    }
    let mut desired = desired.clone();
    desired.metadata.resource_version = None;
    cache.written(api.patch(&name, &field_manager::apply(), &Patch::Apply(&desired)).await?);
    Ok(RecreateOutcome::Recreated)
}

/// Time limit for the deletion of a StatefulSet without its Pods.
const ORPHAN_TIMEOUT: Duration = Duration::from_secs(20);

/// Outcome of the replacement of a StatefulSet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RecreateOutcome {
    Recreated,
    /// The StatefulSet was changed or deleted since that was decided.
    Changed,
    /// The StatefulSet was not gone in time.
    Terminating,
}
