//! The CRD of Istio that the manager uses, installed and removed without Istio.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "what tests share is a test too"
)]

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, ResourceExt,
    api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams},
    runtime::wait::{await_condition, conditions},
};
use serde_json::json;

use crate::{Installation, eventually, installation::NAMESPACE};

const CRD: &str = "destinationrules.networking.istio.io";
const GROUP: &str = "networking.istio.io";
const VERSION: &str = "v1beta1";

impl Installation {
    /// Installs the CRD of DestinationRules, and waits until it is served.
    pub async fn install_istio(&self) {
        let crd = json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": CRD},
            "spec": {
                "group": GROUP,
                "scope": "Namespaced",
                "names": {"kind": "DestinationRule", "plural": "destinationrules", "singular": "destinationrule"},
                "versions": [{
                    "name": VERSION,
                    "served": true,
                    "storage": true,
                    "schema": {"openAPIV3Schema": {
                        "type": "object",
                        "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
                    }},
                }],
            },
        });
        let crds: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        crds.patch(CRD, &PatchParams::apply("kubectl").force(), &Patch::Apply(&crd)).await.unwrap();
        let kind = ApiResource::from_gvk(&GroupVersionKind::gvk(GROUP, VERSION, "DestinationRule"));
        let rules: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), NAMESPACE, &kind);
        eventually("DestinationRules are served", self.patience, || async {
            rules.list(&ListParams::default()).await.map(|_| true)
        })
        .await;
    }

    /// Deletes the CRD of DestinationRules, and with it all DestinationRules.
    pub async fn remove_istio(&self) {
        let crds: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        let uid = crds.get(CRD).await.unwrap().uid().unwrap();
        crds.delete(CRD, &DeleteParams::default()).await.unwrap();
        tokio::time::timeout(self.patience, await_condition(crds, CRD, conditions::is_deleted(&uid)))
            .await
            .expect("the CRD is deleted")
            .unwrap();
    }
}
