//! The manager as a local process on a local control plane, for the demo and the benchmark.
//!
//! The setup is the same as in a cluster: the files of `config/`, the ServiceAccount with its roles, the environment
//! and the arguments of the Deployment. NATS is one real server beside the manager, since Pods on simulated nodes run
//! no containers.

mod build;
mod cluster;
mod install;
mod interrupt;
mod kubectl;
mod manager;
mod target;

use std::path::Path;

use kube::Client;
use nats_manager_harness::{
    ClusterOptions, KubectlOutput, LocalCluster, ManagerProcess, ManagerProcessError, NatsOptions, NatsServer,
    RealCluster,
};

pub(crate) use build::{BenchProgram, BuildError, Profile, build, build_bench, build_static, revision};
pub(crate) use cluster::DemoCluster;
pub(crate) use interrupt::interrupted;
pub(crate) use kubectl::Kubectl;
use manager::ManagerEnvironment;
pub(crate) use manager::ManagerError;
pub(crate) use target::Architecture;

/// Namespace of the manager and its NATS resource, as in the roles.
pub(crate) const NAMESPACE: &str = "kyma-system";
/// Name of the NATS resource that the manager serves.
pub(crate) const NAME: &str = "eventing-nats";
/// ServiceAccount of the manager.
const SERVICE_ACCOUNT: &str = "nats-manager";
/// User agent of this program in the audit log.
const AGENT: &str = "xtask";

/// Failure of the local cluster.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LocalError {
    /// Failure of the control plane or NATS.
    #[error(transparent)]
    Harness(#[from] nats_manager_harness::Error),
    /// Failed kubectl command.
    #[error("kubectl {command}: {output}")]
    Kubectl {
        /// Arguments of kubectl.
        command: String,
        /// Output of kubectl.
        output: String,
    },
    /// Output of kustomize that contains no objects.
    #[error("the output of kustomize is not YAML: {0}")]
    Manifest(Box<serde_saphyr::Error>),
    /// Existing cluster in which the manager is installed already.
    #[error(
        "NATS Manager is installed in this cluster already, and the demo would replace it; use a local cluster with: unset USE_EXISTING_CLUSTER"
    )]
    InUse,
    /// Failure of the manager process.
    #[error(transparent)]
    Manager(#[from] ManagerError),
    /// Manager that does not run as expected.
    #[error(transparent)]
    Process(#[from] ManagerProcessError),
    /// Manager that did not end.
    #[error("cannot stop the manager: {0}")]
    Stop(#[from] std::io::Error),
}

/// Cluster in which the manager can be installed and started as a process.
pub(crate) struct Local {
    cluster: DemoCluster,
    client: Client,
    /// NATS server in place of simulated Pods.
    nats: Option<NatsServer>,
    installed: bool,
}

impl Local {
    /// Starts the control plane and NATS. With `keep`, the folder with the logs is kept.
    pub(crate) async fn start(keep: bool) -> Result<Self, LocalError> {
        let default = ClusterOptions::default();
        let cluster = LocalCluster::start(ClusterOptions { keep: keep || default.keep, ..default }).await?;
        let nats = NatsServer::start(NatsOptions::default()).await?;
        let client = cluster.client(AGENT).await?;
        Ok(Self { cluster: DemoCluster::Simulated(cluster), client, nats: Some(nats), installed: false })
    }

    /// Uses a cluster with real nodes. This thread has to be in its network.
    pub(crate) async fn start_on(cluster: RealCluster) -> Result<Self, LocalError> {
        let client = cluster.client(AGENT).await?;
        Ok(Self { cluster: DemoCluster::Real(cluster), client, nats: None, installed: false })
    }

    /// Installs everything but the Deployment, and passes each command with its output to `show`.
    pub(crate) async fn install(&mut self, show: impl FnMut(&str, &KubectlOutput)) -> Result<(), LocalError> {
        if self.is_existing() && install::is_installed(self.kubectl()).await? {
            return Err(LocalError::InUse);
        }
        // From here on the cluster may contain objects to remove.
        self.installed = true;
        install::install(self.kubectl(), show).await
    }

    /// Starts the manager without waiting for readiness.
    pub(crate) async fn start_manager(&self, program: &Path) -> Result<ManagerProcess, LocalError> {
        let kubeconfig = self.cluster.kubeconfig_for(NAMESPACE, SERVICE_ACCOUNT).await?;
        let nats_url = self.nats_url();
        let environment = ManagerEnvironment {
            cluster: &self.cluster,
            kubeconfig: &kubeconfig,
            nats_url: nats_url.as_deref(),
            is_apiserver_local: !self.is_existing(),
        };
        Ok(manager::start(program, &environment)?)
    }

    /// Returns the cluster.
    pub(crate) fn cluster(&self) -> &DemoCluster {
        &self.cluster
    }

    /// Returns a client for the administrator.
    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    /// Returns kubectl for the administrator.
    pub(crate) fn kubectl(&self) -> Kubectl<'_> {
        Kubectl::new(&self.cluster)
    }

    /// Returns the URL of the NATS server that replaces simulated Pods.
    pub(crate) fn nats_url(&self) -> Option<String> {
        self.nats.as_ref().map(NatsServer::url)
    }

    /// Returns whether the cluster existed before and has to be restored. Only a cluster that was started here has an
    /// audit log.
    pub(crate) fn is_existing(&self) -> bool {
        self.cluster.audit().is_err()
    }

    /// Stops everything. In an existing cluster, removes the installed objects, except for the namespace. The manager
    /// runs until its resource is deleted, since it removes the finalizer.
    pub(crate) async fn shutdown(mut self, manager: Option<ManagerProcess>) -> Result<(), LocalError> {
        let to_remove = self.is_existing() && self.installed;
        let removed = if to_remove { install::uninstall(self.kubectl()).await } else { Ok(()) };
        if let Some(manager) = manager {
            manager.terminate().await?;
        }
        if let Some(nats) = &mut self.nats {
            nats.stop().await?;
        }
        self.cluster.shutdown().await?;
        removed
    }
}
