//! The manager with a NATS resource on a local control plane.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use k8s_openapi::api::{
    admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration},
    core::v1::{PersistentVolumeClaim, Pod},
};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use nats_manager_api::{ModuleState, Nats, NatsSpec};
use nats_manager_harness::ManagerProcess;
use serde_json::json;

use super::super::{
    BenchError,
    idle::START_LIMIT,
    requests::wait_until_reviewed,
    wait::{POLL, until},
};
use crate::local::{Local, LocalError, NAME, NAMESPACE};

/// Name of both webhook configurations.
pub(super) const WEBHOOKS: &str = "nats-manager";
/// Change of the Pod template that restarts every server.
pub(super) const ANNOTATION: &str = "bench";

/// Manager with a NATS resource.
pub(super) struct Managed<'a> {
    local: &'a Local,
    pub(super) manager: ManagerProcess,
    api: Api<Nats>,
}

impl<'a> Managed<'a> {
    /// Starts a manager, and waits until the apiserver calls its webhook.
    pub(super) async fn start(local: &'a Local, program: &Path) -> Result<Self, BenchError> {
        let mut manager = local.start_manager(program).await?;
        manager.wait_until_ready(START_LIMIT).await.map_err(LocalError::from)?;
        let api = Api::namespaced(local.client(), NAMESPACE);
        wait_until_reviewed(&api, &Nats::new(NAME, NatsSpec::default())).await?;
        Ok(Self { local, manager, api })
    }

    /// Creates the resource, and returns the time until it is ready.
    pub(super) async fn create(&self) -> Result<Duration, BenchError> {
        let started = Instant::now();
        self.api.create(&PostParams::default(), &Nats::new(NAME, NatsSpec::default())).await?;
        wait_until_current(&self.api).await?;
        Ok(started.elapsed())
    }

    /// Changes the Pod template, and returns the time until all servers have restarted.
    pub(super) async fn restart_servers(&self) -> Result<Duration, BenchError> {
        let started = Instant::now();
        let change = json!({"spec": {"annotations": {ANNOTATION: "changed"}}});
        self.api.patch(NAME, &PatchParams::default(), &Patch::Merge(change)).await?;
        wait_until_current(&self.api).await?;
        Ok(started.elapsed())
    }

    /// Deletes the resource, stops the manager and removes its webhooks.
    pub(super) async fn end(self) -> Result<(), BenchError> {
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

/// Waits until no Pods and PVCs are left of the last round. PVCs are deleted.
pub(super) async fn wait_until_no_pods(client: Client) -> Result<(), BenchError> {
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
