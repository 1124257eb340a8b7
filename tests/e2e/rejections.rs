//! Admission policies that reject requests of the manager.

use k8s_openapi::api::admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams},
};
use nats_manager_harness::eventually;
use serde_json::json;

use crate::world::{SERVICE_ACCOUNT, TIMEOUT, World};

/// Message of the rejections.
pub const REJECTION: &str = "not today";

impl World {
    /// Rejects these operations of the manager on this resource, and waits until the policy is in force.
    pub async fn reject(&self, operations: &[&str], group: &str, resource: &str) {
        let name = policy(resource);
        let policies: Api<ValidatingAdmissionPolicy> = Api::all(self.client.clone());
        let policy = json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": name},
            "spec": {
                "failurePolicy": "Fail",
                "matchConstraints": {"resourceRules": [
                    {"apiGroups": [group], "apiVersions": ["*"], "operations": operations, "resources": [resource]},
                    // This probe shows when the policy is in force.
                    {"apiGroups": [""], "apiVersions": ["*"], "operations": ["CREATE"], "resources": ["configmaps"]},
                ]},
                "validations": [{
                    "expression": format!(
                        "request.userInfo.username != '{SERVICE_ACCOUNT}' && \
                         !(request.resource.resource == 'configmaps' && request.name == '{name}')"
                    ),
                    "message": REJECTION,
                }],
                "matchConditions": [{
                    "name": "not-another",
                    "expression": format!(
                        "request.resource.resource == '{resource}' || \
                         request.resource.resource == 'configmaps' && request.name == '{name}'"
                    ),
                }],
            },
        });
        let apply = PatchParams::apply("user").force();
        policies.patch(&name, &apply, &Patch::Apply(&policy)).await.unwrap();
        let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(self.client.clone());
        let binding = json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": name},
            "spec": {"policyName": name, "validationActions": ["Deny"]},
        });
        bindings.patch(&name, &apply, &Patch::Apply(&binding)).await.unwrap();
        eventually("the apiserver rejects", TIMEOUT, || async { !self.accepts_probe(&name).await }).await;
    }

    /// Deletes the policy of a resource, and waits until it is not in force any more.
    pub async fn accept(&self, resource: &str) {
        let name = policy(resource);
        let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(self.client.clone());
        bindings.delete(&name, &DeleteParams::default()).await.unwrap();
        let policies: Api<ValidatingAdmissionPolicy> = Api::all(self.client.clone());
        policies.delete(&name, &DeleteParams::default()).await.unwrap();
        eventually("the apiserver accepts", TIMEOUT, || self.accepts_probe(&name)).await;
    }

    /// Returns whether the apiserver accepts the probe of a policy.
    async fn accepts_probe(&self, name: &str) -> bool {
        let probe = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
        let api = self.api::<k8s_openapi::api::core::v1::ConfigMap>();
        api.patch(name, &PatchParams::apply("user").dry_run(), &Patch::Apply(&probe)).await.is_ok()
    }
}

fn policy(resource: &str) -> String {
    format!("refuse-{resource}")
}
