//! A control plane with the manager's installation, and what tests do with it.

use std::{path::PathBuf, time::Duration};

use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration},
        apps::v1::StatefulSet,
        coordination::v1::Lease as LeaderLease,
        core::v1::{ConfigMap, Namespace, PersistentVolumeClaim, Secret, Service},
        events::v1::Event,
        policy::v1::PodDisruptionBudget,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use nats_manager_api::{Nats, NatsStatus};
use nats_manager_harness::{Lease, LocalCluster, NatsOptions, NatsServer, Seen, eventually};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::manager::{Manager, Options};

pub const NAMESPACE: &str = "kyma-system";
pub const NAME: &str = "eventing-nats";
pub const SERVICE_ACCOUNT: &str = "system:serviceaccount:kyma-system:nats-manager";

/// How long something that should happen may take on a busy machine.
pub const SOON: Duration = Duration::from_mins(1);

/// A clean control plane with CRD and RBAC installed, and no manager.
pub struct World {
    pub cluster: Lease,
    pub client: Client,
    pub kubeconfig: PathBuf,
}

impl World {
    /// Leases a control plane, installs what `config/` ships, and removes what an earlier test left.
    pub async fn new() -> Self {
        let cluster = LocalCluster::lease().await.unwrap();
        let client = cluster.client("e2e").await.unwrap();
        let namespace = json!({"metadata": {"name": NAMESPACE}});
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let _ = namespaces.create(&PostParams::default(), &serde_json::from_value(namespace).unwrap()).await;
        for folder in ["config/crd", "config/rbac", "config/manager/priority_class.yaml"] {
            let path = format!("{}/{folder}", env!("CARGO_MANIFEST_DIR"));
            let flag = if std::path::Path::new(&path).is_dir() { "-k" } else { "-f" };
            kubectl(&cluster, &["apply", "--server-side", "--force-conflicts", flag, &path]).await.unwrap();
        }
        let kubeconfig = cluster.kubeconfig_for(NAMESPACE, "nats-manager").await.unwrap();
        let world = Self { cluster, client, kubeconfig };
        world.clean().await;
        world
    }

    async fn clean(&self) {
        // Of a manager that is gone, they would refuse what follows.
        let gone = DeleteParams::default();
        let _ = Api::<MutatingWebhookConfiguration>::all(self.client.clone()).delete("nats-manager", &gone).await;
        let _ = Api::<ValidatingWebhookConfiguration>::all(self.client.clone()).delete("nats-manager", &gone).await;
        let _ = self.api::<Secret>().delete("nats-manager-webhook-ca", &gone).await;
        let all: Api<Nats> = Api::all(self.client.clone());
        // A resource just installed is served a moment later.
        let resources = eventually("NATS resources are served", SOON, || async {
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
        self.delete_all::<StatefulSet>().await;
        self.delete_all::<Service>().await;
        self.delete_all::<PodDisruptionBudget>().await;
        self.delete_all::<k8s_openapi::api::core::v1::Pod>().await;
        self.delete_all::<PersistentVolumeClaim>().await;
        self.delete_all::<LeaderLease>().await;
        self.delete_all::<Event>().await;
        for name in ["eventing-nats-secret"] {
            let _ = self.api::<Secret>().delete(name, &DeleteParams::default()).await;
        }
        let _ = self.api::<ConfigMap>().delete("eventing-nats-config", &DeleteParams::default()).await;
        eventually("everything is gone", SOON, || async {
            let pods = self.api::<k8s_openapi::api::core::v1::Pod>().list(&ListParams::default()).await?.items.len();
            let claims = self.api::<PersistentVolumeClaim>().list(&ListParams::default()).await?.items.len();
            let resources = all.list(&ListParams::default()).await?.items.len();
            Ok::<_, kube::Error>(if pods + claims + resources == 0 {
                Seen::Done(())
            } else {
                Seen::NotYet(format!("{pods} pods, {claims} claims, {resources} NATS resources"))
            })
        })
        .await;
    }

    async fn delete_all<K>(&self)
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + std::fmt::Debug,
    {
        let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::background() };
        let _ = self.api::<K>().delete_collection(&now, &ListParams::default()).await;
    }

    /// The manager with default options, ready.
    pub async fn manager(&self) -> Manager {
        self.manager_with(&Options::default()).await
    }

    /// The manager, ready.
    pub async fn manager_with(&self, options: &Options) -> Manager {
        self.spawn(options).ready().await
    }

    /// The manager, just started.
    pub fn spawn(&self, options: &Options) -> Manager {
        Manager::spawn(&self.kubeconfig, self.cluster.folder(), options)
    }

    /// A NATS server for the manager to ask, and the options that make it ask there.
    pub async fn nats_server(&self) -> (NatsServer, Options) {
        let server = NatsServer::start(NatsOptions::default()).await.unwrap();
        let options = Options { nats_url: server.url(), ..Options::default() };
        (server, options)
    }

    /// Objects of the installation's namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    /// Creates the one NATS resource.
    pub async fn create(&self, spec: Value) -> Nats {
        self.create_as(NAMESPACE, NAME, spec).await.unwrap()
    }

    /// Creates a NATS resource of any name.
    pub async fn create_as(&self, namespace: &str, name: &str, spec: Value) -> kube::Result<Nats> {
        let api: Api<Nats> = Api::namespaced(self.client.clone(), namespace);
        let nats = json!({
            "apiVersion": "operator.kyma-project.io/v1alpha1",
            "kind": "NATS",
            "metadata": {"name": name},
            "spec": spec,
        });
        api.patch(name, &PatchParams::apply("user").force(), &Patch::Apply(&nats)).await
    }

    /// Merges into the one NATS resource.
    pub async fn patch(&self, patch: Value) -> kube::Result<Nats> {
        self.api::<Nats>().patch(NAME, &PatchParams::default(), &Patch::Merge(patch)).await
    }

    /// Deletes the one NATS resource, not waiting.
    pub async fn delete(&self) {
        self.api::<Nats>().delete(NAME, &DeleteParams::default()).await.unwrap();
    }

    /// The status of the one NATS resource.
    pub async fn status(&self) -> NatsStatus {
        self.api::<Nats>().get_status(NAME).await.unwrap().status.unwrap_or_default()
    }

    /// Waits until the status is as wanted.
    pub async fn status_becomes(&self, what: &str, wanted: impl Fn(&NatsStatus) -> bool) -> NatsStatus {
        eventually(what, SOON, || async {
            let status = self.api::<Nats>().get(NAME).await?.status.unwrap_or_default();
            Ok::<_, kube::Error>(if wanted(&status) {
                Seen::Done(status)
            } else {
                Seen::NotYet(serde_json::to_string(&status).unwrap_or_default())
            })
        })
        .await
    }

    /// Waits until the state is as wanted.
    pub async fn state_becomes(&self, state: &str) -> NatsStatus {
        self.status_becomes(&format!("state {state}"), |status| status.state == state).await
    }

    /// Waits until the one NATS resource is gone.
    pub async fn gone(&self) {
        eventually("the NATS resource is gone", SOON, || async {
            let nats = self.api::<Nats>().get_opt(NAME).await?;
            Ok::<_, kube::Error>(match nats {
                None => Seen::Done(()),
                Some(nats) => Seen::NotYet(format!("{:?}", nats.status)),
            })
        })
        .await;
    }

    /// Events about the one NATS resource: type, reason and note, oldest first.
    pub async fn events(&self) -> Vec<(String, String, String)> {
        let mut events = self.api::<Event>().list(&ListParams::default()).await.unwrap().items;
        events.retain(|event| event.regarding.as_ref().is_some_and(|about| about.kind.as_deref() == Some("NATS")));
        events.sort_by_key(|event| event.event_time.as_ref().map(|time| time.0));
        let text = |text: Option<String>| text.unwrap_or_default();
        events.into_iter().map(|event| (text(event.type_), text(event.reason), text(event.note))).collect()
    }
}

/// A condition as status, reason and message.
pub fn condition(status: &NatsStatus, kind: &str) -> Option<(String, String, String)> {
    let condition = status.conditions.iter().find(|condition| condition.type_ == kind)?;
    Some((condition.status.clone(), condition.reason.clone(), condition.message.clone()))
}

/// Runs kubectl as administrator: its output, or what it said.
pub async fn kubectl(cluster: &LocalCluster, args: &[&str]) -> Result<String, String> {
    let output = cluster.kubectl().args(args).output().await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}
