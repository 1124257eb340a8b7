//! The manager as a process.

use std::{
    collections::BTreeMap,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use nats_manager_harness::eventually;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::{Child, Command},
};

/// Nothing listens there: JetStream cannot be asked.
pub const NO_NATS: &str = "nats://127.0.0.1:1";

/// How the manager is started.
pub struct Options {
    pub args: Vec<String>,
    pub env: BTreeMap<String, String>,
    pub nats_url: String,
}

/// A running manager; killed when dropped, with the end of its log printed if the test fails.
pub struct Manager {
    child: Child,
    log: PathBuf,
    pub metrics_port: u16,
    pub probes_port: u16,
}

impl Default for Options {
    fn default() -> Self {
        let env = [
            ("LOG_LEVEL", "debug"),
            ("NATS_IMAGE", "nats-server.example/nats:2.14.2"),
            ("NATS_SERVER_CONFIG_RELOADER_IMAGE", "nats-server.example/config-reloader:0.23.0"),
            ("PROMETHEUS_NATS_EXPORTER_IMAGE", "nats-server.example/exporter:0.20.1"),
        ];
        Self {
            // Its tests turn the webhook on.
            args: vec!["--webhook-bind-address=0".to_owned()],
            env: env.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
            nats_url: NO_NATS.to_owned(),
        }
    }
}

impl Manager {
    /// Starts it, not waiting for anything.
    pub fn spawn(kubeconfig: &Path, folder: &Path, options: &Options) -> Self {
        let (metrics_port, probes_port) = (free_port(), free_port());
        let log = folder.join(format!("manager-{probes_port}.log"));
        let output = std::fs::File::create(&log).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_nats-manager"))
            .args([
                format!("--metrics-bind-address=127.0.0.1:{metrics_port}"),
                format!("--health-probe-bind-address=127.0.0.1:{probes_port}"),
                format!("--nats-url={}", options.nats_url),
            ])
            .args(&options.args)
            .env_clear()
            .envs(&options.env)
            .env("KUBECONFIG", kubeconfig)
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self { child, log, metrics_port, probes_port }
    }

    /// Waits until it says that it is ready.
    pub async fn ready(self) -> Self {
        eventually("the manager is ready", Duration::from_secs(20), || async {
            match get(self.probes_port, "/readyz").await {
                Some((200, _)) => Ok(true),
                other => Err(format!("{other:?}; log: {}", self.log_tail())),
            }
        })
        .await;
        self
    }

    /// `/readyz` as it is now.
    pub async fn readyz(&self) -> Option<(u16, String)> {
        get(self.probes_port, "/readyz?verbose").await
    }

    /// The value of a metric, by its name with labels.
    pub async fn metric(&self, name: &str) -> Option<f64> {
        let (_, text) = get(self.metrics_port, "/metrics").await?;
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
        tokio::time::timeout(Duration::from_secs(30), self.child.wait()).await.unwrap().unwrap().code()
    }

    /// Waits until it ends by itself; the exit code, and the log.
    pub async fn ended(mut self) -> (Option<i32>, String) {
        let status = tokio::time::timeout(Duration::from_secs(30), self.child.wait()).await.unwrap().unwrap();
        (status.code(), self.log())
    }

    /// Kills it without notice.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the end of the manager's log\n{}", self.log_tail());
        }
    }
}

/// A GET on loopback: status and body.
pub async fn get(port: u16, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split_whitespace().nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
