//! Cluster facts that tests change: CRD, nodes, StorageClasses, cloud provider.

use k8s_openapi::{
    api::{
        core::v1::{ConfigMap, Node},
        storage::v1::StorageClass,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api, ResourceExt,
    api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams},
};
use nats_manager_harness::eventually;
use serde_json::{Value, json};

use crate::world::{NAMESPACE, TIMEOUT, World};

const ZONE: &str = "topology.kubernetes.io/zone";
/// Field manager that installed the CRD: an apply under the same name removes absent fields.
const INSTALLER: &str = "kubectl";

impl World {
    /// Sets the zone labels of nodes; `None` removes the label.
    pub async fn set_zones(&self, zones: [(&str, Option<&str>); 3]) {
        for (node, zone) in zones {
            self.patch_node(node, json!({"metadata": {"labels": {ZONE: zone}}})).await;
        }
    }

    /// Cordons all nodes, or uncordons them.
    pub async fn cordon(&self, unschedulable: bool) {
        for node in Api::<Node>::all(self.client.clone()).list(&ListParams::default()).await.unwrap() {
            self.patch_node(&node.name_any(), json!({"spec": {"unschedulable": unschedulable}})).await;
        }
    }

    async fn patch_node(&self, name: &str, patch: Value) {
        let nodes: Api<Node> = Api::all(self.client.clone());
        nodes.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    /// Creates a StorageClass like the default one.
    pub async fn create_storage_class(&self, name: &str) {
        let classes: Api<StorageClass> = Api::all(self.client.clone());
        let mut class = classes.get("standard").await.unwrap();
        class.metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        classes.patch(name, &PatchParams::apply("user"), &Patch::Apply(&class)).await.unwrap();
    }

    /// Deletes a StorageClass.
    pub async fn delete_storage_class(&self, name: &str) {
        let classes: Api<StorageClass> = Api::all(self.client.clone());
        classes.delete(name, &DeleteParams::default()).await.unwrap();
    }

    /// Creates a StorageClass that allows volume expansion.
    pub async fn create_expandable_storage_class(&self, name: &str) {
        self.create_storage_class(name).await;
        let classes: Api<StorageClass> = Api::all(self.client.clone());
        let expandable = json!({"allowVolumeExpansion": true});
        classes.patch(name, &PatchParams::default(), &Patch::Merge(expandable)).await.unwrap();
    }

    /// Sets how the volumes of a StorageClass expand: a value of the annotation in `tests/cluster/resizer.go`.
    pub async fn set_expansion(&self, class: &str, expansion: &str) {
        let classes: Api<StorageClass> = Api::all(self.client.clone());
        let patch = json!({"metadata": {"annotations": {"nats-manager.local/expansion": expansion}}});
        classes.patch(class, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    /// Applies a namespaced object of a built-in kind, as a user.
    pub async fn apply(&self, object: &Value) {
        let object: DynamicObject = serde_json::from_value(object.clone()).unwrap();
        let parameters = PatchParams::apply("user").force();
        self.api_of(&object).patch(&object.name_any(), &parameters, &Patch::Apply(&object)).await.unwrap();
    }

    /// Deletes an object that a user applied.
    pub async fn remove(&self, object: &Value) {
        let object: DynamicObject = serde_json::from_value(object.clone()).unwrap();
        self.api_of(&object).delete(&object.name_any(), &DeleteParams::default()).await.unwrap();
    }

    /// Returns the API of an object's kind in the namespace of the installation.
    fn api_of(&self, object: &DynamicObject) -> Api<DynamicObject> {
        let types = object.types.clone().unwrap();
        let kind = ApiResource::from_gvk(&GroupVersionKind::try_from(&types).unwrap());
        Api::namespaced_with(self.client.clone(), NAMESPACE, &kind)
    }

    /// Sets the cloud provider in Gardener's `shoot-info`.
    pub async fn set_provider(&self, name: &str) {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), "kube-system");
        let info = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "shoot-info"},
            "data": {"provider": name},
        });
        api.patch("shoot-info", &PatchParams::apply("gardener").force(), &Patch::Apply(&info)).await.unwrap();
    }

    /// Removes the validation from the CRD, so that specs can be stored as under an older CRD.
    pub async fn remove_crd_validation(&self) {
        let mut crd = shipped_crd();
        remove_validation(&mut crd);
        // The subresource `scale` reads the size as a number.
        crd.pointer_mut("/spec/versions/0/subresources").and_then(Value::as_object_mut).unwrap().remove("scale");
        for (field, default) in [("cluster/properties/size", json!(3)), ("logging/properties/debug", json!(false))] {
            let path = format!("/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/{field}");
            *crd.pointer_mut(&path).unwrap() =
                json!({"x-kubernetes-preserve-unknown-fields": true, "default": default});
        }
        self.apply_crd(&crd["metadata"]["name"].to_string().replace('"', ""), &crd).await;
        eventually("the CRD validates nothing", TIMEOUT, || self.accepts_size("three")).await;
    }

    /// Applies the shipped CRD.
    pub async fn restore_crd_validation(&self) {
        let crd = shipped_crd();
        self.apply_crd(&crd["metadata"]["name"].to_string().replace('"', ""), &crd).await;
        eventually("the CRD validates", TIMEOUT, || async { !self.accepts_size("three").await }).await;
    }

    /// Returns whether the apiserver accepts a spec with this size.
    async fn accepts_size(&self, size: &str) -> bool {
        let nats = json!({
            "apiVersion": "operator.kyma-project.io/v1alpha1",
            "kind": "NATS",
            "metadata": {"name": "probe"},
            "spec": {"cluster": {"size": size}},
        });
        let api: Api<DynamicObject> = crate::objects::nats(self, "default");
        api.patch("probe", &PatchParams::apply("user").force().dry_run(), &Patch::Apply(&nats)).await.is_ok()
    }

    async fn apply_crd(&self, name: &str, crd: &Value) {
        let crds: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        let parameters = PatchParams::apply(INSTALLER).force();
        crds.patch(name, &parameters, &Patch::Apply(crd)).await.unwrap();
    }
}

fn shipped_crd() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/config/crd/nats.operator.kyma-project.io.yaml");
    serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Removes the validation from a schema. Types and defaults stay.
fn remove_validation(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            fields.remove("x-kubernetes-validations");
            for limit in ["minimum", "maximum", "pattern"] {
                // A property with such a name is an object, not a limit.
                if fields.get(limit).is_some_and(|value| !value.is_object()) {
                    fields.remove(limit);
                }
            }
            fields.values_mut().for_each(remove_validation);
        }
        Value::Array(elements) => elements.iter_mut().for_each(remove_validation),
        _ => {}
    }
}
