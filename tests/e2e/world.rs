//! Test environment: a control plane with CRD and RBAC of the manager, and access to the NATS resource.

use std::{ops::Deref, time::Duration};

use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        admissionregistration::v1::{
            MutatingWebhookConfiguration, ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
            ValidatingWebhookConfiguration,
        },
        apps::v1::{Deployment, StatefulSet},
        core::v1::{ConfigMap, Event, PersistentVolumeClaim, Pod, Secret, Service},
        networking::v1::NetworkPolicy,
        policy::v1::PodDisruptionBudget,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use nats_manager_api::{Nats, NatsSpec, NatsStatus, policy};
use nats_manager_harness::{
    Installation, Lease, LocalCluster, ManagerProcess, NatsOptions, NatsServer, Seen, eventually,
};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::manager::ManagerOptions;

pub use nats_manager_harness::installation::{NAME, NAMESPACE};
pub const SERVICE_ACCOUNT: &str = "system:serviceaccount:kyma-system:nats-manager";

/// Limit of waits; generous, since the machine may be busy.
pub const TIMEOUT: Duration = Duration::from_mins(1);

/// Clean control plane with CRD and RBAC installed, without a manager.
pub struct World {
    pub cluster: Lease<LocalCluster>,
    installation: Installation,
}

impl Deref for World {
    type Target = Installation;

    fn deref(&self) -> &Installation {
        &self.installation
    }
}

impl World {
    /// Leases a control plane, installs the manager without its Deployment, and removes the objects of earlier tests.
    pub async fn new() -> Self {
        let cluster = LocalCluster::lease().await.unwrap();
        let installation = Installation::new(&cluster, "e2e", TIMEOUT).await.unwrap();
        let world = Self { cluster, installation };
        world.clean().await;
        world
    }

    /// Removes the objects of earlier tests.
    pub async fn clean(&self) {
        self.orphan_pods().await;
        // Webhook configurations of an earlier manager would reject the following requests.
        let gone = DeleteParams::default();
        let _ = Api::<MutatingWebhookConfiguration>::all(self.client.clone()).delete("nats-manager", &gone).await;
        let _ = Api::<ValidatingWebhookConfiguration>::all(self.client.clone()).delete("nats-manager", &gone).await;
        let _ = self.api::<Secret>().delete("nats-manager-webhook-ca", &gone).await;
        self.remove_policy().await;
        let all: Api<Nats> = Api::all(self.client.clone());
        // A new CRD is served with a delay.
        let resources = eventually("NATS resources are served", TIMEOUT, || async {
            all.list(&ListParams::default()).await.map(|list| Seen::Done(list.items))
        })
        .await;
        for nats in resources {
            let api: Api<Nats> = Api::namespaced(self.client.clone(), &nats.namespace().unwrap());
            let patch = Patch::Merge(json!({"metadata": {"finalizers": null}}));
            let _ = api.patch(&nats.name_any(), &PatchParams::default(), &patch).await;
            let _ = api.delete(&nats.name_any(), &DeleteParams::default()).await;
        }
        let crds: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        let _ = crds.delete("destinationrules.networking.istio.io", &DeleteParams::default()).await;
        let system: Api<ConfigMap> = Api::namespaced(self.client.clone(), "kube-system");
        let _ = system.delete("shoot-info", &DeleteParams::default()).await;
        self.delete_all::<Deployment>().await;
        self.delete_all::<StatefulSet>().await;
        self.delete_all::<Service>().await;
        self.delete_all::<PodDisruptionBudget>().await;
        self.delete_all::<NetworkPolicy>().await;
        self.delete_all::<Pod>().await;
        self.delete_all::<PersistentVolumeClaim>().await;
        self.clear_lease().await;
        self.delete_all::<Event>().await;
        for name in ["eventing-nats-secret"] {
            let _ = self.api::<Secret>().delete(name, &DeleteParams::default()).await;
        }
        let _ = self.api::<ConfigMap>().delete("eventing-nats-config", &DeleteParams::default()).await;
        eventually("everything is deleted", TIMEOUT, || async {
            let pods = self.api::<Pod>().list(&ListParams::default()).await?.items.len();
            let pvcs = self.api::<PersistentVolumeClaim>().list(&ListParams::default()).await?.items.len();
            let resources = all.list(&ListParams::default()).await?.items.len();
            Ok::<_, kube::Error>(if pods + pvcs + resources == 0 {
                Seen::Done(())
            } else {
                Seen::NotYet(format!("{pods} Pods, {pvcs} PVCs, {resources} NATS resources"))
            })
        })
        .await;
    }

    /// Removes the ValidatingAdmissionPolicy of an earlier test, and waits until the apiserver no longer evaluates it.
    async fn remove_policy(&self) {
        let policies = Api::<ValidatingAdmissionPolicy>::all(self.client.clone());
        if policies.delete(policy::NAME, &DeleteParams::default()).await.is_err() {
            return;
        }
        let bindings = Api::<ValidatingAdmissionPolicyBinding>::all(self.client.clone());
        let _ = bindings.delete(policy::NAME, &DeleteParams::default()).await;
        let labels = [("nats_cluster".to_owned(), "mine".to_owned())].into();
        let reserved = Nats::new("probe", NatsSpec { labels, ..NatsSpec::default() });
        eventually("no policy is evaluated", TIMEOUT, || async {
            let dry_run = PostParams { dry_run: true, ..PostParams::default() };
            self.api::<Nats>().create(&dry_run, &reserved).await.map(|_| true)
        })
        .await;
    }

    /// Deletes all objects of a kind without grace period.
    async fn delete_all<K>(&self)
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + std::fmt::Debug,
    {
        let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::background() };
        let _ = self.api::<K>().delete_collection(&now, &ListParams::default()).await;
    }

    /// Starts a manager with default options and waits until it is ready.
    pub async fn manager(&self) -> ManagerProcess {
        self.manager_with(&ManagerOptions::default()).await
    }

    /// Starts a manager and waits until it is ready.
    pub async fn manager_with(&self, options: &ManagerOptions) -> ManagerProcess {
        self.spawn(options).ready().await
    }

    /// Starts a manager without waiting for readiness.
    pub fn spawn(&self, options: &ManagerOptions) -> ManagerProcess {
        options.spawn(&self.kubeconfig, self.cluster.folder())
    }

    /// Runs kubectl as administrator. Returns its output, or its error output if it fails.
    pub async fn kubectl(&self, args: &[&str]) -> Result<String, String> {
        self.cluster.run_kubectl(args, "").await.unwrap().into_result()
    }

    /// Starts a NATS server, and returns it with the options of a manager that uses it.
    pub async fn nats_server(&self) -> (NatsServer, ManagerOptions) {
        let server = NatsServer::start(NatsOptions::default()).await.unwrap();
        let options = ManagerOptions { nats_url: server.url(), ..ManagerOptions::default() };
        (server, options)
    }

    /// Returns type, reason and message of the events about the NATS resource, oldest first.
    pub async fn events(&self) -> Vec<(String, String, String)> {
        let mut events = self.api::<Event>().list(&ListParams::default()).await.unwrap().items;
        events.retain(|event| event.involved_object.kind.as_deref() == Some("NATS"));
        events.sort_by_key(|event| event.event_time.as_ref().map(|time| time.0));
        let text = |text: Option<String>| text.unwrap_or_default();
        events.into_iter().map(|event| (text(event.type_), text(event.reason), text(event.message))).collect()
    }
}

/// Returns status, reason and message of a condition.
pub fn condition(status: &NatsStatus, kind: &str) -> Option<(String, String, String)> {
    let condition = status.conditions.iter().find(|condition| condition.type_ == kind)?;
    Some((condition.status.clone(), condition.reason.clone(), condition.message.clone()))
}
