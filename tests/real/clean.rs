//! Removal of the objects of the previous test.

use std::fmt::Debug;

use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration},
        apps::v1::{Deployment, StatefulSet},
        batch::v1::Job,
        core::v1::{ConfigMap, PersistentVolume, PersistentVolumeClaim, Pod, Secret, Service},
        events::v1::Event,
        networking::v1::NetworkPolicy,
        policy::v1::PodDisruptionBudget,
    },
};
use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use nats_manager_api::Nats;
use nats_manager_harness::{RealCluster, Seen, eventually};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::world::{SOON, World};

impl World<'_> {
    /// Starts stopped nodes, and removes all objects of NATS with their data. No manager may run meanwhile.
    pub async fn clean(&self) {
        for node in RealCluster::NODES {
            self.cluster.start_node(node).await.unwrap();
            self.cluster.unlimit_link(node).await.unwrap();
        }
        self.remove_foreign_server().await;
        self.orphan_pods().await;
        // Webhooks of a manager that has ended would reject the deletions below.
        let parameters = DeleteParams::default();
        let _ = Api::<MutatingWebhookConfiguration>::all(self.client.clone()).delete("nats-manager", &parameters).await;
        let _ =
            Api::<ValidatingWebhookConfiguration>::all(self.client.clone()).delete("nats-manager", &parameters).await;
        // A CRD is served a moment after its installation.
        let resources = eventually("NATS resources are served", SOON, || async {
            self.api::<Nats>().list(&ListParams::default()).await.map(|list| Seen::Done(list.items))
        })
        .await;
        for nats in resources {
            let patch = Patch::Merge(json!({"metadata": {"finalizers": null}}));
            let _ = self.api::<Nats>().patch(&nats.name_any(), &PatchParams::default(), &patch).await;
            let _ = self.api::<Nats>().delete(&nats.name_any(), &parameters).await;
        }
        self.delete_all::<Deployment>().await;
        self.delete_all::<Job>().await;
        self.delete_all::<StatefulSet>().await;
        self.delete_all::<Service>().await;
        self.delete_all::<PodDisruptionBudget>().await;
        self.delete_all::<NetworkPolicy>().await;
        self.delete_all::<Pod>().await;
        self.delete_all::<PersistentVolumeClaim>().await;
        self.clear_lease().await;
        self.delete_all::<Event>().await;
        for name in ["eventing-nats-secret", "nats-manager-webhook-ca"] {
            let _ = self.api::<Secret>().delete(name, &parameters).await;
        }
        let _ = self.api::<ConfigMap>().delete("eventing-nats-config", &parameters).await;
        eventually("everything is gone", SOON, || async {
            let all = ListParams::default();
            let pods = self.api::<Pod>().list(&all).await?.items.len();
            let pvcs = self.api::<PersistentVolumeClaim>().list(&all).await?.items.len();
            let resources = self.api::<Nats>().list(&all).await?.items.len();
            let volumes = Api::<PersistentVolume>::all(self.client.clone()).list(&all).await?.items.len();
            Ok::<_, kube::Error>(if pods + pvcs + volumes + resources == 0 {
                Seen::Done(())
            } else {
                Seen::NotYet(format!("{pods} pods, {pvcs} PVCs, {volumes} volumes, {resources} NATS resources"))
            })
        })
        .await;
    }

    async fn delete_all<K>(&self)
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
    {
        // Not 0: the kubelet must stop the containers first, or they would outlive their Pods.
        let now = DeleteParams { grace_period_seconds: Some(1), ..DeleteParams::background() };
        let _ = self.api::<K>().delete_collection(&now, &ListParams::default()).await;
    }
}
