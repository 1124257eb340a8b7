//! The end of a resource: asks whether there is data to lose, and deletes only then.

use std::{fmt::Debug, time::Duration};

use async_nats::ServerAddr;
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::StatefulSet,
        core::v1::{PersistentVolumeClaim, Pod},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, DynamicObject, ListParams, Preconditions},
    runtime::wait::{await_condition, conditions},
};
use nats_manager_api::{ConditionType, FileStore, NamespacedName, Nats, naming};
use serde::de::DeserializeOwned;

use super::{
    build::destination_rule_resource,
    observe::{Live, Observed, list_claims, server_pod},
    words::plainly,
};
use crate::jetstream::{self, Contents, Look};

/// What is to happen with the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Delete it.
    Delete,
    /// Keep it; the deletion waits.
    Blocked(String),
}

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

/// The contract's words.
const CUSTOMER_STREAM: &str = "Cannot delete NATS cluster as customer stream exists";
const CONSUMER: &str = "Cannot delete NATS cluster as stream consumer exists";

/// How long a StatefulSet may take to go; its pods need not be gone by then.
const GONE_WITHIN: Duration = Duration::from_secs(20);

/// Decides whether the data may go. JetStream at `address` is asked unless there is nothing to lose
/// or the user forces it; a look at the servers tells of accounts other than the default one.
pub async fn decide(
    client: &Client,
    nats: &Nats,
    id: &NamespacedName,
    observed: &Observed,
    (address, look): (&ServerAddr, Option<&Look>),
) -> kube::Result<Verdict> {
    if is_forced(nats) || was_decided(nats) || nothing_to_lose(client, nats, id, observed).await? {
        return Ok(Verdict::Delete);
    }
    Ok(match jetstream::ask(address).await {
        // The default account is asked through the meta leader, who knows of streams on servers that
        // are away too; a look shows all other accounts.
        Ok(contents) => verdict_on(&contents, look.map(jetstream::shown).unwrap_or_default().customer_stream),
        Err(cause) => Verdict::Blocked(format!(
            "Cannot delete NATS cluster as JetStream cannot be asked for streams: {cause}. Trying again. To delete it with all its data: kubectl annotate nats {} -n {} {}=true",
            nats.name_any(),
            nats.namespace().unwrap_or_default(),
            naming::FORCE_DELETION,
        )),
    })
}

/// Whether no NATS container of the resource ever started. Recorded from the first sight on; a
/// record that is missing counts as a start. Record and cache may be out of date when nobody
/// watched for a while, so every pod must be there to confirm it, as the apiserver has it now.
pub async fn never_started(
    client: &Client,
    nats: &Nats,
    id: &NamespacedName,
    observed: &Observed,
) -> kube::Result<bool> {
    let recorded = nats.status.as_ref().and_then(|status| status.servers_started);
    if observed.servers_started(recorded) != Some(false) {
        return Ok(false);
    }
    let servers = observed.surroundings.deployed.as_ref().map_or(0, |deployed| deployed.size as usize);
    let api: Api<Pod> = Api::namespaced(client.clone(), &id.namespace);
    let pods = api.list(&ListParams::default().labels(&id.label_query())).await?.items;
    Ok(pods.len() >= servers && !pods.iter().any(|pod| server_pod(pod).started))
}

/// Deletes the StatefulSet, then the claims. In the other order the StatefulSet would make new
/// ones. Volumes of pods that still run, or hang on a dead node, go when the pods do.
pub async fn delete_data(client: &Client, id: &NamespacedName) -> Result<(), DeleteError> {
    delete_stateful_set(client, id).await?;
    let refused = |cause| DeleteError::Refused { what: "volumes", cause };
    let api: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &id.namespace);
    for claim in list_claims(client, id).await.map_err(refused)? {
        tracing::info!(claim = claim.name_any(), "deleting the claim");
        gone(api.delete(&claim.name_any(), &DeleteParams::background()).await).map_err(refused)?;
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

async fn delete_stateful_set(client: &Client, id: &NamespacedName) -> Result<(), DeleteError> {
    let refused = |cause| DeleteError::Refused { what: "StatefulSet", cause };
    let api: Api<StatefulSet> = Api::namespaced(client.clone(), &id.namespace);
    let Some(stateful_set) = api.get_metadata_opt(&id.name).await.map_err(refused)? else { return Ok(()) };
    let uid = stateful_set.uid().unwrap_or_default();
    let exactly_this = Preconditions { uid: Some(uid.clone()), resource_version: None };
    tracing::info!("deleting the StatefulSet");
    gone(api.delete(&id.name, &DeleteParams::background().preconditions(exactly_this)).await).map_err(refused)?;
    let deleted = await_condition(api, &id.name, conditions::is_deleted(&uid));
    // A watch that fails says no more than one that takes too long: both are tried again.
    match tokio::time::timeout(GONE_WITHIN, deleted).await {
        Ok(Ok(_)) => Ok(()),
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

fn verdict_on(contents: &Contents, elsewhere: bool) -> Verdict {
    if contents.customer_stream || elsewhere {
        Verdict::Blocked(CUSTOMER_STREAM.to_owned())
    } else if contents.consumer {
        Verdict::Blocked(CONSUMER.to_owned())
    } else {
        Verdict::Delete
    }
}

fn is_forced(nats: &Nats) -> bool {
    nats.annotations().get(naming::FORCE_DELETION).is_some_and(|value| value == "true")
}

/// Whether an earlier pass decided, and was cut short: then JetStream may be gone already.
fn was_decided(nats: &Nats) -> bool {
    let deleted = nats.status.as_ref().and_then(|status| status.condition(ConditionType::Deleted));
    deleted.is_some_and(|condition| condition.status == "True")
}

async fn nothing_to_lose(client: &Client, nats: &Nats, id: &NamespacedName, observed: &Observed) -> kube::Result<bool> {
    let memory_only =
        observed.surroundings.deployed.as_ref().is_some_and(|deployed| deployed.file_store == FileStore::MemoryOnly);
    let no_claims = !memory_only && list_claims(client, id).await?.is_empty();
    Ok(no_claims || never_started(client, nats, id, observed).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_unused_eventing_stream_may_go() {
        let contents = |customer_stream, consumer| Contents { customer_stream, consumer, ..Contents::default() };
        let verdict_on = |contents| super::verdict_on(&contents, false);
        assert_eq!(verdict_on(contents(false, false)), Verdict::Delete);
        let elsewhere = super::verdict_on(&contents(false, false), true);
        assert_eq!(elsewhere, Verdict::Blocked(CUSTOMER_STREAM.to_owned()), "in another account");
        assert_eq!(verdict_on(contents(true, false)), Verdict::Blocked(CUSTOMER_STREAM.to_owned()));
        assert_eq!(verdict_on(contents(true, true)), Verdict::Blocked(CUSTOMER_STREAM.to_owned()));
        assert_eq!(verdict_on(contents(false, true)), Verdict::Blocked(CONSUMER.to_owned()));
    }
}
