//! A control plane for tests: etcd, kube-apiserver, controllers and scheduler for real, nodes and kubelets played.

mod access;
mod lease;
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
    real::Network,
    tools::{self, Tool},
    version::KubernetesVersion,
};
pub use lease::Lease;
use supervisor::Supervisor;

/// How the control plane is to be.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// Nodes, by the names node-a, node-b, ...
    pub nodes: u8,
    /// Zones, by the names zone-a, zone-b, ...; the nodes are in them by turns.
    pub zones: u8,
    /// More flags for kube-apiserver.
    pub apiserver_args: Vec<String>,
    /// The version of the control plane; the one of this test run ([`KubernetesVersion::selected`]) if there is none.
    pub kubernetes: Option<KubernetesVersion>,
    /// Leave the logs and the data behind. The default is whether `NATS_MANAGER_KEEP_CLUSTER` is set.
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

/// A Kubernetes control plane, up until it is dropped, or an existing cluster that `USE_EXISTING_CLUSTER=true` and
/// `KUBECONFIG` name, as envtest has it.
#[derive(Debug)]
pub struct LocalCluster {
    kubeconfig: PathBuf,
    kubectl: (PathBuf, &'static [&'static str]),
    origin: Origin,
}

#[derive(Debug)]
enum Origin {
    Started(Supervisor),
    /// Kubeconfigs that are made for it need a place.
    Existing(TempDir),
}

impl LocalCluster {
    /// Starts a control plane, which takes some 4 seconds once its programs are built.
    pub async fn start(options: ClusterOptions) -> Result<Self> {
        blocking(move || Self::start_blocking(&options)).await
    }

    fn start_blocking(options: &ClusterOptions) -> Result<Self> {
        if uses_existing_cluster() {
            return Self::existing();
        }
        Self::start_with(&["--kwok".into(), Tool::Kwok.path_blocking()?.into()], options)
    }

    /// Starts a control plane; `nodes` are the flags that say what plays the nodes.
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

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// A folder that goes with the cluster.
    pub fn folder(&self) -> &Path {
        match &self.origin {
            Origin::Started(supervisor) => &supervisor.ready().dir,
            Origin::Existing(folder) => folder.path(),
        }
    }

    /// kubectl, as administrator. The process ends with the value.
    pub fn kubectl(&self) -> tokio::process::Command {
        let (program, args) = &self.kubectl;
        let mut command = tokio::process::Command::new(program);
        command.args(*args).env("KUBECONFIG", &self.kubeconfig).kill_on_drop(true);
        command
    }

    /// What the apiserver was asked.
    pub fn audit(&self) -> Result<AuditLog> {
        match &self.origin {
            Origin::Started(supervisor) => Ok(AuditLog::new(supervisor.ready().audit_log.clone())),
            Origin::Existing(_) => Err(Error::NoAuditLog),
        }
    }

    /// The network of real nodes, where there are such.
    pub(crate) fn network(&self) -> Option<&Network> {
        match &self.origin {
            Origin::Started(supervisor) => supervisor.ready().network.as_ref(),
            Origin::Existing(_) => None,
        }
    }

    /// Whether the control plane is still up; nobody asks that of an existing cluster.
    pub fn is_up(&self) -> bool {
        match &self.origin {
            Origin::Started(supervisor) => supervisor.is_up(),
            Origin::Existing(_) => true,
        }
    }

    /// Takes the control plane down and waits until nothing is left of it. Dropping it does the same, but blocks.
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

/// A folder that is not there yet. All are side by side, so that the next start finds those of dead supervisors.
fn new_folder() -> Result<PathBuf> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let name = format!("{}-{}", std::process::id(), since.as_nanos());
    Ok(tools::cache_folder()?.join("clusters").join(name))
}
