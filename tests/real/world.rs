//! A cluster with the manager's installation, and what tests do with it.

use std::{
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use k8s_openapi::{NamespaceResourceScope, api::core::v1::Namespace};
use kube::{
    Api, Client, Resource,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use nats_manager_api::{Nats, NatsStatus};
use nats_manager_harness::{
    NatsVersion, RealCluster, Seen, Tool, eventually,
    real::{RealLease, is_required},
};
use serde_json::{Value, json};

use crate::manager::{Manager, Options};

pub const NAMESPACE: &str = "kyma-system";
pub const NAME: &str = "eventing-nats";

/// How long something may take that containers have to start for: a server is ready 10 s after its start at the
/// earliest, and machines are busy.
pub const SOON: Duration = Duration::from_mins(2);

/// A clean cluster with CRD and RBAC installed, and no manager.
pub struct World<'a> {
    pub cluster: &'a RealCluster,
    pub client: Client,
    pub kubeconfig: PathBuf,
}

/// Runs a test in the network of a clean cluster, one after another. Where there can be no real nodes it says so.
pub fn real(test: impl AsyncFnOnce(&World<'_>) + Send) {
    real_with(&[], test);
}

/// Runs a test as [`real`] does, on nodes that have the images of these NATS servers too.
pub fn real_with(versions: &[NatsVersion], test: impl AsyncFnOnce(&World<'_>) + Send) {
    if let Err(reason) = RealCluster::available()
        && !is_required()
    {
        // Past the capture of test output: nobody is to take this for a test that ran.
        let _ = writeln!(std::io::stderr(), "LEFT OUT: {reason}");
        return;
    }
    // From the cluster's network nothing can be downloaded.
    let servers = versions.iter().copied().map(Tool::NatsServer);
    for tool in servers.chain([Tool::NatsCli]) {
        tool.path_blocking().unwrap();
    }
    let cluster: RealLease = RealCluster::lease().unwrap();
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
    /// Installs what `config/` ships, and removes what an earlier test left.
    async fn new(cluster: &'a RealCluster) -> Self {
        let client = cluster.client("real").await.unwrap();
        let namespace = json!({"metadata": {"name": NAMESPACE}});
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let _ = namespaces.create(&PostParams::default(), &serde_json::from_value(namespace).unwrap()).await;
        for path in ["config/crd", "config/rbac", "config/manager/priority_class.yaml"] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
            let flag = if path.is_dir() { "-k" } else { "-f" };
            kubectl(cluster, &["apply", "--server-side", "--force-conflicts", flag, &path.to_string_lossy()])
                .await
                .unwrap();
        }
        let kubeconfig = cluster.kubeconfig_for(NAMESPACE, "nats-manager").await.unwrap();
        let world = Self { cluster, client, kubeconfig };
        world.clean().await;
        world
    }

    /// The manager with default options, ready.
    pub async fn manager(&self) -> Manager {
        self.manager_with(&Options::default()).await
    }

    /// The manager, ready.
    pub async fn manager_with(&self, options: &Options) -> Manager {
        Manager::spawn(self.cluster, &self.kubeconfig, options).ready().await
    }

    /// Objects of the installation's namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    /// Creates the one NATS resource.
    pub async fn create(&self, spec: Value) -> Nats {
        let nats = json!({
            "apiVersion": "operator.kyma-project.io/v1alpha1",
            "kind": "NATS",
            "metadata": {"name": NAME},
            "spec": spec,
        });
        let apply = PatchParams::apply("user").force();
        self.api::<Nats>().patch(NAME, &apply, &Patch::Apply(&nats)).await.unwrap()
    }

    /// Creates the one NATS resource as a file in `config/samples` has it.
    pub async fn create_sample(&self, name: &str) {
        let path = format!("{}/config/samples/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
        self.kubectl(&["apply", "-f", &path]).await.unwrap();
    }

    /// Merges into the one NATS resource.
    pub async fn patch(&self, patch: Value) -> kube::Result<Nats> {
        self.api::<Nats>().patch(NAME, &PatchParams::default(), &Patch::Merge(patch)).await
    }

    /// Deletes the one NATS resource, not waiting.
    pub async fn delete(&self) {
        self.api::<Nats>().delete(NAME, &DeleteParams::default()).await.unwrap();
    }

    /// Waits until the status is as wanted.
    pub async fn status_becomes(&self, what: &str, wanted: impl Fn(&NatsStatus) -> bool) -> NatsStatus {
        eventually(what, SOON, || async {
            let status = self.api::<Nats>().get(NAME).await?.status.unwrap_or_default();
            Ok::<_, kube::Error>(if wanted(&status) {
                Seen::Done(status)
            } else {
                Seen::NotYet(serde_json::to_string(&status).unwrap_or_default())
            })
        })
        .await
    }

    /// Waits until the state is as wanted.
    pub async fn state_becomes(&self, state: &str) -> NatsStatus {
        self.status_becomes(&format!("state {state}"), |status| status.state == state).await
    }

    /// Waits until the one NATS resource is gone.
    pub async fn gone(&self) {
        eventually("the NATS resource is gone", SOON, || async {
            let nats = self.api::<Nats>().get_opt(NAME).await?;
            Ok::<_, kube::Error>(match nats {
                None => Seen::Done(()),
                Some(nats) => Seen::NotYet(format!("{:?}", nats.status)),
            })
        })
        .await;
    }

    /// kubectl as administrator: its output, or what it said.
    pub async fn kubectl(&self, args: &[&str]) -> Result<String, String> {
        kubectl(self.cluster, args).await
    }

    /// What kubectl prints as administrator, warnings included.
    pub async fn kubectl_says(&self, args: &[&str]) -> String {
        let output = self.cluster.kubectl().args(args).output().await.unwrap();
        [output.stderr, output.stdout].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat()
    }
}

/// Who reads of a test that failed wants to know what there was.
impl Drop for World<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for what in ["nodes", "pods,persistentvolumeclaims,nats", "events"] {
                let args = ["get", what, "-n", NAMESPACE, "-o", "wide"];
                let output = self.cluster.kubectl().into_std().args(args).output();
                let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
                eprintln!("--- {what}\n{}", text.unwrap_or_default());
            }
        }
    }
}

async fn kubectl(cluster: &RealCluster, args: &[&str]) -> Result<String, String> {
    let output = cluster.kubectl().args(args).output().await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}
