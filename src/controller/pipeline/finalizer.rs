//! Our finalizer: added before the first object is created, and removed after the data is deleted.

use std::sync::Arc;

use kube::{Api, ResourceExt, api::Patch};
use nats_manager_api::{Nats, naming::FINALIZER};
use serde_json::json;

use crate::{
    controller::context::{Context, ReconcileError},
    field_manager,
};

/// Returns whether the resource has our finalizer.
pub(crate) fn is_present(nats: &Nats) -> bool {
    nats.finalizers().iter().any(|finalizer| finalizer == FINALIZER)
}

/// Adds our finalizer. Returns the resource as it was written.
pub(crate) async fn add(nats: &Nats, context: &Context) -> Result<Arc<Nats>, ReconcileError> {
    let mut finalizers = nats.finalizers().to_vec();
    finalizers.push(FINALIZER.to_owned());
    replace(nats, &finalizers, context).await
}

/// Removes our finalizer if it is present. Finalizers of others stay.
pub(crate) async fn remove(nats: &Nats, context: &Context) -> Result<(), ReconcileError> {
    if is_present(nats) {
        let mut finalizers = nats.finalizers().to_vec();
        finalizers.retain(|finalizer| finalizer != FINALIZER);
        replace(nats, &finalizers, context).await?;
        tracing::info!("removed finalizer");
    }
    Ok(())
}

/// Replaces the list of finalizers. The `resourceVersion` is a precondition, since the patch contains the full list.
async fn replace(nats: &Nats, finalizers: &[String], context: &Context) -> Result<Arc<Nats>, ReconcileError> {
    let api: Api<Nats> = Api::namespaced(context.client.clone(), &nats.namespace().unwrap_or_default());
    let patch = json!({"metadata": {"finalizers": finalizers, "resourceVersion": nats.resource_version()}});
    let patched = api.patch(&nats.name_any(), &field_manager::patch(), &Patch::Merge(patch)).await;
    let patched = patched.map_err(|error| ReconcileError::from_kube(error, ReconcileError::Finalizer))?;
    Ok(context.status.record_write(patched))
}
