//! Access to the objects of a NATS resource, independent of their kind.

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Secret};
use kube::{
    Api, ResourceExt,
    api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams},
};
use nats_manager_api::{Nats, NatsStatus};
use nats_manager_harness::{Seen, eventually};
use serde_json::{Value, json};

use crate::world::{NAME, NAMESPACE, TIMEOUT, World, condition};

/// Child object of the NATS resource, with its kind and name.
#[derive(Clone, Copy)]
pub struct Child {
    pub kind: &'static str,
    group: &'static str,
    version: &'static str,
    plural: &'static str,
    pub name: &'static str,
    /// The object has the annotations of the spec.
    pub annotated: bool,
}

const fn child(
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
    name: &'static str,
) -> Child {
    Child { kind, group, version, plural, name, annotated: true }
}

/// All children. The last one exists only with Istio.
pub const CHILDREN: [Child; 7] = [
    child("", "v1", "Secret", "secrets", "eventing-nats-secret"),
    child("", "v1", "ConfigMap", "configmaps", "eventing-nats-config"),
    child("", "v1", "Service", "services", "eventing-nats"),
    Child { annotated: false, ..child("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", "eventing-nats") },
    child("apps", "v1", "StatefulSet", "statefulsets", "eventing-nats"),
    child("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies", "kyma-project.io--nats-servers-eventing-nats"),
    child("networking.istio.io", "v1beta1", "DestinationRule", "destinationrules", "eventing-nats"),
];

pub const SECRET: Child = CHILDREN[0];
pub const CONFIG_MAP: Child = CHILDREN[1];
pub const SERVICE: Child = CHILDREN[2];
pub const BUDGET: Child = CHILDREN[3];
pub const STATEFUL_SET: Child = CHILDREN[4];
pub const NETWORK_POLICY: Child = CHILDREN[5];
pub const DESTINATION_RULE: Child = CHILDREN[6];

impl Child {
    /// Returns the API of the object's kind in the namespace of the installation.
    pub fn api(&self, world: &World) -> Api<DynamicObject> {
        let resource = ApiResource {
            group: self.group.to_owned(),
            version: self.version.to_owned(),
            api_version: self.api_version(),
            kind: self.kind.to_owned(),
            plural: self.plural.to_owned(),
        };
        Api::namespaced_with(world.client.clone(), NAMESPACE, &resource)
    }

    fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_owned() } else { format!("{}/{}", self.group, self.version) }
    }

    /// Returns the object as JSON. Panics if it does not exist.
    pub async fn get(&self, world: &World) -> Value {
        serde_json::to_value(self.api(world).get(self.name).await.unwrap()).unwrap()
    }

    /// Patches the object as a foreign field manager.
    pub async fn change(&self, world: &World, patch: Value) {
        let parameters = PatchParams { field_manager: Some("other-manager".to_owned()), ..PatchParams::default() };
        // Only built-in kinds support strategic merge patches, which change list elements by name.
        let patch = if self.group == DESTINATION_RULE.group { Patch::Merge(patch) } else { Patch::Strategic(patch) };
        self.api(world).patch(self.name, &parameters, &patch).await.unwrap();
    }

    /// Applies a complete object as another field manager.
    pub async fn create(&self, world: &World, field_manager: &str, mut object: Value) {
        object["apiVersion"] = json!(self.api_version());
        object["kind"] = json!(self.kind);
        object["metadata"]["name"] = json!(self.name);
        let object: DynamicObject = serde_json::from_value(object).unwrap();
        let parameters = PatchParams::apply(field_manager).force();
        self.api(world).patch(self.name, &parameters, &Patch::Apply(&object)).await.unwrap();
    }

    /// Deletes the object with background propagation.
    pub async fn delete(&self, world: &World) {
        self.api(world).delete(self.name, &DeleteParams::background()).await.unwrap();
    }

    /// Waits until the object meets the predicate, and returns it.
    pub async fn becomes(&self, world: &World, what: &str, predicate: impl Fn(&Value) -> bool) -> Value {
        let api = self.api(world);
        eventually(&format!("{}: {what}", self.kind), TIMEOUT, || async {
            let object = serde_json::to_value(api.get(self.name).await?).unwrap_or_default();
            Ok::<_, kube::Error>(if predicate(&object) {
                Seen::Done(object)
            } else {
                Seen::NotYet(essence(&object).to_string())
            })
        })
        .await
    }

    /// Waits until the object does not exist.
    pub async fn is_gone(&self, world: &World) {
        let api = self.api(world);
        eventually(&format!("{} is gone", self.kind), TIMEOUT, || async {
            Ok::<_, kube::Error>(api.get_opt(self.name).await?.is_none())
        })
        .await;
    }

    /// Changes the object, and waits until the manager has restored its content in `before`.
    pub async fn is_restored(&self, world: &World, before: &Value, change: Value) {
        let what = format!("undoes {change}");
        self.change(world, change).await;
        let version = |object: &Value| object["metadata"]["resourceVersion"].clone();
        self.becomes(world, &what, |now| version(now) != version(before) && essence(now) == essence(before)).await;
    }

    /// Deletes the object, waits until the manager has created a new one, and returns that.
    pub async fn comes_back(&self, world: &World) -> Value {
        let before = self.becomes(world, "exists", |_| true).await;
        // Another deletion, such as one with foreground propagation, may have been faster.
        match self.api(world).delete(self.name, &DeleteParams::background()).await {
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            answer => drop(answer.unwrap()),
        }
        self.becomes(world, "is recreated", |now| now["metadata"]["uid"] != before["metadata"]["uid"]).await
    }
}

/// Returns the API of NATS resources in a namespace, untyped: their specs may be invalid.
pub fn nats(world: &World, namespace: &str) -> Api<DynamicObject> {
    let resource = ApiResource {
        group: "operator.kyma-project.io".to_owned(),
        version: "v1alpha1".to_owned(),
        api_version: "operator.kyma-project.io/v1alpha1".to_owned(),
        kind: "NATS".to_owned(),
        plural: "nats".to_owned(),
    };
    Api::namespaced_with(world.client.clone(), namespace, &resource)
}

/// Returns the file with the system account from a Secret; empty if there is none.
pub fn system_account(secret: &Value) -> String {
    let secret: Secret = serde_json::from_value(secret.clone()).unwrap();
    let content = secret.data.unwrap_or_default().remove("resolver.conf").unwrap_or_default();
    String::from_utf8(content.0).unwrap()
}

/// Returns an object without its status and without the metadata that the apiserver maintains.
pub fn essence(object: &Value) -> Value {
    let mut essence = object.clone();
    let fields = essence.as_object_mut().unwrap();
    fields.remove("status");
    let metadata = fields["metadata"].as_object_mut().unwrap();
    for field in ["managedFields", "resourceVersion", "generation", "creationTimestamp", "uid", "selfLink"] {
        metadata.remove(field);
    }
    essence
}

impl World {
    /// Triggers a reconcile and waits for it: deletes the PodDisruptionBudget, which is the last but one object that a
    /// reconcile creates.
    pub async fn reconcile_again(&self) {
        BUDGET.comes_back(self).await;
    }

    /// Waits until there are `count` events about the NATS resource.
    pub async fn events_are(&self, count: usize) {
        eventually("the events exist", TIMEOUT, || async { self.events().await.len() == count }).await;
    }

    /// Waits for an event with this type, reason and note.
    pub async fn event_becomes(&self, kind: &str, reason: &str, note: &str) {
        eventually(&format!("event {reason} {note}"), TIMEOUT, || async {
            let events = self.events().await;
            if events.iter().any(|event| (event.0.as_str(), event.1.as_str(), event.2.as_str()) == (kind, reason, note))
            {
                Seen::Done(())
            } else {
                Seen::NotYet(format!("{events:?}"))
            }
        })
        .await;
    }

    /// Waits until the newest spec is deployed and all servers run it.
    pub async fn is_ready_for_the_newest_spec(&self) -> NatsStatus {
        let generation = self.api::<Nats>().get(NAME).await.unwrap().metadata.generation;
        self.status_becomes("ready for the newest spec", |status| {
            let set = condition(status, "StatefulSet");
            status.observed_generation == generation
                && status.state == "Ready"
                && set.is_some_and(|(holds, ..)| holds == "True")
        })
        .await
    }

    /// Returns the PVCs, sorted by name.
    pub async fn pvcs(&self) -> Vec<PersistentVolumeClaim> {
        let mut pvcs = self.api::<PersistentVolumeClaim>().list(&ListParams::default()).await.unwrap().items;
        pvcs.sort_by_key(ResourceExt::name_any);
        pvcs
    }

    /// Patches a PVC as a user.
    pub async fn change_pvc(&self, name: &str, patch: Value) {
        let pvcs = self.api::<PersistentVolumeClaim>();
        pvcs.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    /// Returns the Pods, sorted by name.
    pub async fn pods(&self) -> Vec<Pod> {
        let mut pods = self.api::<Pod>().list(&ListParams::default()).await.unwrap().items;
        pods.sort_by_key(ResourceExt::name_any);
        pods
    }
}
