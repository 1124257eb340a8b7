//! Our finalizer: put on before anything is made, taken off when the data is dealt with.

use std::sync::Arc;

use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};
use nats_manager_api::{
    Nats,
    naming::{FIELD_MANAGER, FINALIZER},
};
use serde_json::json;

use crate::controller::context::{Context, ReconcileError};

pub(crate) fn is_on(nats: &Nats) -> bool {
    nats.finalizers().iter().any(|finalizer| finalizer == FINALIZER)
}

pub(crate) async fn put_on(nats: &Nats, context: &Context) -> Result<Arc<Nats>, ReconcileError> {
    let mut finalizers = nats.finalizers().to_vec();
    finalizers.push(FINALIZER.to_owned());
    replace(nats, &finalizers, context).await
}

/// Leaves the finalizers of others.
pub(crate) async fn take_off(nats: &Nats, context: &Context) -> Result<(), ReconcileError> {
    if is_on(nats) {
        let mut finalizers = nats.finalizers().to_vec();
        finalizers.retain(|finalizer| finalizer != FINALIZER);
        replace(nats, &finalizers, context).await?;
        tracing::info!("took the finalizer off");
    }
    Ok(())
}

/// The list is replaced whole, so it must be the one that we saw.
async fn replace(nats: &Nats, finalizers: &[String], context: &Context) -> Result<Arc<Nats>, ReconcileError> {
    let api: Api<Nats> = Api::namespaced(context.client.clone(), &nats.namespace().unwrap_or_default());
    let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let patch = json!({"metadata": {"finalizers": finalizers, "resourceVersion": nats.resource_version()}});
    let patched = api.patch(&nats.name_any(), &parameters, &Patch::Merge(patch)).await;
    let patched = patched.map_err(|error| ReconcileError::of(error, ReconcileError::Finalizer))?;
    Ok(context.status.wrote(patched))
}
