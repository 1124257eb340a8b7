//! The stage that acts on servers and data: carries out the one action of a plan.

use async_nats::ServerAddr;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client,
    api::{DeleteParams, Preconditions},
};
use nats_manager_api::NamespacedName;
use nats_manager_jetstream::{Admin, AdminError, ClientError, Credentials, step_down};
use nats_manager_planner::plan::{Action, PodRef};

pub(super) mod pvcs;
mod teardown;

pub(super) use teardown::{DeleteError, delete_children, delete_data};

use crate::error_message::summary;

/// What actions are carried out with.
pub(super) struct Tools<'a> {
    pub(super) client: &'a Client,
    pub(super) id: &'a NamespacedName,
    /// The address that clients connect to.
    pub(super) address: &'a ServerAddr,
    /// The system account; `None` without its Secret.
    pub(super) credentials: Option<&'a Credentials>,
}

/// An action failed. It is planned again.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExecuteError {
    /// The JetStream API rejected a request, or did not answer.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The system account's API rejected a request, or did not answer.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// A Pod could not be deleted.
    #[error("failed to delete Pod {pod}: {}", summary(cause))]
    DeletePod {
        /// Its name.
        pod: String,
        /// The answer of the apiserver.
        cause: kube::Error,
    },
    /// A PVC could not be deleted.
    #[error("failed to delete PVC {pvc}: {}", summary(cause))]
    DeletePvc {
        /// Its name.
        pvc: String,
        /// The answer of the apiserver.
        cause: kube::Error,
    },
}

/// Carries out a confirmed action.
pub(super) async fn execute(tools: &Tools<'_>, action: &Action) -> Result<(), ExecuteError> {
    match action {
        // What they need of the StatefulSet is applied already.
        Action::OpenPartition { partition, server } => {
            tracing::info!(partition, server, "opened the partition for the next server");
            Ok(())
        }
        Action::StopServers { replicas, servers } => {
            tracing::info!(replicas, ?servers, "stopping servers that hold no replicas");
            Ok(())
        }
        Action::JoinCluster { server, uid } => {
            tracing::info!(server, "restarting the standalone server as a member of the cluster");
            tools.delete_pod(&PodRef { name: server.clone(), uid: uid.clone() }).await
        }
        Action::RestartServer { server, uid, reason } => {
            tracing::warn!(server, reason, "restarting the server");
            tools.delete_pod(&PodRef { name: server.clone(), uid: uid.clone() }).await
        }
        Action::ReplacePods { pods } => {
            for pod in pods {
                tracing::info!(pod = pod.name, "replacing the Pod with one of the new template");
                tools.delete_pod(pod).await?;
            }
            Ok(())
        }
        Action::Evacuate { server, step_down: streams, moves } => {
            tracing::info!(server, ?streams, ?moves, "moving stream replicas off the server");
            if !streams.is_empty() {
                step_down(tools.address, streams).await?;
            }
            if moves.is_empty() {
                return Ok(());
            }
            let admin = tools.admin().await?;
            for stream in moves {
                admin.move_stream(stream, server).await?;
            }
            Ok(())
        }
        Action::RemovePeers { peers } => {
            let admin = tools.admin().await?;
            for peer in peers {
                tracing::info!(peer = peer.name, id = peer.id.0, "removing the peer from the meta group");
                admin.remove_peer(peer).await?;
            }
            Ok(())
        }
        Action::DeletePvcs { pvcs } => {
            for pvc in pvcs {
                let name = tools.id.pvc(pvc.ordinal);
                tracing::info!(pvc = name, "deleting the PVC of a server that was removed");
                let deleted = pvcs::delete(tools.client, tools.id, pvc.ordinal, &pvc.uid).await;
                deleted.map_err(|cause| ExecuteError::DeletePvc { pvc: name, cause })?;
            }
            Ok(())
        }
        Action::Reload { servers } => {
            let admin = tools.admin().await?;
            let mut outcome = Ok(());
            for server in servers {
                tracing::info!(server = server.name, "reloading the configuration of the server");
                // One that does not answer does not keep the others from it.
                outcome = admin.reload(&server.id).await.and(outcome);
            }
            Ok(outcome?)
        }
    }
}

impl Tools<'_> {
    async fn admin(&self) -> Result<Admin, ExecuteError> {
        Ok(Admin::connect(self.address, self.credentials).await?)
    }

    /// Deletes exactly this Pod; its StatefulSet creates it anew.
    async fn delete_pod(&self, pod: &PodRef) -> Result<(), ExecuteError> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &self.id.namespace);
        let precondition = Preconditions { uid: Some(pod.uid.clone()), resource_version: None };
        match api.delete(&pod.name, &DeleteParams::default().preconditions(precondition)).await {
            // It was replaced already.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
            answer => answer.map(|_| ()).map_err(|cause| ExecuteError::DeletePod { pod: pod.name.clone(), cause }),
        }
    }
}
