//! Cluster with CRD and RBAC of the manager, and the operations of tests on it.

use std::{io::Write, ops::Deref, time::Duration};

use nats_manager_harness::{Installation, Lease, ManagerProcess, NatsVersion, RealCluster, Tool, real::is_required};

use crate::manager::ManagerOptions;

pub use nats_manager_harness::installation::{NAME, NAMESPACE};

/// Timeout of a step in which containers start. A server is ready 10 s after its start at the earliest, and machines
/// can be busy.
pub const SOON: Duration = Duration::from_mins(2);

/// Clean cluster with CRD and RBAC installed, without a manager.
pub struct World<'a> {
    pub cluster: &'a RealCluster,
    installation: Installation,
}

impl Deref for World<'_> {
    type Target = Installation;

    fn deref(&self) -> &Installation {
        &self.installation
    }
}

/// Runs a test in the network of a clean cluster. On a machine that cannot have real nodes it prints the reason and skips
/// the test, or fails if `NATS_MANAGER_REAL=required`.
pub fn real(test: impl AsyncFnOnce(&World<'_>) + Send) {
    real_with(&[], test);
}

/// Runs a test as [`real`] does, on nodes that also have the images of these NATS servers.
pub fn real_with(versions: &[NatsVersion], test: impl AsyncFnOnce(&World<'_>) + Send) {
    if let Err(reason) = RealCluster::available()
        && !is_required()
    {
        // Written to stderr directly, since the capture of test output would hide that the test did not run.
        let _ = writeln!(std::io::stderr(), "LEFT OUT: {reason}");
        return;
    }
    // Downloads are not possible in the network of the cluster.
    let servers = versions.iter().copied().map(Tool::NatsServer);
    for tool in servers.chain([Tool::NatsCli]) {
        tool.path_blocking().unwrap();
    }
    let cluster: Lease<RealCluster> = RealCluster::lease().unwrap();
    cluster
        .block_on(async || {
            for version in versions {
                cluster.load_nats_server(*version).await.unwrap();
            }
            let world = World::new(&cluster).await;
            test(&world).await;
        })
        .unwrap();
}

impl<'a> World<'a> {
    /// Installs the manager without its Deployment, and removes what an earlier test left.
    async fn new(cluster: &'a RealCluster) -> Self {
        let installation = Installation::new(cluster, "real", SOON).await.unwrap();
        let world = Self { cluster, installation };
        world.clean().await;
        world
    }

    /// Starts a manager with default options and waits until it is ready.
    pub async fn manager(&self) -> ManagerProcess {
        self.manager_with(&ManagerOptions::default()).await
    }

    /// Starts a manager and waits until it is ready.
    pub async fn manager_with(&self, options: &ManagerOptions) -> ManagerProcess {
        options.spawn(self.cluster, &self.kubeconfig).ready().await
    }

    /// Applies the NATS resource of a file in `config/samples`.
    pub async fn create_sample(&self, name: &str) {
        let path = format!("{}/config/samples/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
        self.kubectl(&["apply", "-f", &path]).await.unwrap();
    }

    /// Runs kubectl as administrator. Returns its standard output, or its standard error if it fails.
    pub async fn kubectl(&self, args: &[&str]) -> Result<String, String> {
        self.cluster.run_kubectl(args, "").await.unwrap().into_result()
    }

    /// Runs kubectl as administrator. Returns standard error, which has the warnings, and standard output.
    pub async fn kubectl_with_warnings(&self, args: &[&str]) -> String {
        let output = self.cluster.kubectl().args(args).output().await.unwrap();
        [output.stderr, output.stdout].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat()
    }
}

/// Prints nodes, Pods, PVCs, the NATS resource and events after a failed test.
impl Drop for World<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for kinds in ["nodes", "pods,persistentvolumeclaims,nats", "events"] {
                let args = ["get", kinds, "-n", NAMESPACE, "-o", "wide"];
                let output = self.cluster.kubectl().into_std().args(args).output();
                let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
                eprintln!("--- {kinds}\n{}", text.unwrap_or_default());
            }
        }
    }
}
