//! Cluster whose nodes run containers: real containerd and kubelets, in a network of their own, without Docker.

mod available;
mod control;
mod image;
mod network;

use std::{ffi::OsString, ops::Deref, sync::LazyLock};

pub use available::{PACKAGES, Unavailable, is_required};
pub(crate) use network::Network;

use crate::{
    cluster::{ClusterOptions, LocalCluster},
    error::{Error, Result, blocking},
    pool::{Lease, Pool},
    tools::Tool,
    version::{KubernetesVersion, NatsVersion},
};

/// Maximum number of clusters of one test process. A test mostly waits, for probes and grace periods of Kubernetes, so
/// two processors can serve three of them.
pub const CLUSTERS: usize = 3;

static POOL: Pool<RealCluster> = Pool::new(CLUSTERS);

/// Names of the images that every node has. Nodes cannot pull other images.
#[derive(Debug, Clone, Copy)]
pub struct Images {
    /// Real NATS server.
    pub nats: &'static str,
    /// Stand-in that sends SIGHUP when the configuration changes.
    pub config_reloader: &'static str,
    /// Stand-in that serves `/metrics`.
    pub exporter: &'static str,
}

/// Images that every node has.
///
/// The NATS server has the version of this test run. [`RealCluster::load_nats_server`] loads other versions.
pub static IMAGES: LazyLock<Images> = LazyLock::new(|| Images {
    // A cluster does not start with an unknown version.
    nats: NatsVersion::selected().unwrap_or_default().image(),
    config_reloader: "nats-server.example/config-reloader:stand-in",
    exporter: "nats-server.example/exporter:stand-in",
});

/// [`LocalCluster`] with three real nodes, node-a to node-c in zone-a to zone-c.
///
/// The apiserver listens on loopback of a network namespace. Its clients must run in that namespace: tests with
/// [`RealCluster::block_on`], other processes with [`RealCluster::enter`]. The cluster ends when the value is dropped,
/// and with the process, however that ends.
#[derive(Debug)]
pub struct RealCluster {
    cluster: LocalCluster,
    network: Network,
}

impl RealCluster {
    /// Starts a cluster, which takes about 8 s once its programs are built. Call it from outside of the network of
    /// another cluster: builds download their sources.
    pub async fn start(options: ClusterOptions) -> Result<Self> {
        blocking(move || Self::start_blocking(&options)).await
    }

    /// Starts a cluster like [`RealCluster::start`], for callers without a runtime.
    pub fn start_blocking(options: &ClusterOptions) -> Result<Self> {
        Self::available()?;
        let nats = NatsVersion::selected()?;
        let mut server = OsString::from(format!("{nats}="));
        server.push(Tool::NatsServer(nats).path_blocking()?);
        let mut flags = vec!["--real".into(), "--nats-server".into(), server];
        let mut tools = vec![("--coredns", Tool::CoreDns), ("--stand-in", Tool::StandIn)];
        if options.version()? != KubernetesVersion::default() {
            tools.push(("--node-binary", Tool::Cluster(KubernetesVersion::default())));
        }
        for (flag, tool) in tools {
            flags.extend([flag.into(), tool.path_blocking()?.into()]);
        }
        let cluster = LocalCluster::start_with(&flags, options)?;
        let network = cluster.network().cloned();
        let network = network.ok_or_else(|| Error::Cluster("it announced no network".to_owned()))?;
        Ok(Self { cluster, network })
    }

    /// Leases one of up to [`CLUSTERS`] clusters of this process, which start on first use. Waits while all are in use.
    /// Blocks: do not call it in a runtime.
    pub fn lease() -> Result<Lease<Self>> {
        POOL.lease(1, |cluster| cluster.is_up(), || Self::start_blocking(&ClusterOptions::default()))
    }

    /// Stops the cluster and waits until nothing is left of it. A drop does the same, but blocks.
    pub async fn shutdown(self) -> Result<()> {
        self.cluster.shutdown().await
    }
}

impl Deref for RealCluster {
    type Target = LocalCluster;

    fn deref(&self) -> &LocalCluster {
        &self.cluster
    }
}
