//! Fixtures of all tests: reviews as the apiserver sends them, facts, and an observer that counts.
#![allow(dead_code, reason = "not every test needs everything")]
#![allow(unreachable_pub, reason = "a module of several tests")]

pub mod http;
#[path = "../samples/mod.rs"]
mod samples;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use nats_manager_api::{NamespacedName, rules::ClusterFacts};
use nats_manager_webhook::{FactSource, Observer, Rejection, ReviewOutcome, WebhookKind};
use serde_json::{Value, json};

pub const UID: &str = "705ab4f5-6393-11e8-b7cc-42010a800002";
/// Uid of the resource in a review.
pub const OBJECT_UID: &str = "a1f0f2a9-6c3e-4a5c-8e6f-0b1b2f4ad0f5";

/// Facts about the cluster, as a test sets them.
#[derive(Clone, Default)]
pub struct FixedFacts {
    pub cluster_facts: ClusterFacts,
    pub allowed: Option<NamespacedName>,
    /// Uid of the resource that the deployed servers belong to; `None` if they belong to any.
    pub deployed_for: Option<&'static str>,
}

impl FactSource for FixedFacts {
    fn cluster_facts(&self, id: &NamespacedName, uid: Option<&str>) -> ClusterFacts {
        assert_ne!(id.name, "bomb", "a test asks for a panic");
        let mut facts = self.cluster_facts.clone();
        facts.deployed = facts.deployed.filter(|_| self.deployed_for.is_none_or(|owner| uid == Some(owner)));
        facts
    }

    fn allowed(&self) -> Option<NamespacedName> {
        self.allowed.clone()
    }
}

/// Observer that records every event.
#[derive(Default)]
pub struct Counts {
    pub reviews: Mutex<Vec<(WebhookKind, ReviewOutcome)>>,
    pub rejections: Mutex<Vec<Rejection>>,
}

impl Counts {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    pub fn last_review(&self) -> Option<(WebhookKind, ReviewOutcome)> {
        self.reviews.lock().unwrap().last().copied()
    }
}

impl Observer for Counts {
    fn reviewed(&self, webhook: WebhookKind, outcome: ReviewOutcome, _: Duration) {
        self.reviews.lock().unwrap().push((webhook, outcome));
    }

    fn handshake_rejected(&self, reason: Rejection) {
        self.rejections.lock().unwrap().push(reason);
    }
}

/// Observer that ignores every event.
pub struct Uncounted;

impl Observer for Uncounted {
    fn reviewed(&self, _: WebhookKind, _: ReviewOutcome, _: Duration) {}

    fn handshake_rejected(&self, _: Rejection) {}
}

/// Returns the spec of the sample with all fields.
pub fn full_sample() -> Value {
    samples::full()
}

/// Builds a spec as the schema's defaults leave it.
pub fn spec() -> Value {
    json!({
        "cluster": {"size": 3},
        "jetStream": {
            "fileStorage": {"enabled": true, "storageClassName": "default"},
            "memStorage": {"enabled": true, "size": "1Gi"},
        },
        "logging": {"debug": false, "trace": false},
        "resources": {
            "limits": {"cpu": "500m", "memory": "1Gi"},
            "requests": {"cpu": "40m", "memory": "64Mi"},
        },
    })
}

/// Builds an object as the apiserver sends it.
pub fn object(name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "operator.kyma-project.io/v1alpha1",
        "kind": "NATS",
        "metadata": {
            "name": name,
            "namespace": "kyma-system",
            "uid": OBJECT_UID,
            "resourceVersion": "4711",
            "generation": 1,
            "creationTimestamp": "2026-06-01T10:00:00Z",
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{\"apiVersion\":\"operator.kyma-project.io/v1alpha1\",\"kind\":\"NATS\",\"spec\":{}}\n"},
            "managedFields": [{
                "apiVersion": "operator.kyma-project.io/v1alpha1",
                "fieldsType": "FieldsV1",
                "fieldsV1": {"f:metadata": {"f:annotations": {".": {}, "f:kubectl.kubernetes.io/last-applied-configuration": {}}}, "f:spec": {".": {}, "f:cluster": {".": {}, "f:size": {}}}},
                "manager": "kubectl-client-side-apply",
                "operation": "Update",
                "time": "2026-06-01T10:00:00Z",
            }],
        },
        "spec": spec,
        "status": {"state": "Ready", "url": "nats://eventing-nats.kyma-system.svc.cluster.local:4222", "availabilityZonesUsed": 3, "conditions": []},
    })
}

/// Builds a review as the apiserver sends it.
pub fn review(operation: &str, object: &Value, old: &Value) -> Value {
    let kind = json!({"group": "operator.kyma-project.io", "version": "v1alpha1", "kind": "NATS"});
    let resource = json!({"group": "operator.kyma-project.io", "version": "v1alpha1", "resource": "nats"});
    json!({
        "kind": "AdmissionReview",
        "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": UID,
            "kind": kind,
            "resource": resource,
            "requestKind": kind,
            "requestResource": resource,
            "name": object["metadata"]["name"],
            "namespace": "kyma-system",
            "operation": operation,
            "userInfo": {
                "username": "kubernetes-admin",
                "groups": ["kubeadm:cluster-admins", "system:authenticated"],
                "extra": {"authentication.kubernetes.io/credential-id": ["X509SHA256=8d2cb1b4"]},
            },
            "object": object,
            "oldObject": old,
            "dryRun": false,
            "options": {
                "kind": "CreateOptions",
                "apiVersion": "meta.k8s.io/v1",
                "fieldManager": "kubectl-client-side-apply",
                "fieldValidation": "Strict",
            },
        },
    })
}

/// Builds the review of a creation with this spec.
pub fn create(spec: &Value) -> Value {
    review("CREATE", &object("eventing-nats", spec), &Value::Null)
}

/// Builds the review of a change from one spec to another.
pub fn update(old: &Value, new: &Value) -> Value {
    review("UPDATE", &object("eventing-nats", new), &object("eventing-nats", old))
}

/// Returns a copy of `value` with `other` at a JSON pointer.
pub fn with(value: &Value, pointer: &str, other: Value) -> Value {
    let mut value = value.clone();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    value.pointer_mut(parent).unwrap()[name] = other;
    value
}
