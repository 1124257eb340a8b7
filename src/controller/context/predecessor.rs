//! The predecessor: the manager that this one replaces.
//!
//! The Go manager takes no lease and forces its writes under the same field manager. A takeover
//! happens in place (same Deployment, same ServiceAccount), so for a moment its pod still runs: we
//! write nothing until it is gone.

use std::sync::{Mutex, PoisonError};

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

/// The name of a pod of the other manager that may still write.
pub(crate) fn running<'a>(pods: impl IntoIterator<Item = &'a Pod>) -> Option<String> {
    pods.into_iter().find(|pod| !has_ended(pod)).map(ResourceExt::name_any)
}

/// Logs a predecessor when it is first seen and when it is gone, not at each reconcile.
#[derive(Debug, Default)]
pub(crate) struct PredecessorLog(Mutex<Option<String>>);

impl PredecessorLog {
    /// This predecessor runs now, or none.
    pub(crate) fn note(&self, predecessor: Option<&str>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.as_deref() == predecessor {
            return;
        }
        if let Some(pod) = predecessor {
            tracing::warn!(pod, "another NATS manager still runs; writing nothing until it is gone");
        } else {
            tracing::info!("the other NATS manager is gone");
        }
        *known = predecessor.map(str::to_owned);
    }
}

fn has_ended(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}
