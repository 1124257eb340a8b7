//! Deletes broken pods that are let through, so that they come back with the new template.

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client,
    api::{DeleteParams, Preconditions},
};

use super::Gate;
use crate::controller::observe::ServerPod;

/// Deletes the pods of [`Gate::replace`], each only if it is still the one that was seen. Call it
/// when the partition is applied.
pub async fn replace(client: &Client, namespace: &str, pods: &[ServerPod], gate: &Gate) -> kube::Result<()> {
    for pod in pods.iter().filter(|pod| gate.replace.contains(&pod.name)) {
        tracing::info!(pod = pod.name, cause = pod.broken, "replacing a broken pod of an old template");
        delete(client, namespace, pod).await?;
    }
    Ok(())
}

/// Deletes a pod, if it is still the one that was seen; its StatefulSet makes it anew.
pub async fn delete(client: &Client, namespace: &str, pod: &ServerPod) -> kube::Result<()> {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let Some(uid) = pod.uid.clone() else { return Ok(()) };
    let exactly_this = Preconditions { uid: Some(uid), resource_version: None };
    match api.delete(&pod.name, &DeleteParams::default().preconditions(exactly_this)).await {
        // Kubernetes was faster.
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        answer => answer.map(|_| ()),
    }
}
