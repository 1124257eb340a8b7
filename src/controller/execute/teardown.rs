//! Deletion of everything that belongs to a resource, once its data may be deleted.

use std::{fmt::Debug, time::Duration};

use k8s_openapi::{NamespaceResourceScope, api::apps::v1::StatefulSet, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, DynamicObject, Preconditions},
};
use serde::de::DeserializeOwned;

use super::{is_deleted_within, pvcs};
use crate::{
    controller::{
        apply::NETWORK_POLICY,
        foreign_finalizers::{foreign_finalizers, is_of_kubernetes},
        observe::LiveObjects,
        ownership::{Control, Owner},
        resources::destination_rule_resource,
    },
    error_message::summary,
};

#[derive(Debug, thiserror::Error)]
pub(crate) enum DeleteError {
    /// A request that the apiserver rejected or did not answer.
    #[error("cannot delete the {what}: {}", summary(cause))]
    Rejected { what: &'static str, cause: kube::Error },
    /// A StatefulSet that still exists after [`DELETION_TIMEOUT`].
    #[error("the StatefulSet was not gone after {} s", DELETION_TIMEOUT.as_secs())]
    Slow,
    /// A StatefulSet that finalizers of others keep.
    #[error(
        "the StatefulSet {name} is kept by the finalizer {finalizers}: what has set the finalizer has to remove it. \
         To see it: kubectl get statefulset {name} -n {namespace} -o yaml"
    )]
    Kept { namespace: String, name: String, finalizers: String },
}

/// Time limit for the deletion of a StatefulSet. Its Pods may exist longer.
const DELETION_TIMEOUT: Duration = Duration::from_secs(20);

/// Deletes the StatefulSet, then the PVCs: in the other order the StatefulSet would create new ones. Volumes of Pods
/// that still run, or are stuck on a dead node, are deleted with the Pods. A StatefulSet with another controller is
/// kept with its PVCs.
pub(crate) async fn delete_data(client: &Client, owner: &Owner<'_>) -> Result<(), DeleteError> {
    if delete_stateful_set(client, owner).await? == ServerRemoval::Foreign {
        return Ok(());
    }
    let rejected = |cause| DeleteError::Rejected { what: "PVCs", cause };
    for pvc in pvcs::list(client, owner.id).await.map_err(rejected)? {
        let (Some(ordinal), Some(uid)) = (owner.id.pvc_ordinal(&pvc.name_any()), pvc.uid()) else { continue };
        tracing::info!(pvc = pvc.name_any(), "deleting the PVC");
        pvcs::delete(client, owner.id, ordinal, &uid, None).await.map_err(rejected)?;
        // It does not hold up the deletion of the resource. Servers of a new one wait for it.
        if pvc.finalizers().iter().any(|name| !is_of_kubernetes(name)) {
            tracing::warn!(pvc = pvc.name_any(), finalizers = ?pvc.finalizers(), "finalizers of others keep the PVC");
        }
    }
    Ok(())
}

/// Deletes the other children of this resource. The garbage collector deletes them too, but not when the CRD is deleted
/// right after the resource, as the removal of the module does: without the kind it cannot determine that the owner is
/// gone.
pub(crate) async fn delete_children(client: &Client, owner: &Owner<'_>, live: &LiveObjects) -> Result<(), DeleteError> {
    let LiveObjects { secret, config_map, service, network_policy, pod_disruption_budget, destination_rule, .. } = live;
    delete_child(client, owner, "Secret", secret.as_deref()).await?;
    delete_child(client, owner, "ConfigMap", config_map.as_deref()).await?;
    delete_child(client, owner, "Service", service.as_deref()).await?;
    delete_child(client, owner, NETWORK_POLICY, network_policy.as_deref()).await?;
    delete_child(client, owner, "PodDisruptionBudget", pod_disruption_budget.as_deref()).await?;
    if let Some(rule) = destination_rule {
        let api: Api<DynamicObject> =
            Api::namespaced_with(client.clone(), &owner.id.namespace, &destination_rule_resource());
        delete_owned(api, owner, "DestinationRule", &rule.metadata).await?;
    }
    Ok(())
}

async fn delete_child<K>(
    client: &Client,
    owner: &Owner<'_>,
    what: &'static str,
    child: Option<&K>,
) -> Result<(), DeleteError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
{
    let Some(child) = child else { return Ok(()) };
    let api: Api<K> = Api::namespaced(client.clone(), &owner.id.namespace);
    delete_owned(api, owner, what, child.meta()).await
}

/// Deletes an object that has an owner reference to this resource. Any other object stays.
async fn delete_owned<K>(
    api: Api<K>,
    owner: &Owner<'_>,
    what: &'static str,
    child: &ObjectMeta,
) -> Result<(), DeleteError>
where
    K: Clone + DeserializeOwned + Debug,
{
    let is_ours = child.owner_references.iter().flatten().any(|reference| reference.uid == owner.uid);
    let (Some(name), true) = (&child.name, is_ours) else { return Ok(()) };
    let precondition = Preconditions { uid: child.uid.clone(), resource_version: None };
    let answer = api.delete(name, &DeleteParams::background().preconditions(precondition)).await;
    ignore_missing(answer).map_err(|cause| DeleteError::Rejected { what, cause })
}

/// Outcome of the deletion of the StatefulSet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ServerRemoval {
    Deleted,
    /// A StatefulSet with another controller, which is kept.
    Foreign,
}

async fn delete_stateful_set(client: &Client, owner: &Owner<'_>) -> Result<ServerRemoval, DeleteError> {
    let id = owner.id;
    let rejected = |cause| DeleteError::Rejected { what: "StatefulSet", cause };
    let api: Api<StatefulSet> = Api::namespaced(client.clone(), &id.namespace);
    let Some(stateful_set) = api.get_metadata_opt(&id.name).await.map_err(rejected)? else {
        return Ok(ServerRemoval::Deleted);
    };
    if let Control::Foreign(_) = owner.control(&stateful_set.metadata) {
        tracing::warn!("kept the StatefulSet and its volumes: it has another controller");
        return Ok(ServerRemoval::Foreign);
    }
    let uid = stateful_set.uid().unwrap_or_default();
    let precondition = Preconditions { uid: Some(uid.clone()), resource_version: None };
    tracing::info!("deleting the StatefulSet");
    ignore_missing(api.delete(&id.name, &DeleteParams::background().preconditions(precondition)).await)
        .map_err(rejected)?;
    if is_deleted_within(DELETION_TIMEOUT, &api, &id.name, &uid).await {
        return Ok(ServerRemoval::Deleted);
    }
    let kept = api.get_metadata_opt(&id.name).await.map_err(rejected)?;
    Err(match kept.and_then(|kept| foreign_finalizers(&kept.metadata)) {
        None => DeleteError::Slow,
        Some(finalizers) => DeleteError::Kept { namespace: id.namespace.clone(), name: id.name.clone(), finalizers },
    })
}

/// Treats an object that does not exist as deleted.
fn ignore_missing<T>(answer: kube::Result<T>) -> kube::Result<()> {
    match answer {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(cause) => Err(cause),
    }
}
