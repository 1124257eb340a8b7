//! Control plane for tests: real etcd, kube-apiserver, controllers and scheduler, simulated nodes and kubelets.

mod access;
mod supervisor;

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use tempfile::TempDir;

use crate::{
    audit::AuditLog,
    error::{Error, Result, blocking},
    pool::{Lease, Pool},
    real::Network,
    tools::{self, Tool},
    version::KubernetesVersion,
};
use supervisor::Supervisor;

/// Maximum number of clusters of one test process. More would be slower on the small machines that tests run on.
const CLUSTERS: usize = 2;

static POOL: Pool<LocalCluster> = Pool::new(CLUSTERS);

/// Configuration of a control plane.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// Number of nodes, with the names node-a, node-b, ...
    pub nodes: u8,
    /// Number of zones, with the names zone-a, zone-b, ... The nodes are assigned to them in turn.
    pub zones: u8,
    /// Additional flags of kube-apiserver.
    pub apiserver_args: Vec<String>,
    /// Version of the control plane; `None` for the version of this test run ([`KubernetesVersion::selected`]).
    pub kubernetes: Option<KubernetesVersion>,
    /// Logs and data are kept after the end. The default is `true` if `NATS_MANAGER_KEEP_CLUSTER` is set.
    pub keep: bool,
}

impl Default for ClusterOptions {
    fn default() -> Self {
        let keep = env::var_os("NATS_MANAGER_KEEP_CLUSTER").is_some_and(|value| !value.is_empty());
        Self { nodes: 3, zones: 3, apiserver_args: Vec::new(), kubernetes: None, keep }
    }
}

impl ClusterOptions {
    /// Returns the version of the control plane.
    pub(crate) fn version(&self) -> Result<KubernetesVersion> {
        self.kubernetes.map_or_else(KubernetesVersion::selected, Ok)
    }
}

/// Kubernetes control plane that runs until dropped, or an existing cluster, selected by `USE_EXISTING_CLUSTER=true`
/// and `KUBECONFIG` as in envtest.
#[derive(Debug)]
pub struct LocalCluster {
    kubeconfig: PathBuf,
    kubectl: (PathBuf, &'static [&'static str]),
    origin: Origin,
}

#[derive(Debug)]
enum Origin {
    Started(Supervisor),
    /// Existing cluster, with a folder for the kubeconfigs of [`LocalCluster::kubeconfig_for`].
    Existing(TempDir),
}

impl LocalCluster {
    /// Starts a control plane, which takes about 4 s once its programs are built.
    pub async fn start(options: ClusterOptions) -> Result<Self> {
        blocking(move || Self::start_blocking(&options)).await
    }

    fn start_blocking(options: &ClusterOptions) -> Result<Self> {
        if uses_existing_cluster() {
            return Self::existing();
        }
        Self::start_with(&["--kwok".into(), Tool::Kwok.path_blocking()?.into()], options)
    }

    /// Leases one of up to two clusters of this process, which start on first use. Waits while both are in use. An
    /// existing cluster is leased to one test at a time.
    pub async fn lease() -> Result<Lease<Self>> {
        let share = if uses_existing_cluster() { CLUSTERS } else { 1 };
        blocking(move || POOL.lease(share, Self::is_up, || Self::start_blocking(&ClusterOptions::default()))).await
    }

    /// Starts a control plane. `nodes` are the flags that select the implementation of the nodes.
    pub(crate) fn start_with(nodes: &[OsString], options: &ClusterOptions) -> Result<Self> {
        let cluster = Tool::Cluster(options.version()?).path_blocking()?;
        let supervisor = Supervisor::start(&cluster, nodes, &new_folder()?, options)?;
        Ok(Self {
            kubeconfig: supervisor.ready().kubeconfig.clone(),
            kubectl: (cluster, &["kubectl"]),
            origin: Origin::Started(supervisor),
        })
    }

    fn existing() -> Result<Self> {
        let kubeconfig = env::var_os("KUBECONFIG").filter(|value| !value.is_empty()).ok_or(Error::NoKubeconfig)?;
        let kubectl = env::var_os("KUBEBUILDER_ASSETS").map(|assets| Path::new(&assets).join("kubectl"));
        Ok(Self {
            kubeconfig: kubeconfig.into(),
            kubectl: (kubectl.filter(|path| path.exists()).unwrap_or_else(|| "kubectl".into()), &[]),
            origin: Origin::Existing(tempfile::tempdir().map_err(Error::io("a temporary folder"))?),
        })
    }

    /// Returns the kubeconfig of the administrator.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Returns a folder that is deleted with the cluster.
    pub fn folder(&self) -> &Path {
        match &self.origin {
            Origin::Started(supervisor) => &supervisor.ready().dir,
            Origin::Existing(folder) => folder.path(),
        }
    }

    /// Returns a kubectl command with administrator credentials. Its process is killed when the `Child` is dropped.
    pub fn kubectl(&self) -> tokio::process::Command {
        let (program, args) = &self.kubectl;
        let mut command = tokio::process::Command::new(program);
        command.args(*args).env("KUBECONFIG", &self.kubeconfig).kill_on_drop(true);
        command
    }

    /// Returns the audit log of the apiserver. Fails for an existing cluster.
    pub fn audit(&self) -> Result<AuditLog> {
        match &self.origin {
            Origin::Started(supervisor) => Ok(AuditLog::new(supervisor.ready().audit_log.clone())),
            Origin::Existing(_) => Err(Error::NoAuditLog),
        }
    }

    /// Returns the network of real nodes; `None` for simulated nodes.
    pub(crate) fn network(&self) -> Option<&Network> {
        match &self.origin {
            Origin::Started(supervisor) => supervisor.ready().network.as_ref(),
            Origin::Existing(_) => None,
        }
    }

    /// Returns whether the control plane runs; always `true` for an existing cluster.
    pub fn is_up(&self) -> bool {
        match &self.origin {
            Origin::Started(supervisor) => supervisor.is_up(),
            Origin::Existing(_) => true,
        }
    }

    /// Stops the control plane and waits until nothing is left of it. A drop does the same, but blocks.
    pub async fn shutdown(self) -> Result<()> {
        blocking(move || {
            drop(self);
            Ok(())
        })
        .await
    }
}

fn uses_existing_cluster() -> bool {
    env::var("USE_EXISTING_CLUSTER").is_ok_and(|value| value.eq_ignore_ascii_case("true"))
}

/// Returns the path of a new folder. All of them have the same parent, so that the next start finds those of dead
/// supervisors.
fn new_folder() -> Result<PathBuf> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let name = format!("{}-{}", std::process::id(), since.as_nanos());
    Ok(tools::cache_folder()?.join("clusters").join(name))
}
