//! An installation of the manager without its Deployment: tests run the manager as a process.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "what tests share is a test too")]

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::StatefulSet,
        coordination::v1::Lease,
        core::v1::{Namespace, Pod, PodCondition},
    },
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, PropagationPolicy},
};
use nats_manager_api::{Nats, NatsStatus};
use serde_json::{Value, json};

use crate::{Error, LocalCluster, Result, Seen, documented::ROOT, eventually};

/// Namespace of the installation.
pub const NAMESPACE: &str = "kyma-system";
/// Name of the one NATS resource.
pub const NAME: &str = "eventing-nats";
/// ServiceAccount of the manager.
const SERVICE_ACCOUNT: &str = "nats-manager";
/// Scheduler of Pods that name none.
const DEFAULT_SCHEDULER: &str = "default-scheduler";
/// Parts of `config/` that a manager outside of the cluster needs.
const PARTS: [&str; 4] =
    ["config/crd", "config/rbac", "config/manager/priority_class.yaml", "config/manager/lease.yaml"];

/// The CRD, the permissions and the `PriorityClass`, installed in a cluster.
#[derive(Clone)]
pub struct Installation {
    /// A client with all permissions.
    pub client: Client,
    /// A kubeconfig with the permissions of the manager.
    pub kubeconfig: PathBuf,
    /// Limit of the waits.
    pub patience: Duration,
}

impl Installation {
    /// Installs what the checkout has in `config/`. `agent` is the user agent of the client.
    pub async fn new(cluster: &LocalCluster, agent: &str, patience: Duration) -> Result<Self> {
        let client = cluster.client(agent).await?;
        let mut namespace = Namespace::default();
        namespace.metadata.name = Some(NAMESPACE.to_owned());
        // It may exist.
        let _ = Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &namespace).await;
        for part in PARTS {
            let flag = if Path::new(ROOT).join(part).is_dir() { "-k" } else { "-f" };
            let apply = ["apply", "--server-side", "--force-conflicts", flag, part];
            let output = cluster.run_kubectl(&apply, "").await?;
            output.into_result().map_err(|cause| Error::Cluster(format!("cannot install {part}: {cause}")))?;
        }
        let kubeconfig = cluster.kubeconfig_for(NAMESPACE, SERVICE_ACCOUNT).await?;
        Ok(Self { client, kubeconfig, patience })
    }

    /// Returns the API of objects in the installation's namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    /// Removes the holder of the manager's Lease.
    pub async fn clear_lease(&self) {
        let clear = Patch::Merge(json!({"spec": null}));
        // Some tests delete it with the installation.
        let _ = self.api::<Lease>().patch("nats-manager", &PatchParams::default(), &clear).await;
    }

    /// Applies the one NATS resource.
    pub async fn create(&self, spec: Value) -> Nats {
        self.create_as(NAMESPACE, NAME, spec).await.unwrap()
    }

    /// Applies a NATS resource of any name.
    pub async fn create_as(&self, namespace: &str, name: &str, spec: Value) -> kube::Result<Nats> {
        let api: Api<Nats> = Api::namespaced(self.client.clone(), namespace);
        let nats = json!({
            "apiVersion": "operator.kyma-project.io/v1alpha1",
            "kind": "NATS",
            "metadata": {"name": name},
            "spec": spec,
        });
        api.patch(name, &PatchParams::apply("user").force(), &Patch::Apply(&nats)).await
    }

    /// Merges a patch into the one NATS resource.
    pub async fn patch(&self, patch: Value) -> kube::Result<Nats> {
        self.api::<Nats>().patch(NAME, &PatchParams::default(), &Patch::Merge(patch)).await
    }

    /// Deletes the one NATS resource, and does not wait until it is gone.
    pub async fn delete(&self) {
        self.api::<Nats>().delete(NAME, &DeleteParams::default()).await.unwrap();
    }

    /// Returns the status of the one NATS resource.
    pub async fn status(&self) -> NatsStatus {
        self.api::<Nats>().get_status(NAME).await.unwrap().status.unwrap_or_default()
    }

    /// Waits until the status of the one NATS resource is as expected, and returns it.
    pub async fn status_becomes(&self, what: &str, is_expected: impl Fn(&NatsStatus) -> bool) -> NatsStatus {
        eventually(what, self.patience, || async {
            let status = self.api::<Nats>().get(NAME).await?.status.unwrap_or_default();
            Ok::<_, kube::Error>(if is_expected(&status) {
                Seen::Done(status)
            } else {
                Seen::NotYet(serde_json::to_string(&status).unwrap_or_default())
            })
        })
        .await
    }

    /// Waits until the one NATS resource has a state, and returns its status.
    pub async fn state_becomes(&self, state: &str) -> NatsStatus {
        self.status_becomes(&format!("state {state}"), |status| status.state == state).await
    }

    /// Waits until the one NATS resource does not exist.
    pub async fn gone(&self) {
        eventually("the NATS resource is gone", self.patience, || async {
            let nats = self.api::<Nats>().get_opt(NAME).await?;
            Ok::<_, kube::Error>(match nats {
                None => Seen::Done(()),
                Some(nats) => Seen::NotYet(format!("{:?}", nats.status)),
            })
        })
        .await;
    }

    /// Deletes every `StatefulSet` without its Pods, and waits until the scheduler has decided on each Pod
    ///
    /// If a Pod is deleted while kube-scheduler 1.34 binds its volumes, the failure of that binding concerns the next Pod
    /// of the same name too: it may be placed without regard to its topology spread. A Pod that was unschedulable before
    /// counts as decided, although it may be bound at this moment.
    pub async fn orphan_pods(&self) {
        // No Pod follows, and those that exist remain.
        let orphan = DeleteParams { propagation_policy: Some(PropagationPolicy::Orphan), ..DeleteParams::default() };
        let _ = self.api::<StatefulSet>().delete_collection(&orphan, &ListParams::default()).await;
        eventually("the scheduler has decided on every Pod", self.patience, || async {
            let stateful_sets = self.api::<StatefulSet>().list(&ListParams::default()).await?.items.len();
            let mut pods = self.api::<Pod>().list(&ListParams::default()).await?.items;
            pods.retain(|pod| !is_decided(pod));
            Ok::<_, kube::Error>(if stateful_sets == 0 && pods.is_empty() {
                Seen::Done(())
            } else {
                let undecided: Vec<String> = pods.iter().map(Pod::name_any).collect();
                Seen::NotYet(format!("{stateful_sets} StatefulSets, {undecided:?}"))
            })
        })
        .await;
    }
}

impl fmt::Debug for Installation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Installation").field("kubeconfig", &self.kubeconfig).finish_non_exhaustive()
    }
}

/// Returns whether a Pod has a node, the scheduler has found none for it, or another scheduler is responsible for it.
fn is_decided(pod: &Pod) -> bool {
    let scheduler = pod.spec.as_ref().and_then(|spec| spec.scheduler_name.as_deref()).unwrap_or(DEFAULT_SCHEDULER);
    if scheduler != DEFAULT_SCHEDULER {
        return true;
    }
    let is_scheduled = |condition: &PodCondition| condition.type_ == "PodScheduled";
    let has_node = pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some());
    has_node || pod.status.iter().flat_map(|status| &status.conditions).flatten().any(is_scheduled)
}
