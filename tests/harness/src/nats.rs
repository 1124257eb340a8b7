//! Real NATS server with JetStream, on loopback.

use std::{
    path::{Path, PathBuf},
    process::Child,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    error::{Error, Result, blocking},
    free_address::free_address,
    hold::held,
    tools::Tool,
    version::NatsVersion,
};

const START_TIMEOUT: Duration = Duration::from_secs(20);
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(20);

/// Configuration of a NATS server.
#[derive(Debug, Clone, Default)]
pub struct NatsOptions {
    /// Additional configuration in the syntax of `nats.conf`.
    pub config: String,
    /// Client port; `None` for a free one.
    pub port: Option<u16>,
    /// Server version; `None` for the version of this test run ([`NatsVersion::selected`]).
    pub version: Option<NatsVersion>,
    /// `JetStream` storage folder; `None` for a temporary one that is deleted with the [`NatsServer`].
    pub store: Option<PathBuf>,
}

/// NATS server, killed when dropped. Its data survives [`NatsServer::stop`].
#[derive(Debug)]
pub struct NatsServer {
    options: NatsOptions,
    folder: TempDir,
    running: Option<Running>,
    ports: Ports,
}

#[derive(Debug)]
struct Running(Child);

#[derive(Debug, Clone, Copy)]
struct Ports {
    client: u16,
    monitor: u16,
}

impl NatsServer {
    /// Starts a server and waits until `JetStream` is ready.
    pub async fn start(options: NatsOptions) -> Result<Self> {
        let folder = tempfile::tempdir().map_err(Error::io("a temporary folder"))?;
        let free_port = || free_address().map(|address| address.port()).map_err(Error::io("a free port"));
        let client = options.port.map_or_else(free_port, Ok)?;
        let ports = Ports { client, monitor: free_port()? };
        let mut server = Self { options, folder, running: None, ports };
        server.start_again().await?;
        Ok(server)
    }

    /// Starts a stopped server again, on the same ports and with the same data.
    pub async fn start_again(&mut self) -> Result<()> {
        self.kill();
        let version = self.options.version.map_or_else(NatsVersion::selected, Ok)?;
        let program = Tool::NatsServer(version).path().await?;
        let config = self.folder.path().join("nats.conf");
        std::fs::write(&config, self.config_text()).map_err(Error::io(config.display()))?;
        let log = std::fs::File::create(self.log()).map_err(Error::io("the server's log"))?;
        let child = held(&program)
            .arg("--config")
            .arg(&config)
            .stdout(log.try_clone().map_err(Error::io("the server's log"))?)
            .stderr(log)
            .spawn()
            .map_err(Error::io(program.display()))?;
        let started = Instant::now();
        let running = self.running.insert(Running(child));
        loop {
            if is_healthy(self.ports.monitor).await {
                return Ok(());
            }
            let exited = !matches!(running.0.try_wait(), Ok(None));
            if exited || started.elapsed() > START_TIMEOUT {
                self.kill();
                return Err(Error::Nats(std::fs::read_to_string(self.log()).unwrap_or_default()));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Stops the server with SIGINT. Kills it if it has not stopped within 10 s.
    pub async fn stop(&mut self) -> Result<()> {
        let Some(mut running) = self.running.take() else { return Ok(()) };
        blocking(move || {
            running.interrupt();
            let interrupted = Instant::now();
            while interrupted.elapsed() < STOP_TIMEOUT && matches!(running.0.try_wait(), Ok(None)) {
                std::thread::sleep(POLL);
            }
            Ok(()) // the drop kills a process that still runs
        })
        .await
    }

    /// Kills the server with SIGKILL, as a crash does.
    pub fn kill(&mut self) {
        self.running = None;
    }

    /// Returns the URL for clients.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.ports.client)
    }

    /// Returns the base URL of the monitoring port (`/healthz`, `/jsz`, ...).
    pub fn monitor_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.monitor)
    }

    /// Returns the `JetStream` storage folder.
    pub fn store(&self) -> PathBuf {
        self.options.store.clone().unwrap_or_else(|| self.folder.path().join("store"))
    }

    /// Returns the log file of the last start.
    pub fn log(&self) -> PathBuf {
        self.folder.path().join("nats.log")
    }

    fn config_text(&self) -> String {
        format!(
            "listen: \"127.0.0.1:{}\"\nhttp: \"127.0.0.1:{}\"\njetstream {{ store_dir: {} }}\n{}\n",
            self.ports.client,
            self.ports.monitor,
            quoted(&self.store()),
            self.options.config,
        )
    }
}

impl Running {
    fn interrupt(&self) {
        let pid = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _ = kill_process(pid, Signal::INT);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Returns a path in quotes. The syntax of `nats.conf` accepts JSON strings.
fn quoted(path: &Path) -> String {
    serde_json::Value::from(path.to_string_lossy()).to_string()
}

async fn is_healthy(port: u16) -> bool {
    let request = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").await?;
        let mut response = String::new();
        stream.read_to_string(&mut response).await?;
        std::io::Result::Ok(response)
    };
    request.await.is_ok_and(|response| response.lines().next().is_some_and(|status| status.ends_with("200 OK")))
}
