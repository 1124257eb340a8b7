//! The manager as a process in the network of the nodes, where it reaches what it reaches in a pod.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    time::Duration,
};

use nats_manager_harness::{NatsVersion, RealCluster, eventually, held, real::IMAGES};
use tokio::process::{Child, ChildStdin, Command};

use crate::http;

const READY: Duration = Duration::from_secs(30);
const ENDED: Duration = Duration::from_secs(30);
const LOG_LINES: usize = 40;

/// How the manager is started.
pub struct Options {
    pub args: Vec<String>,
    pub env: BTreeMap<String, String>,
    /// Whether the apiserver asks its webhook.
    pub webhook: bool,
}

/// A running manager; killed when dropped, with the end of its log printed if the test fails.
pub struct Manager {
    child: Child,
    /// It ends when nobody holds this, so with the tests in whatever way.
    _hold: Option<ChildStdin>,
    log: PathBuf,
    pub metrics: SocketAddr,
    pub probes: SocketAddr,
}

impl Default for Options {
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

impl Options {
    /// Returns options of a manager whose servers are of this version.
    pub fn with_nats(version: NatsVersion) -> Self {
        let mut options = Self::default();
        options.env.insert("NATS_IMAGE".to_owned(), version.image().to_owned());
        options
    }
}

impl Manager {
    /// Starts it, not waiting for anything.
    pub fn spawn(cluster: &RealCluster, kubeconfig: &Path, options: &Options) -> Self {
        let (metrics, probes) = (free_address(), free_address());
        let webhook = if options.webhook {
            let address = free_address();
            vec![format!("--webhook-bind-address={address}"), format!("--webhook-url=https://{address}")]
        } else {
            vec!["--webhook-bind-address=0".to_owned()]
        };
        let log = cluster.folder().join(format!("manager-{}.log", probes.port()));
        let output = std::fs::File::create(&log).unwrap();
        let entered = cluster.enter(env!("CARGO_BIN_EXE_nats-manager"));
        let mut child = Command::from(held(Path::new(entered.get_program())))
            .args(entered.get_args())
            .args([format!("--metrics-bind-address={metrics}"), format!("--health-probe-bind-address={probes}")])
            .args(webhook)
            .args(&options.args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .envs(&options.env)
            .env("KUBECONFIG", kubeconfig)
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let hold = child.stdin.take();
        Self { child, _hold: hold, log, metrics, probes }
    }

    /// Waits until it says that it is ready.
    pub async fn ready(self) -> Self {
        eventually("the manager is ready", READY, || async {
            match http::get(self.probes, "/readyz").await {
                Some((200, _)) => Ok(true),
                other => Err(format!("{other:?}; log: {}", self.log_tail())),
            }
        })
        .await;
        self
    }

    /// The value of a metric, by its name with labels.
    pub async fn metric(&self, name: &str) -> Option<f64> {
        let (_, text) = http::get(self.metrics, "/metrics").await?;
        text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    }

    /// Everything it logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Sends SIGTERM and waits; the exit code.
    pub async fn terminate(mut self) -> Option<i32> {
        let pid = self.child.id().unwrap().to_string();
        Command::new("kill").args(["-TERM", &pid]).status().await.unwrap();
        tokio::time::timeout(ENDED, self.child.wait()).await.unwrap().unwrap().code()
    }

    /// Kills it without notice.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the end of the manager's log\n{}", self.log_tail());
        }
    }
}

/// On loopback of the network that this thread is in.
fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}
