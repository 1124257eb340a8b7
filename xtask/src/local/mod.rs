//! The manager as a local process on a local control plane: what the demo shows and the benchmark measures.
//!
//! It has what it has in a cluster: the files of `config/`, its ServiceAccount and rules, the environment and the
//! arguments of its Deployment. Only NATS is one real server beside it, since the pods of a simulated node run nothing.

mod build;
mod cluster;
mod install;
mod interrupt;
mod kubectl;
mod manager;
mod probe;

use std::path::Path;

use kube::Client;
use nats_manager_harness::{ClusterOptions, LocalCluster, NatsOptions, NatsServer, RealCluster};

pub(crate) use build::{BuildError, Profile, build, revision};
pub(crate) use cluster::DemoCluster;
pub(crate) use interrupt::interrupted;
pub(crate) use kubectl::{Answer, Kubectl};
use manager::Surroundings;
pub(crate) use manager::{Manager, ManagerError, Memory};

/// Where the manager and its NATS resource live: what RBAC names.
pub(crate) const NAMESPACE: &str = "kyma-system";
/// The one NATS resource that is served.
pub(crate) const NAME: &str = "eventing-nats";
/// The manager's account.
const SERVICE_ACCOUNT: &str = "nats-manager";
/// Us, in the audit log.
const AGENT: &str = "xtask";

/// The local cluster could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LocalError {
    /// The control plane, or NATS.
    #[error(transparent)]
    Harness(#[from] nats_manager_harness::Error),
    /// kubectl did not do what it should.
    #[error("kubectl {command}: {answer}")]
    Kubectl {
        /// Its arguments.
        command: String,
        /// What it said.
        answer: String,
    },
    /// kustomize made something else than objects.
    #[error("what kustomize made is not YAML: {0}")]
    Manifest(Box<serde_saphyr::Error>),
    /// Somebody uses this cluster.
    #[error(
        "this cluster has NATS Manager already, and the demo would take it over; use the local one with: unset USE_EXISTING_CLUSTER"
    )]
    InUse,
    /// The manager did not start.
    #[error(transparent)]
    Manager(#[from] ManagerError),
}

/// A control plane with the manager installed, but not running.
pub(crate) struct Local {
    cluster: DemoCluster,
    client: Client,
    /// Answers in the place of pods that run nothing.
    nats: Option<NatsServer>,
    installed: bool,
}

impl Local {
    /// Starts the control plane and NATS; `keep` leaves the folder with the logs behind.
    pub(crate) async fn start(keep: bool) -> Result<Self, LocalError> {
        let default = ClusterOptions::default();
        let cluster = LocalCluster::start(ClusterOptions { keep: keep || default.keep, ..default }).await?;
        let nats = NatsServer::start(NatsOptions::default()).await?;
        let client = cluster.client(AGENT).await?;
        Ok(Self { cluster: DemoCluster::Simulated(cluster), client, nats: Some(nats), installed: false })
    }

    /// On real nodes, in whose network this thread is.
    pub(crate) async fn start_on(cluster: RealCluster) -> Result<Self, LocalError> {
        let client = cluster.client(AGENT).await?;
        Ok(Self { cluster: DemoCluster::Real(cluster), client, nats: None, installed: false })
    }

    /// Installs everything but the Deployment, telling each command as one would type it.
    pub(crate) async fn install(&mut self, show: impl FnMut(&str, &Answer)) -> Result<(), LocalError> {
        if self.is_existing() && install::is_installed(self.kubectl()).await? {
            return Err(LocalError::InUse);
        }
        // From here on there may be something to take out again.
        self.installed = true;
        install::install(self.kubectl(), show).await
    }

    /// Starts the manager, not waiting for anything.
    pub(crate) async fn start_manager(&self, program: &Path) -> Result<Manager, LocalError> {
        let kubeconfig = self.cluster.kubeconfig_for(NAMESPACE, SERVICE_ACCOUNT).await?;
        let nats_url = self.nats_url();
        let around = Surroundings {
            cluster: &self.cluster,
            kubeconfig: &kubeconfig,
            nats_url: nats_url.as_deref(),
            has_near_apiserver: !self.is_existing(),
        };
        Ok(Manager::start(program, &around)?)
    }

    /// The control plane.
    pub(crate) fn cluster(&self) -> &DemoCluster {
        &self.cluster
    }

    /// As administrator.
    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    /// As administrator.
    pub(crate) fn kubectl(&self) -> Kubectl<'_> {
        Kubectl::new(&self.cluster)
    }

    /// Where NATS answers in place of the simulated pods.
    pub(crate) fn nats_url(&self) -> Option<String> {
        self.nats.as_ref().map(NatsServer::url)
    }

    /// Whether the cluster was there before us, and has to be as it was after us. Only ours has an audit log.
    pub(crate) fn is_existing(&self) -> bool {
        self.cluster.audit().is_err()
    }

    /// Takes everything down. From an existing cluster it takes what it brought, except for the namespace; the
    /// manager has to run until its resource is gone, since it takes the finalizer off.
    pub(crate) async fn shutdown(mut self, manager: Option<Manager>) -> Result<(), LocalError> {
        let to_remove = self.is_existing() && self.installed;
        let removed = if to_remove { install::uninstall(self.kubectl()).await } else { Ok(()) };
        if let Some(manager) = manager {
            manager.stop().await;
        }
        if let Some(nats) = &mut self.nats {
            nats.stop().await?;
        }
        self.cluster.shutdown().await?;
        removed
    }
}
