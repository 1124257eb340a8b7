//! The manager as a process in the network of the nodes, where the same addresses are reachable as in a Pod.

use std::{collections::BTreeMap, path::Path};

use nats_manager_harness::{NatsVersion, RealCluster, free_address, held, real::IMAGES};
use tokio::process::Command;

pub use nats_manager_harness::ManagerProcess;

/// Arguments and environment of a manager process.
pub struct ManagerOptions {
    pub args: Vec<String>,
    pub env: BTreeMap<String, String>,
    /// Webhook server with a registration at the apiserver.
    pub webhook: bool,
}

impl Default for ManagerOptions {
    fn default() -> Self {
        let env = [
            ("LOG_LEVEL", "debug"),
            ("NATS_IMAGE", IMAGES.nats),
            ("NATS_SERVER_CONFIG_RELOADER_IMAGE", IMAGES.config_reloader),
            ("PROMETHEUS_NATS_EXPORTER_IMAGE", IMAGES.exporter),
        ];
        let env = env.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        Self { args: Vec::new(), env, webhook: false }
    }
}

impl ManagerOptions {
    /// Returns options of a manager whose servers are of this version.
    pub fn with_nats(version: NatsVersion) -> Self {
        let mut options = Self::default();
        options.env.insert("NATS_IMAGE".to_owned(), version.image().to_owned());
        options
    }

    /// Starts the process without waiting for readiness. It ends with the tests, however those end.
    pub fn spawn(&self, cluster: &RealCluster, kubeconfig: &Path) -> ManagerProcess {
        let webhook = if self.webhook {
            let address = free_address().unwrap();
            vec![format!("--webhook-bind-address={address}"), format!("--webhook-url=https://{address}")]
        } else {
            vec!["--webhook-bind-address=0".to_owned()]
        };
        let entered = cluster.enter(env!("CARGO_BIN_EXE_nats-manager"));
        let mut command = Command::from(held(Path::new(entered.get_program())));
        command
            .args(entered.get_args())
            .args(webhook)
            .args(&self.args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .envs(&self.env)
            .env("KUBECONFIG", kubeconfig);
        ManagerProcess::spawn(command, cluster.folder()).unwrap()
    }
}
