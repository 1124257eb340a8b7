//! Arguments and environment of the manager's process.

use std::{collections::BTreeMap, path::Path, process::Stdio};

pub use nats_manager_harness::{ManagerProcess, free_address, http_get};
use tokio::process::Command;

/// URL without a listener: JetStream is unreachable.
pub const UNREACHABLE_NATS: &str = "nats://127.0.0.1:1";

/// Arguments and environment of a manager process.
pub struct ManagerOptions {
    pub args: Vec<String>,
    pub env: BTreeMap<String, String>,
    pub nats_url: String,
}

impl Default for ManagerOptions {
    fn default() -> Self {
        let env = [
            ("LOG_LEVEL", "debug"),
            ("NATS_IMAGE", "nats-server.example/nats:2.14.2"),
            ("NATS_SERVER_CONFIG_RELOADER_IMAGE", "nats-server.example/config-reloader:0.23.0"),
            ("PROMETHEUS_NATS_EXPORTER_IMAGE", "nats-server.example/exporter:0.20.1"),
        ];
        Self {
            // Only the tests of the webhook enable it.
            args: vec!["--webhook-bind-address=0".to_owned()],
            env: env.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
            nats_url: UNREACHABLE_NATS.to_owned(),
        }
    }
}

impl ManagerOptions {
    /// Starts the process without waiting for readiness.
    pub fn spawn(&self, kubeconfig: &Path, folder: &Path) -> ManagerProcess {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nats-manager"));
        command
            .arg(format!("--nats-url={}", self.nats_url))
            .args(&self.args)
            .env_clear()
            .envs(&self.env)
            .env("KUBECONFIG", kubeconfig)
            .stdin(Stdio::null());
        ManagerProcess::spawn(command, folder).unwrap()
    }
}
