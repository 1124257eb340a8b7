//! What is around a NATS resource, as tests change it: its definition, nodes, Istio, the provider.

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
    runtime::wait::{await_condition, conditions},
};
use nats_manager_harness::eventually;
use serde_json::{Value, json};

use crate::{
    objects::CHILDREN,
    world::{NAMESPACE, SOON, World},
};

const ISTIO: &str = "destinationrules.networking.istio.io";
const ZONE: &str = "topology.kubernetes.io/zone";
/// Who applied the definition before, so that what is left out is removed.
const INSTALLER: &str = "kubectl";

impl World {
    /// Puts nodes into zones; `None` takes the label off.
    pub async fn zones(&self, zones: [(&str, Option<&str>); 3]) {
        for (node, zone) in zones {
            self.patch_node(node, json!({"metadata": {"labels": {ZONE: zone}}})).await;
        }
    }

    /// Lets no node take another pod, or all of them.
    pub async fn cordon(&self, unschedulable: bool) {
        for node in Api::<Node>::all(self.client.clone()).list(&ListParams::default()).await.unwrap() {
            self.patch_node(&node.name_any(), json!({"spec": {"unschedulable": unschedulable}})).await;
        }
    }

    async fn patch_node(&self, name: &str, patch: Value) {
        let nodes: Api<Node> = Api::all(self.client.clone());
        nodes.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    /// Adds a StorageClass like the default one.
    pub async fn storage_class(&self, name: &str) {
        let classes: Api<StorageClass> = Api::all(self.client.clone());
        let mut class = classes.get("standard").await.unwrap();
        class.metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        classes.patch(name, &PatchParams::apply("user"), &Patch::Apply(&class)).await.unwrap();
    }

    /// Takes a StorageClass away.
    pub async fn without_storage_class(&self, name: &str) {
        let classes: Api<StorageClass> = Api::all(self.client.clone());
        classes.delete(name, &DeleteParams::default()).await.unwrap();
    }

    /// Adds a StorageClass whose volumes can be expanded.
    pub async fn expandable_storage_class(&self, name: &str) {
        self.storage_class(name).await;
        let classes: Api<StorageClass> = Api::all(self.client.clone());
        let expandable = json!({"allowVolumeExpansion": true});
        classes.patch(name, &PatchParams::default(), &Patch::Merge(expandable)).await.unwrap();
    }

    /// Applies a namespaced object of a built-in kind, as a user.
    pub async fn apply(&self, object: &Value) {
        let object: DynamicObject = serde_json::from_value(object.clone()).unwrap();
        let parameters = PatchParams::apply("user").force();
        self.any(&object).patch(&object.name_any(), &parameters, &Patch::Apply(&object)).await.unwrap();
    }

    /// Deletes an object that a user applied.
    pub async fn remove(&self, object: &Value) {
        let object: DynamicObject = serde_json::from_value(object.clone()).unwrap();
        self.any(&object).delete(&object.name_any(), &DeleteParams::default()).await.unwrap();
    }

    fn any(&self, object: &DynamicObject) -> Api<DynamicObject> {
        let types = object.types.clone().unwrap();
        let kind = ApiResource::from_gvk(&GroupVersionKind::try_from(&types).unwrap());
        Api::namespaced_with(self.client.clone(), NAMESPACE, &kind)
    }

    /// Makes the cluster know `DestinationRules`.
    pub async fn install_istio(&self) {
        let definition = json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": ISTIO},
            "spec": {
                "group": "networking.istio.io",
                "scope": "Namespaced",
                "names": {"kind": "DestinationRule", "plural": "destinationrules", "singular": "destinationrule"},
                "versions": [{
                    "name": "v1beta1",
                    "served": true,
                    "storage": true,
                    "schema": {"openAPIV3Schema": {
                        "type": "object",
                        "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
                    }},
                }],
            },
        });
        self.apply_definition(ISTIO, &definition).await;
        let rules: Api<DynamicObject> = CHILDREN[5].api(self);
        eventually("DestinationRules are served", SOON, || async {
            rules.list(&ListParams::default()).await.map(|_| true)
        })
        .await;
    }

    /// Takes `DestinationRules` away, with every one there is.
    pub async fn remove_istio(&self) {
        let definitions: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        let uid = definitions.get(ISTIO).await.unwrap().uid().unwrap();
        definitions.delete(ISTIO, &DeleteParams::default()).await.unwrap();
        tokio::time::timeout(SOON, await_condition(definitions, ISTIO, conditions::is_deleted(&uid)))
            .await
            .expect("the definition goes")
            .unwrap();
    }

    /// Says which cloud provider runs the cluster.
    pub async fn provider(&self, name: &str) {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), "kube-system");
        let info = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "shoot-info"},
            "data": {"provider": name},
        });
        api.patch("shoot-info", &PatchParams::apply("gardener").force(), &Patch::Apply(&info)).await.unwrap();
    }

    /// Lets anything be stored as a NATS resource, as an older definition might have.
    pub async fn without_rules(&self) {
        let mut definition = shipped_definition();
        without_rules(&mut definition);
        for (field, default) in [("cluster/properties/size", json!(3)), ("logging/properties/debug", json!(false))] {
            let path = format!("/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/{field}");
            *definition.pointer_mut(&path).unwrap() =
                json!({"x-kubernetes-preserve-unknown-fields": true, "default": default});
        }
        self.apply_definition(&definition["metadata"]["name"].to_string().replace('"', ""), &definition).await;
        eventually("anything can be stored", SOON, || self.takes("three")).await;
    }

    /// Puts the shipped definition back.
    pub async fn with_rules(&self) {
        let definition = shipped_definition();
        self.apply_definition(&definition["metadata"]["name"].to_string().replace('"', ""), &definition).await;
        eventually("the rules hold", SOON, || async { !self.takes("three").await }).await;
    }

    async fn takes(&self, size: &str) -> bool {
        let nats = json!({
            "apiVersion": "operator.kyma-project.io/v1alpha1",
            "kind": "NATS",
            "metadata": {"name": "probe"},
            "spec": {"cluster": {"size": size}},
        });
        let api: Api<DynamicObject> = crate::objects::nats(self, "default");
        api.patch("probe", &PatchParams::apply("user").force().dry_run(), &Patch::Apply(&nats)).await.is_ok()
    }

    async fn apply_definition(&self, name: &str, definition: &Value) {
        let definitions: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        let parameters = PatchParams::apply(INSTALLER).force();
        definitions.patch(name, &parameters, &Patch::Apply(definition)).await.unwrap();
    }
}

fn shipped_definition() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/config/crd/nats.operator.kyma-project.io.yaml");
    serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Of a schema: its types and defaults, without what limits the values.
fn without_rules(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            fields.remove("x-kubernetes-validations");
            for limit in ["minimum", "maximum", "pattern"] {
                // A field of that name is an object.
                if fields.get(limit).is_some_and(|value| !value.is_object()) {
                    fields.remove(limit);
                }
            }
            fields.values_mut().for_each(without_rules);
        }
        Value::Array(elements) => elements.iter_mut().for_each(without_rules),
        _ => {}
    }
}
