//! The execute stage: takes the one action of a plan and carries it out on servers and data.

use std::time::Duration;

use async_nats::ServerAddr;
use k8s_openapi::api::{apps::v1::StatefulSet, core::v1::Pod};
use kube::{
    Api, Client,
    api::{DeleteParams, Preconditions},
    runtime::wait::{await_condition, conditions},
};
use nats_manager_api::{Bytes, NamespacedName};
use nats_manager_jetstream::{Admin, AdminError, ClientError, Credentials, step_down};
use nats_manager_planner::plan::{Action, PodRef};
use tokio::time::timeout;

pub(super) mod pvcs;
mod recreate;
mod replace_server;
mod teardown;

pub(super) use teardown::{DeleteError, delete_children, delete_data};

use crate::{error_message::summary, watch::CachedObject};

/// Clients and credentials that actions need.
pub(super) struct ActionContext<'a> {
    pub(super) client: &'a Client,
    pub(super) id: &'a NamespacedName,
    /// Address of the JetStream API.
    pub(super) address: &'a ServerAddr,
    /// Credentials of the system account. `None` without its Secret.
    pub(super) credentials: Option<&'a Credentials>,
    /// The desired StatefulSet. Its `resourceVersion` is that of the live one when the action was planned.
    pub(super) stateful_set: &'a StatefulSet,
    pub(super) cache: &'a CachedObject<StatefulSet>,
}

/// Failure of an action, which is then planned again.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExecuteError {
    /// A request that the JetStream API rejected or did not answer.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A request that the API of the system account rejected or did not answer.
    #[error(transparent)]
    Admin(#[from] AdminError),
    #[error("failed to delete Pod {pod}: {}", summary(cause))]
    DeletePod { pod: String, cause: kube::Error },
    #[error("failed to delete PVC {pvc}: {}", summary(cause))]
    DeletePvc { pvc: String, cause: kube::Error },
    #[error("failed to expand {}", list(.0))]
    ExpandPvcs(Vec<RejectedExpansion>),
    #[error("failed to recreate the StatefulSet: {}", summary(.0))]
    RecreateStatefulSet(kube::Error),
}

/// PVC whose larger size the apiserver rejected.
#[derive(Debug)]
pub(super) struct RejectedExpansion {
    name: String,
    uid: String,
    cause: kube::Error,
}

impl ExecuteError {
    /// Returns the uid of each PVC whose larger size was rejected, with the message of the apiserver.
    pub(super) fn rejected_expansions(&self) -> Vec<(String, String)> {
        match self {
            Self::ExpandPvcs(all) => all.iter().map(|pvc| (pvc.uid.clone(), summary(&pvc.cause))).collect(),
            _ => Vec::new(),
        }
    }
}

fn list(rejected: &[RejectedExpansion]) -> String {
    let all: Vec<String> = rejected.iter().map(|pvc| format!("PVC {}: {}", pvc.name, summary(&pvc.cause))).collect();
    all.join("; ")
}

/// Carries out a confirmed action.
pub(super) async fn execute(context: &ActionContext<'_>, action: &Action) -> Result<(), ExecuteError> {
    match action {
        // The apply stage has already written the StatefulSet that opens the partition or stops the servers.
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
            context.delete_pod(&PodRef { name: server.clone(), uid: uid.clone() }).await
        }
        Action::RestartServer { server, uid, reason } => {
            tracing::warn!(server, reason, "restarting the server");
            context.delete_pod(&PodRef { name: server.clone(), uid: uid.clone() }).await
        }
        Action::ReplacePods { pods } => {
            for pod in pods {
                tracing::info!(pod = pod.name, "replacing the Pod with one of the new template");
                context.delete_pod(pod).await?;
            }
            Ok(())
        }
        Action::Evacuate { server, step_down: streams, moves } => {
            tracing::info!(server, ?streams, ?moves, "moving stream replicas off the server");
            if !streams.is_empty() {
                step_down(context.address, streams).await?;
            }
            if moves.is_empty() {
                return Ok(());
            }
            let admin = context.admin().await?;
            for stream in moves {
                admin.move_stream(stream, server).await?;
            }
            Ok(())
        }
        Action::RemovePeers { peers } => {
            let admin = context.admin().await?;
            for peer in peers {
                tracing::info!(peer = peer.name, id = peer.id.0, "removing the peer from the meta group");
                admin.remove_peer(peer).await?;
            }
            Ok(())
        }
        Action::ReplaceServer { server, pvc, version, pod } => {
            context.replace_server(server, pvc, version.as_deref(), pod.as_deref()).await
        }
        Action::DeletePvcs { pvcs } => {
            for pvc in pvcs {
                let name = context.id.pvc(pvc.ordinal);
                tracing::info!(pvc = name, "deleting the PVC of a server that was removed");
                let deleted = pvcs::delete(context.client, context.id, pvc.ordinal, &pvc.uid, None).await;
                deleted.map_err(|cause| ExecuteError::DeletePvc { pvc: name, cause })?;
            }
            Ok(())
        }
        Action::ExpandPvcs { pvcs, size } => {
            let mut rejected = Vec::new();
            for pvc in pvcs {
                let (name, size) = (context.id.pvc(pvc.ordinal), Bytes::new(*size));
                tracing::info!(pvc = name, %size, "requesting a larger volume");
                let expanded = pvcs::expand(context.client, &name, context.id, &pvc.uid, size).await;
                // A failure does not keep the other volumes from growing.
                rejected.extend(expanded.err().map(|cause| RejectedExpansion { name, uid: pvc.uid.clone(), cause }));
            }
            if rejected.is_empty() { Ok(()) } else { Err(ExecuteError::ExpandPvcs(rejected)) }
        }
        Action::RecreateStatefulSet { uid } => {
            tracing::warn!("recreating the StatefulSet without its Pods: its immutable fields differ");
            let api = Api::namespaced(context.client.clone(), &context.id.namespace);
            let version = context.stateful_set.metadata.resource_version.as_deref();
            let outcome = recreate::recreate(api, uid, version, context.stateful_set, context.cache).await;
            let outcome = outcome.map_err(ExecuteError::RecreateStatefulSet)?;
            tracing::info!(?outcome, "replaced the StatefulSet");
            Ok(())
        }
        Action::Reload { servers } => {
            let admin = context.admin().await?;
            let mut result = Ok(());
            for server in servers {
                tracing::info!(server = server.name, "reloading the configuration of the server");
                // A failure does not keep the other servers from a reload.
                result = admin.reload(&server.id).await.and(result);
            }
            Ok(result?)
        }
    }
}

impl ActionContext<'_> {
    async fn admin(&self) -> Result<Admin, ExecuteError> {
        Ok(Admin::connect(self.address, self.credentials).await?)
    }

    /// Deletes exactly this Pod, by its uid. The StatefulSet creates it again.
    async fn delete_pod(&self, pod: &PodRef) -> Result<(), ExecuteError> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &self.id.namespace);
        let precondition = Preconditions { uid: Some(pod.uid.clone()), resource_version: None };
        match api.delete(&pod.name, &DeleteParams::default().preconditions(precondition)).await {
            // It is gone or replaced already.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
            answer => answer.map(|_| ()).map_err(|cause| ExecuteError::DeletePod { pod: pod.name.clone(), cause }),
        }
    }
}

/// Waits until the StatefulSet with this uid is gone. Returns `false` after `limit`, and also if its watch fails, which
/// proves as little.
async fn is_deleted_within(limit: Duration, api: &Api<StatefulSet>, name: &str, uid: &str) -> bool {
    // Boxed: its 10 KB would be most of the future of each reconcile.
    let deleted = Box::pin(await_condition(api.clone(), name, conditions::is_deleted(uid)));
    matches!(timeout(limit, deleted).await, Ok(Ok(_)))
}
