//! The end of a resource whose data may go: deletes what belongs to it.

use std::{fmt::Debug, time::Duration};

use k8s_openapi::{NamespaceResourceScope, api::apps::v1::StatefulSet, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, DynamicObject, Preconditions},
    runtime::wait::{await_condition, conditions},
};
use serde::de::DeserializeOwned;

use super::pvcs;
use crate::{
    controller::{
        apply::{Control, Owner},
        observe::LiveObjects,
        resources::destination_rule_resource,
    },
    error_message::summary,
};

/// A deletion could not be carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeleteError {
    /// The apiserver refused, or did not answer.
    #[error("cannot delete the {what}: {}", summary(cause))]
    Refused {
        /// What was to be deleted.
        what: &'static str,
        /// What the apiserver said.
        cause: kube::Error,
    },
    /// The StatefulSet does not go.
    #[error("the StatefulSet was not gone after {} s", GONE_WITHIN.as_secs())]
    Slow,
}

/// How long a StatefulSet may take to go; its pods need not be gone by then.
const GONE_WITHIN: Duration = Duration::from_secs(20);

/// Deletes the StatefulSet, then the PVCs. In the other order the StatefulSet would create new ones. Volumes of Pods that
/// still run, or are stuck on a dead node, are deleted with the Pods. Servers with a foreign controller stay, and their
/// PVCs with them.
pub(crate) async fn delete_data(client: &Client, owner: &Owner<'_>) -> Result<(), DeleteError> {
    if delete_stateful_set(client, owner).await? == ServerRemoval::Foreign {
        return Ok(());
    }
    let refused = |cause| DeleteError::Refused { what: "PVCs", cause };
    for pvc in pvcs::list(client, owner.id).await.map_err(refused)? {
        let (Some(ordinal), Some(uid)) = (owner.id.pvc_ordinal(&pvc.name_any()), pvc.uid()) else { continue };
        tracing::info!(pvc = pvc.name_any(), "deleting the PVC");
        pvcs::delete(client, owner.id, ordinal, &uid).await.map_err(refused)?;
    }
    Ok(())
}

/// Deletes the other children of this resource. The garbage collector would do it, but not when the definition of
/// the resource goes right after the resource, as it does when the module is removed: of a kind that is
/// gone it cannot tell whether the owner is.
pub(crate) async fn delete_children(client: &Client, owner: &Owner<'_>, live: &LiveObjects) -> Result<(), DeleteError> {
    let LiveObjects { secret, config_map, service, pod_disruption_budget, destination_rule, .. } = live;
    delete_child(client, owner, "Secret", secret.as_deref()).await?;
    delete_child(client, owner, "ConfigMap", config_map.as_deref()).await?;
    delete_child(client, owner, "Service", service.as_deref()).await?;
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

/// One that somebody else controls stays.
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
    let exactly_this = Preconditions { uid: child.uid.clone(), resource_version: None };
    let answer = api.delete(name, &DeleteParams::background().preconditions(exactly_this)).await;
    gone(answer).map_err(|cause| DeleteError::Refused { what, cause })
}

/// What became of the servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ServerRemoval {
    /// They are gone.
    Gone,
    /// They are somebody else's.
    Foreign,
}

async fn delete_stateful_set(client: &Client, owner: &Owner<'_>) -> Result<ServerRemoval, DeleteError> {
    let id = owner.id;
    let refused = |cause| DeleteError::Refused { what: "StatefulSet", cause };
    let api: Api<StatefulSet> = Api::namespaced(client.clone(), &id.namespace);
    let Some(stateful_set) = api.get_metadata_opt(&id.name).await.map_err(refused)? else {
        return Ok(ServerRemoval::Gone);
    };
    if let Control::Foreign(_) = owner.control(&stateful_set.metadata) {
        tracing::warn!("the StatefulSet stays, with its volumes: somebody else controls it");
        return Ok(ServerRemoval::Foreign);
    }
    let uid = stateful_set.uid().unwrap_or_default();
    let exactly_this = Preconditions { uid: Some(uid.clone()), resource_version: None };
    tracing::info!("deleting the StatefulSet");
    gone(api.delete(&id.name, &DeleteParams::background().preconditions(exactly_this)).await).map_err(refused)?;
    let deleted = await_condition(api, &id.name, conditions::is_deleted(&uid));
    // A watch that fails says no more than one that takes too long: both are tried again.
    match tokio::time::timeout(GONE_WITHIN, deleted).await {
        Ok(Ok(_)) => Ok(ServerRemoval::Gone),
        Ok(Err(_)) | Err(_) => Err(DeleteError::Slow),
    }
}

/// What is gone already is as good as deleted.
fn gone<T>(answer: kube::Result<T>) -> kube::Result<()> {
    match answer {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(cause) => Err(cause),
    }
}
