//! The floor: a client that sends the same writes in one row, and a rollout of the same StatefulSet without a manager.

use std::time::Instant;

use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::StatefulSet,
        core::v1::{ConfigMap, Secret, Service},
        networking::v1::NetworkPolicy,
        policy::v1::PodDisruptionBudget,
    },
};
use kube::{
    Api, Client, Resource,
    api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams},
};
use nats_manager_api::{NamespacedName, Nats, NatsSpec, naming};
use serde_json::{Value, json};

use super::{
    super::{
        BenchError,
        requests::wait_until_reviewed,
        wait::{POLL, until},
    },
    managed::{ANNOTATION, wait_until_no_pods},
    rounds::Round,
};
use crate::local::{Local, NAME, NAMESPACE};

/// Field manager of the floor.
const FLOOR: &str = "floor";

/// Objects that the manager has created, as it sent them, in its order. The last one is the StatefulSet.
pub(super) struct Sent {
    objects: Vec<(ApiResource, Value)>,
    status: Value,
}

/// Measures a round of a client that sends the same writes. No manager runs.
pub(super) async fn floor(local: &Local, sent: &Sent) -> Result<Round, BenchError> {
    let client = local.client();
    let api: Api<Nats> = Api::namespaced(client.clone(), NAMESPACE);
    let sets: Api<StatefulSet> = Api::namespaced(client.clone(), NAMESPACE);
    let (merge, apply) = (PatchParams::default(), PatchParams::apply(FLOOR).force());
    let nats = Nats::new(NAME, NatsSpec::default());
    // The apiserver reads the deletion of the webhooks with a delay.
    wait_until_reviewed(&api, &nats).await?;
    let started = Instant::now();
    api.create(&PostParams::default(), &nats).await?;
    let finalizer = json!({"metadata": {"finalizers": [naming::FINALIZER]}});
    api.patch(NAME, &merge, &Patch::Merge(finalizer)).await?;
    for (resource, object) in &sent.objects {
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), NAMESPACE, resource);
        api.patch(object["metadata"]["name"].as_str().unwrap_or_default(), &apply, &Patch::Apply(object)).await?;
    }
    let processing = json!({"status": merged(&sent.status, &json!({"state": "Processing"}))});
    api.patch_status(NAME, &merge, &Patch::Merge(processing)).await?;
    wait_until_rolled_out(&sets).await?;
    api.patch_status(NAME, &merge, &Patch::Merge(json!({"status": sent.status}))).await?;
    let create = started.elapsed();
    let started = Instant::now();
    let template = json!({"spec": {
        "template": {"metadata": {"annotations": {ANNOTATION: "changed"}}},
        "updateStrategy": {"rollingUpdate": {"partition": 0}},
    }});
    sets.patch(NAME, &merge, &Patch::Merge(template)).await?;
    wait_until_rolled_out(&sets).await?;
    let rollout = started.elapsed();
    api.patch(NAME, &merge, &Patch::Merge(json!({"metadata": {"finalizers": null}}))).await?;
    api.delete(NAME, &DeleteParams::default()).await?;
    for (resource, object) in &sent.objects {
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), NAMESPACE, resource);
        api.delete(object["metadata"]["name"].as_str().unwrap_or_default(), &DeleteParams::background()).await?;
    }
    wait_until_no_pods(client).await?;
    // Beside the objects: the finalizer, and the status twice. The user creates the resource.
    Ok(Round { create, rollout, writes_of_create: 3 + sent.objects.len(), writes_of_rollout: 1 })
}

/// Waits until all Pods of the StatefulSet are ready with its newest template.
async fn wait_until_rolled_out(api: &Api<StatefulSet>) -> Result<(), BenchError> {
    until("the StatefulSet is rolled out", POLL, async || {
        let set = api.get(NAME).await?;
        let Some(status) = set.status else { return Ok(false) };
        let replicas = set.spec.and_then(|spec| spec.replicas);
        let is_observed = status.observed_generation == set.metadata.generation;
        Ok(is_observed && status.ready_replicas == replicas && status.updated_replicas == replicas)
    })
    .await
}

/// Returns what the manager has created, without what the apiserver adds and without owners.
pub(super) async fn sent(client: Client) -> Result<Sent, BenchError> {
    let nats = Api::<Nats>::namespaced(client.clone(), NAMESPACE).get(NAME).await?;
    let id = NamespacedName::new(NAMESPACE, NAME);
    let objects = vec![
        as_sent::<Secret>(&client, &id.secret()).await?,
        as_sent::<ConfigMap>(&client, &id.config_map()).await?,
        as_sent::<Service>(&client, NAME).await?,
        as_sent::<NetworkPolicy>(&client, &id.network_policy()).await?,
        as_sent::<PodDisruptionBudget>(&client, NAME).await?,
        as_sent::<StatefulSet>(&client, NAME).await?,
    ];
    Ok(Sent { objects, status: serde_json::to_value(nats.status).unwrap_or_default() })
}

async fn as_sent<K>(client: &Client, name: &str) -> Result<(ApiResource, Value), BenchError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    let resource = ApiResource::erase::<K>(&());
    let object = Api::<DynamicObject>::namespaced_with(client.clone(), NAMESPACE, &resource).get(name).await?;
    let mut sent = object.data;
    sent["apiVersion"] = json!(resource.api_version);
    sent["kind"] = json!(resource.kind);
    sent["metadata"] =
        json!({"name": name, "labels": object.metadata.labels, "annotations": object.metadata.annotations});
    if let Some(fields) = sent.as_object_mut() {
        fields.remove("status");
    }
    Ok((resource, sent))
}

/// Returns an object with some fields replaced.
fn merged(object: &Value, fields: &Value) -> Value {
    let mut merged = object.clone();
    if let (Some(merged), Some(fields)) = (merged.as_object_mut(), fields.as_object()) {
        merged.extend(fields.clone());
    }
    merged
}
