//! Rounds on a local control plane: the manager from creation to Ready and through a rollout, and the floor: a client
//! that sends the same writes in one row, and a rollout of the same StatefulSet without a manager.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration},
        apps::v1::StatefulSet,
        core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret, Service},
        networking::v1::NetworkPolicy,
        policy::v1::PodDisruptionBudget,
    },
};
use kube::{
    Api, Client, Resource,
    api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams},
};
use nats_manager_api::{ModuleState, NamespacedName, Nats, NatsSpec, naming};
use nats_manager_harness::{ManagerProcess, ResidentMemory};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{
    super::{
        BenchError,
        admission::Measured,
        idle::START_LIMIT,
        requests::{self, wait_until_reviewed},
        wait::{POLL, until},
    },
    memory::{self, MemoryCourse},
    reviews::ReviewGenerator,
};
use crate::local::{Local, LocalError, NAME, NAMESPACE};

/// Name of both webhook configurations.
pub(super) const WEBHOOKS: &str = "nats-manager";
const FLOOR: &str = "floor";
/// Time between the phases whose memory is drawn.
const REST: Duration = Duration::from_secs(2);
/// Time for which reviews are sent: longer than a rollout.
const REVIEWED: Duration = Duration::from_secs(5);
/// Change of the Pod template that restarts every server.
const ANNOTATION: &str = "bench";

/// Times and writes of one round.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Round {
    /// From the request that creates the NATS resource until it is ready.
    pub(super) create: Duration,
    /// From the request that changes the Pod template until all servers run with it.
    pub(super) rollout: Duration,
    /// Writes from creation to Ready.
    pub(super) writes_of_create: usize,
    /// Writes from the change to the end of the rollout.
    pub(super) writes_of_rollout: usize,
}

/// Objects that the manager has created, as it sent them, in its order. The last one is the StatefulSet.
pub(super) struct Sent {
    objects: Vec<(ApiResource, Value)>,
    status: Value,
}

/// Manager with a NATS resource.
struct Managed<'a> {
    local: &'a Local,
    manager: ManagerProcess,
    api: Api<Nats>,
}

impl<'a> Managed<'a> {
    /// Starts a manager, and waits until the apiserver calls its webhook.
    async fn start(local: &'a Local, program: &Path) -> Result<Self, BenchError> {
        let mut manager = local.start_manager(program).await?;
        manager.wait_until_ready(START_LIMIT).await.map_err(LocalError::from)?;
        let api = Api::namespaced(local.client(), NAMESPACE);
        wait_until_reviewed(&api, &Nats::new(NAME, NatsSpec::default())).await?;
        Ok(Self { local, manager, api })
    }

    /// Creates the resource, and returns the time until it is ready.
    async fn create(&self) -> Result<Duration, BenchError> {
        let started = Instant::now();
        self.api.create(&PostParams::default(), &Nats::new(NAME, NatsSpec::default())).await?;
        wait_until_current(&self.api).await?;
        Ok(started.elapsed())
    }

    /// Changes the Pod template, and returns the time until all servers have restarted.
    async fn restart_servers(&self) -> Result<Duration, BenchError> {
        let started = Instant::now();
        let change = json!({"spec": {"annotations": {ANNOTATION: "changed"}}});
        self.api.patch(NAME, &PatchParams::default(), &Patch::Merge(change)).await?;
        wait_until_current(&self.api).await?;
        Ok(started.elapsed())
    }

    /// Deletes the resource, stops the manager and removes its webhooks.
    async fn end(self) -> Result<(), BenchError> {
        let (api, client) = (self.api, self.local.client());
        api.delete(NAME, &DeleteParams::default()).await?;
        until("the NATS resource is gone", POLL, async || Ok(api.get_opt(NAME).await?.is_none())).await?;
        self.manager.terminate().await?;
        let gone = DeleteParams::default();
        Api::<MutatingWebhookConfiguration>::all(client.clone()).delete(WEBHOOKS, &gone).await?;
        Api::<ValidatingWebhookConfiguration>::all(client.clone()).delete(WEBHOOKS, &gone).await?;
        wait_until_no_pods(client).await
    }
}

/// Measures a round of the manager.
pub(super) async fn ours(local: &Local, program: &Path) -> Result<(Round, Sent), BenchError> {
    let audit = local.cluster().audit().map_err(LocalError::from)?;
    let managed = Managed::start(local, program).await?;
    let begin = audit.mark().await.map_err(LocalError::from)?;
    let create = managed.create().await?;
    let created = audit.since(begin).await.map_err(LocalError::from)?;
    let sent = sent(local.client()).await?;
    let begin = audit.mark().await.map_err(LocalError::from)?;
    let rollout = managed.restart_servers().await?;
    let rolled = audit.since(begin).await.map_err(LocalError::from)?;
    managed.end().await?;
    let (writes_of_create, writes_of_rollout) = (requests::writes(&created), requests::writes(&rolled));
    Ok((Round { create, rollout, writes_of_create, writes_of_rollout }, sent))
}

/// Rollout during which the webhook answered reviews.
pub(super) struct Reviewed {
    pub(super) rollout: Duration,
    pub(super) reviews: Measured,
    /// Memory of the manager at the end.
    pub(super) memory: ResidentMemory,
    /// Memory from readiness on.
    pub(super) course: MemoryCourse,
}

/// Measures a rollout during which the webhook answers 1,000 reviews per second. They begin before it.
pub(super) async fn under_reviews(
    local: &Local,
    program: &Path,
    generator: &ReviewGenerator,
) -> Result<Reviewed, BenchError> {
    let managed = Managed::start(local, program).await?;
    let mut phases = Vec::new();
    let work = async {
        let mut begins = |phase| phases.push((phase, managed.manager.started().elapsed()));
        sleep(REST).await;
        begins("creation");
        managed.create().await?;
        begins("Ready");
        sleep(REST).await;
        begins("reviews");
        let reviews = generator.send(&local.client(), &managed.manager, REVIEWED).await?;
        begins("rollout");
        let rollout = managed.restart_servers().await?;
        begins("Ready");
        let reviews = reviews.end().await?;
        begins("end of reviews");
        sleep(REST).await;
        Ok::<_, BenchError>((rollout, reviews))
    };
    let (measured, samples) = memory::during(&managed.manager, work).await;
    let (rollout, reviews) = measured?;
    let memory = managed.manager.memory().ok_or(BenchError::NoMemory)?;
    managed.end().await?;
    Ok(Reviewed { rollout, reviews, memory, course: MemoryCourse { samples, phases } })
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

/// Waits until the resource is ready for its newest spec.
async fn wait_until_current(api: &Api<Nats>) -> Result<(), BenchError> {
    until("the NATS resource is ready", POLL, async || {
        let nats = api.get(NAME).await?;
        let status = nats.status.unwrap_or_default();
        let is_ready = status.state == ModuleState::Ready.to_string();
        Ok(is_ready && status.observed_generation == nats.metadata.generation && status.operation.is_none())
    })
    .await
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
async fn sent(client: Client) -> Result<Sent, BenchError> {
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

/// Waits until no Pods and PVCs are left of the last round. PVCs are deleted.
async fn wait_until_no_pods(client: Client) -> Result<(), BenchError> {
    let (pods, pvcs): (Api<Pod>, Api<PersistentVolumeClaim>) =
        (Api::namespaced(client.clone(), NAMESPACE), Api::namespaced(client, NAMESPACE));
    until("all Pods and PVCs are gone", POLL, async || {
        if !pods.list(&ListParams::default()).await?.items.is_empty() {
            return Ok(false);
        }
        pvcs.delete_collection(&DeleteParams::default(), &ListParams::default()).await?;
        Ok(pvcs.list(&ListParams::default()).await?.items.is_empty())
    })
    .await
}

/// Returns an object with some fields replaced.
fn merged(object: &Value, fields: &Value) -> Value {
    let mut merged = object.clone();
    if let (Some(merged), Some(fields)) = (merged.as_object_mut(), fields.as_object()) {
        merged.extend(fields.clone());
    }
    merged
}
