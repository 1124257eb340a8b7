//! The end of a resource whose data may go: deletes what belongs to it.

use std::{fmt::Debug, time::Duration};

use k8s_openapi::{NamespaceResourceScope, api::apps::v1::StatefulSet, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, DynamicObject, Preconditions},
    runtime::wait::{await_condition, conditions},
};
use nats_manager_api::{NamespacedName, Nats};
use serde::de::DeserializeOwned;

use super::{build::destination_rule_resource, claims, observe::Live, words::plainly};

/// A deletion could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum DeleteError {
    /// The apiserver refused, or did not answer.
    #[error("cannot delete the {what}: {}", plainly(cause))]
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

/// Deletes the StatefulSet, then the claims. In the other order the StatefulSet would make new
/// ones. Volumes of pods that still run, or hang on a dead node, go when the pods do.
/// Servers that somebody else controls stay, and their volumes with them.
pub async fn delete_data(client: &Client, id: &NamespacedName, owner: &str) -> Result<(), DeleteError> {
    if delete_stateful_set(client, id, owner).await? == Servers::Foreign {
        return Ok(());
    }
    let refused = |cause| DeleteError::Refused { what: "volumes", cause };
    for claim in claims::list(client, id).await.map_err(refused)? {
        tracing::info!(claim = claim.name_any(), "deleting the claim");
        claims::delete(client, id, &claim).await.map_err(refused)?;
    }
    Ok(())
}

/// Deletes the other children of this resource. The garbage collector would do it, but not when the definition of
/// the resource goes right after the resource, as it does when the module is removed: of a kind that is
/// gone it cannot tell whether the owner is.
pub async fn delete_children(
    client: &Client,
    id: &NamespacedName,
    owner: &str,
    live: &Live,
) -> Result<(), DeleteError> {
    let Live { secret, config_map, service, stateful_set: _, pod_disruption_budget, destination_rule } = live;
    delete_child(client, id, owner, "Secret", secret.as_deref()).await?;
    delete_child(client, id, owner, "ConfigMap", config_map.as_deref()).await?;
    delete_child(client, id, owner, "Service", service.as_deref()).await?;
    delete_child(client, id, owner, "PodDisruptionBudget", pod_disruption_budget.as_deref()).await?;
    if let Some(Some(rule)) = destination_rule {
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &id.namespace, &destination_rule_resource());
        delete_owned(api, owner, "DestinationRule", &rule.metadata).await?;
    }
    Ok(())
}

async fn delete_child<K>(
    client: &Client,
    id: &NamespacedName,
    owner: &str,
    what: &'static str,
    child: Option<&K>,
) -> Result<(), DeleteError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
{
    let Some(child) = child else { return Ok(()) };
    let api: Api<K> = Api::namespaced(client.clone(), &id.namespace);
    delete_owned(api, owner, what, child.meta()).await
}

/// One that somebody else controls stays.
async fn delete_owned<K>(api: Api<K>, owner: &str, what: &'static str, child: &ObjectMeta) -> Result<(), DeleteError>
where
    K: Clone + DeserializeOwned + Debug,
{
    let is_ours = child.owner_references.iter().flatten().any(|reference| reference.uid == owner);
    let (Some(name), true) = (&child.name, is_ours) else { return Ok(()) };
    let exactly_this = Preconditions { uid: child.uid.clone(), resource_version: None };
    let answer = api.delete(name, &DeleteParams::background().preconditions(exactly_this)).await;
    gone(answer).map_err(|cause| DeleteError::Refused { what, cause })
}

/// What became of the servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Servers {
    /// They are gone.
    Gone,
    /// They are somebody else's.
    Foreign,
}

async fn delete_stateful_set(client: &Client, id: &NamespacedName, owner: &str) -> Result<Servers, DeleteError> {
    let refused = |cause| DeleteError::Refused { what: "StatefulSet", cause };
    let api: Api<StatefulSet> = Api::namespaced(client.clone(), &id.namespace);
    let Some(stateful_set) = api.get_metadata_opt(&id.name).await.map_err(refused)? else {
        return Ok(Servers::Gone);
    };
    if is_foreign(&stateful_set.metadata, id, owner) {
        tracing::warn!("the StatefulSet stays, with its volumes: somebody else controls it");
        return Ok(Servers::Foreign);
    }
    let uid = stateful_set.uid().unwrap_or_default();
    let exactly_this = Preconditions { uid: Some(uid.clone()), resource_version: None };
    tracing::info!("deleting the StatefulSet");
    gone(api.delete(&id.name, &DeleteParams::background().preconditions(exactly_this)).await).map_err(refused)?;
    let deleted = await_condition(api, &id.name, conditions::is_deleted(&uid));
    // A watch that fails says no more than one that takes too long: both are tried again.
    match tokio::time::timeout(GONE_WITHIN, deleted).await {
        Ok(Ok(_)) => Ok(Servers::Gone),
        Ok(Err(_)) | Err(_) => Err(DeleteError::Slow),
    }
}

/// Whether somebody else controls it. One that lost its owner, or had an earlier resource of the name as
/// its owner, is ours.
fn is_foreign(meta: &ObjectMeta, id: &NamespacedName, owner: &str) -> bool {
    let controller = meta.owner_references.iter().flatten().find(|reference| reference.controller == Some(true));
    controller.is_some_and(|other| other.uid != owner && (other.kind != Nats::kind(&()) || other.name != id.name))
}

/// What is gone already is as good as deleted.
fn gone<T>(answer: kube::Result<T>) -> kube::Result<()> {
    match answer {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(cause) => Err(cause),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

    #[test]
    fn servers_that_somebody_else_controls_are_not_ours_to_delete() {
        let id = NamespacedName::new("kyma-system", "eventing-nats");
        let reference = |uid: &str, controller| OwnerReference {
            uid: uid.to_owned(),
            controller: Some(controller),
            ..OwnerReference::default()
        };
        let earlier = OwnerReference { kind: "NATS".to_owned(), name: id.name.clone(), ..reference("earlier", true) };
        for (expected, owners) in [
            (false, vec![]),
            (false, vec![reference("ours", true)]),
            (false, vec![earlier]),
            (false, vec![reference("ours", true), reference("theirs", false)]),
            (true, vec![reference("theirs", true)]),
            (true, vec![reference("ours", false), reference("theirs", true)]),
        ] {
            let meta = ObjectMeta { owner_references: Some(owners.clone()), ..ObjectMeta::default() };
            assert_eq!(is_foreign(&meta, &id, "ours"), expected, "{owners:?}");
        }
    }
}
