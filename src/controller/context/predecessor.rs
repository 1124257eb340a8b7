//! The predecessor: the manager that this one replaces.
//!
//! The Go manager takes no lease and forces its writes under the same field manager. A takeover happens in place (same
//! Deployment, same ServiceAccount), so for a moment its Pod still runs. Nothing is written until that Pod is gone.

use std::sync::{Mutex, PoisonError};

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

/// Returns the name of a Pod of the predecessor that may still write.
pub(crate) fn running<'a>(pods: impl IntoIterator<Item = &'a Pod>) -> Option<String> {
    pods.into_iter().find(|pod| !has_ended(pod)).map(ResourceExt::name_any)
}

/// Log of the predecessor: one message when it appears and one when it is gone, not one per reconcile.
#[derive(Debug, Default)]
pub(crate) struct PredecessorLog(Mutex<Option<String>>);

impl PredecessorLog {
    /// Records the predecessor's Pod, or that none runs, and logs a change.
    pub(crate) fn record(&self, predecessor: Option<&str>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.as_deref() == predecessor {
            return;
        }
        if let Some(pod) = predecessor {
            tracing::warn!(pod, "another NATS manager still runs; no writes until it is gone");
        } else {
            tracing::info!("resumed: the other NATS manager is gone");
        }
        *known = predecessor.map(str::to_owned);
    }
}

fn has_ended(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}
