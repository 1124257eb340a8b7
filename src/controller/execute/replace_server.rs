//! Replacement of a server: its PVC is deleted, then its Pod.

use nats_manager_planner::plan::{PodRef, PvcRef};

use super::{ActionContext, ExecuteError, pvcs};

impl ActionContext<'_> {
    /// Deletes exactly this PVC, in this version if one is given, then exactly this Pod. The finalizer
    /// `kubernetes.io/pvc-protection` keeps the PVC until the Pod is gone. If the PVC is gone, the Pod may be that of the
    /// new server, and stays.
    pub(super) async fn replace_server(
        &self,
        server: &str,
        pvc: &PvcRef,
        version: Option<&str>,
        pod: Option<&str>,
    ) -> Result<(), ExecuteError> {
        let name = self.id.pvc(pvc.ordinal);
        tracing::warn!(server, pvc = name, "replacing the server with one that has a fresh volume");
        let deleted = pvcs::delete(self.client, self.id, pvc.ordinal, &pvc.uid, version).await;
        let existed = deleted.map_err(|cause| ExecuteError::DeletePvc { pvc: name, cause })?;
        match pod {
            Some(uid) if existed => self.delete_pod(&PodRef { name: server.to_owned(), uid: uid.to_owned() }).await,
            _ => Ok(()),
        }
    }
}
