//! Admission reviews as the apiserver sends them.

use std::fs;

use nats_manager_api::NatsSpec;
use nats_manager_harness::cases::Case;
use serde_json::{Value, json};

use super::AdmissionError;
use crate::workspace;

/// Paths of the webhooks.
pub(super) const MUTATE: &str = "/mutate";
pub(super) const VALIDATE: &str = "/validate";

/// Sample with every field.
const FULL: &str = "config/samples/full-spec.yaml";
const NAMESPACE: &str = "kyma-system";
const NAME: &str = "eventing-nats";

/// Review that is sent over and over.
#[derive(Debug, Clone)]
pub(super) struct Workload {
    /// File name.
    pub(super) file: &'static str,
    /// Description for the reader.
    pub(super) title: &'static str,
    /// Path of the webhook.
    pub(super) path: &'static str,
    /// Review.
    pub(super) review: Value,
    /// True if it is to be accepted.
    pub(super) accepted: bool,
}

/// Returns the workloads. The first one is measured in all ways, the others in a closed loop.
pub(super) fn workloads() -> Result<Vec<Workload>, AdmissionError> {
    let full = full_spec()?;
    let default = json!(NatsSpec::default());
    let debugged = with(&full, "/logging/debug", json!(false));
    let default_debugged = with(&default, "/logging/debug", json!(true));
    let even = |spec: &Value| with(spec, "/cluster/size", json!(4));
    let workload = |file, title, path, review, accepted| Workload { file, title, path, review, accepted };
    Ok(vec![
        workload("update-full", "UPDATE, full spec, accepted", VALIDATE, update(&full, &debugged), true),
        workload("update-full-rejected", "UPDATE, full spec, rejected", VALIDATE, update(&full, &even(&full)), false),
        workload("create-full", "CREATE, full spec, accepted", VALIDATE, create(&full), true),
        workload("create-full-rejected", "CREATE, full spec, rejected", VALIDATE, create(&even(&full)), false),
        workload(
            "update-default",
            "UPDATE, default spec, accepted",
            VALIDATE,
            update(&default, &default_debugged),
            true,
        ),
        workload(
            "update-default-rejected",
            "UPDATE, default spec, rejected",
            VALIDATE,
            update(&default, &even(&default)),
            false,
        ),
        workload("create-default", "CREATE, default spec, accepted", VALIDATE, create(&default), true),
        workload("create-default-rejected", "CREATE, default spec, rejected", VALIDATE, create(&even(&default)), false),
        workload("create-default-mutate", "CREATE, default spec, mutating webhook", MUTATE, create(&default), true),
    ])
}

/// Returns the review of a case of the table, with the status that the old resource has.
pub(super) fn of_case(case: &Case) -> Value {
    let mut object = object(&case.new);
    let Some(old) = &case.old else { return review("CREATE", &object, &Value::Null) };
    let mut stored = self::object(old);
    for resource in [&mut stored, &mut object] {
        let mut set = |field: &str, value: Value| resource["status"][field] = value;
        if let Some(members) = case.members {
            set("members", members.into());
        }
        if let Some(holds) = &case.holds {
            set("jetStream", serde_json::to_value(holds).unwrap_or_default());
        }
    }
    review("UPDATE", &object, &stored)
}

fn full_spec() -> Result<Value, AdmissionError> {
    let path = workspace::path(FULL);
    let text = fs::read_to_string(&path).map_err(AdmissionError::io(path.display()))?;
    let sample: Value = serde_saphyr::from_str(&text).map_err(|error| AdmissionError::Sample(error.to_string()))?;
    Ok(sample["spec"].clone())
}

fn with(spec: &Value, pointer: &str, value: Value) -> Value {
    let mut spec = spec.clone();
    if let Some(field) = spec.pointer_mut(pointer) {
        *field = value;
    }
    spec
}

fn create(spec: &Value) -> Value {
    review("CREATE", &object(spec), &Value::Null)
}

fn update(old: &Value, new: &Value) -> Value {
    review("UPDATE", &object(new), &object(old))
}

/// Returns the resource as the apiserver sends it, applied by kubectl on the client's side.
fn object(spec: &Value) -> Value {
    json!({
        "apiVersion": "operator.kyma-project.io/v1alpha1",
        "kind": "NATS",
        "metadata": {
            "name": NAME,
            "namespace": NAMESPACE,
            "uid": "a1f0f2a9-6c3e-4a5c-8e6f-0b1b2f4ad0f5",
            "resourceVersion": "4711",
            "generation": 1,
            "creationTimestamp": "2026-06-01T10:00:00Z",
            "finalizers": ["nats.operator.kyma-project.io/finalizer"],
            "managedFields": [{
                "apiVersion": "operator.kyma-project.io/v1alpha1",
                "fieldsType": "FieldsV1",
                "fieldsV1": {"f:spec": {".": {}, "f:cluster": {".": {}, "f:size": {}}, "f:logging": {".": {}, "f:debug": {}}}},
                "manager": "kubectl-client-side-apply",
                "operation": "Update",
                "time": "2026-06-01T10:00:00Z",
            }],
        },
        "spec": spec,
        "status": {
            "state": "Ready",
            "url": "nats://eventing-nats.kyma-system.svc.cluster.local:4222",
            "availabilityZonesUsed": 3,
            "conditions": [{
                "lastTransitionTime": "2026-06-01T10:01:00Z",
                "message": "NATS is ready",
                "reason": "Available",
                "status": "True",
                "type": "Available",
            }],
        },
    })
}

fn review(operation: &str, object: &Value, old: &Value) -> Value {
    let kind = json!({"group": "operator.kyma-project.io", "version": "v1alpha1", "kind": "NATS"});
    let resource = json!({"group": "operator.kyma-project.io", "version": "v1alpha1", "resource": "nats"});
    json!({
        "kind": "AdmissionReview",
        "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": kind,
            "resource": resource,
            "requestKind": kind,
            "requestResource": resource,
            "name": NAME,
            "namespace": NAMESPACE,
            "operation": operation,
            "userInfo": {"username": "kubernetes-admin", "groups": ["kubeadm:cluster-admins", "system:authenticated"]},
            "object": object,
            "oldObject": old,
            "dryRun": false,
            "options": {"kind": "UpdateOptions", "apiVersion": "meta.k8s.io/v1", "fieldManager": "kubectl"},
        },
    })
}
