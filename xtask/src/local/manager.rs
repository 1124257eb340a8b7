//! The manager as a local process, with the arguments and the environment of its Deployment.

use std::{
    fs, io,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use k8s_openapi::api::apps::v1::Deployment;
use nats_manager_harness::real::IMAGES;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Child;

use super::{DemoCluster, NAMESPACE, probe};
use crate::workspace;

/// Running manager process; killed when dropped.
#[derive(Debug)]
pub(crate) struct Manager {
    child: Child,
    log: PathBuf,
    metrics: u16,
    probes: u16,
    started: Instant,
}

/// Resident memory, in KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Memory {
    /// Total.
    pub(crate) resident: u32,
    /// Heap and stacks.
    pub(crate) own: u32,
    /// Pages of the program and its libraries, which the kernel can reclaim.
    pub(crate) files: u32,
}

/// Environment of a manager that runs outside of a Pod.
#[derive(Debug, Clone, Copy)]
pub(super) struct ManagerEnvironment<'a> {
    /// Cluster with a folder for the log and, if its nodes are real, with a network of its own.
    pub(super) cluster: &'a DemoCluster,
    pub(super) kubeconfig: &'a Path,
    /// URL of NATS if it runs outside of the cluster.
    pub(super) nats_url: Option<&'a str>,
    /// The apiserver runs on this machine and can call the webhook on loopback.
    pub(super) is_apiserver_local: bool,
}

/// Failure of the manager process.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ManagerError {
    /// Failed start.
    #[error("cannot start the manager: {0}")]
    Start(#[from] io::Error),
    /// Unreadable Deployment.
    #[error("{DEPLOYMENT}: {0}")]
    Deployment(#[from] Box<serde_saphyr::Error>),
    /// Unexpected end of the process.
    #[error("the manager ended ({status}); the end of its log:\n{log}")]
    Ended {
        /// Exit status.
        status: ExitStatus,
        /// End of the log.
        log: String,
    },
    /// Process that did not become ready in time.
    #[error("the manager was not ready within {} s; /readyz: {seen}; the end of its log:\n{log}", within.as_secs())]
    NotReady {
        /// Limit of the wait.
        within: Duration,
        /// Last response of `/readyz`.
        seen: String,
        /// End of the log.
        log: String,
    },
}

const DEPLOYMENT: &str = "config/manager/deployment.yaml";
const READY_POLL: Duration = Duration::from_millis(2);
const STOP_LIMIT: Duration = Duration::from_secs(10);
const LOG_LINES: usize = 20;

impl Manager {
    /// Starts the process without waiting for readiness.
    pub(super) fn start(program: &Path, environment: &ManagerEnvironment<'_>) -> Result<Self, ManagerError> {
        let deployment: Deployment =
            serde_saphyr::from_str(&fs::read_to_string(workspace::path(DEPLOYMENT))?).map_err(Box::new)?;
        let (args, env) = container(&deployment);
        let (metrics, probes) = (free_port()?, free_port()?);
        let webhook = if environment.is_apiserver_local { webhook_on(free_port()?) } else { webhook_off() };
        let log = environment.cluster.folder().join("nats-manager.log");
        let output = fs::OpenOptions::new().create(true).append(true).open(&log)?;
        let mut command = environment.cluster.command(program);
        command
            .args(args)
            .arg(format!("--metrics-bind-address=127.0.0.1:{metrics}"))
            .arg(format!("--health-probe-bind-address=127.0.0.1:{probes}"))
            .args(environment.nats_url.map(|url| format!("--nats-url={url}")))
            .args(webhook)
            .env_clear()
            .envs(env)
            .envs(environment.cluster.real().map(|_| images()).into_iter().flatten())
            .env("POD_NAME", format!("local-{probes}"))
            .env("POD_NAMESPACE", NAMESPACE)
            .env("KUBECONFIG", environment.kubeconfig)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            // Ctrl-C on the terminal must not reach the manager: it has to run until its resource is deleted.
            .process_group(0)
            .kill_on_drop(true);
        let started = Instant::now();
        Ok(Self { child: command.spawn()?, log, metrics, probes, started })
    }

    /// Waits until the manager is ready, and returns the time since its start.
    pub(crate) async fn ready(&mut self, within: Duration) -> Result<Duration, ManagerError> {
        loop {
            let Err(seen) = probe::get(self.probes, "/readyz").await else { return Ok(self.started.elapsed()) };
            self.check_running()?;
            if self.started.elapsed() > within {
                return Err(ManagerError::NotReady { within, seen, log: self.log_tail() });
            }
            tokio::time::sleep(READY_POLL).await;
        }
    }

    /// Fails if the process has ended.
    pub(crate) fn check_running(&mut self) -> Result<(), ManagerError> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(ManagerError::Ended { status, log: self.log_tail() }),
        }
    }

    /// Reads resident memory from `/proc`. Returns `None` on systems other than Linux.
    pub(crate) fn memory(&self) -> Option<Memory> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()?)).ok()?;
        let kibibytes = |field: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(field))?;
            line.split_whitespace().next()?.parse().ok()
        };
        Some(Memory { resident: kibibytes("VmRSS:")?, own: kibibytes("RssAnon:")?, files: kibibytes("RssFile:")? })
    }

    /// Returns the path of the log.
    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// Returns the URL of the metrics.
    pub(crate) fn metrics_url(&self) -> String {
        format!("http://127.0.0.1:{}/metrics", self.metrics)
    }

    /// Sends SIGTERM, and kills the process if it has not ended after 10 s.
    pub(crate) async fn stop(mut self) {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // The signal fails if the process has just ended.
            let _ = kill_process(pid, Signal::TERM);
        }
        if tokio::time::timeout(STOP_LIMIT, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
    }

    /// Returns the last 20 lines of the log.
    pub(crate) fn log_tail(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }
}

/// Returns the images that real nodes have, in place of those in the Deployment.
fn images() -> [(&'static str, &'static str); 3] {
    [
        ("NATS_IMAGE", IMAGES.nats),
        ("NATS_SERVER_CONFIG_RELOADER_IMAGE", IMAGES.config_reloader),
        ("PROMETHEUS_NATS_EXPORTER_IMAGE", IMAGES.exporter),
    ]
}

/// Returns the arguments of a webhook that the apiserver calls by address: no Service leads out of the cluster.
fn webhook_on(port: u16) -> Vec<String> {
    vec![format!("--webhook-bind-address=127.0.0.1:{port}"), format!("--webhook-url=https://127.0.0.1:{port}")]
}

fn webhook_off() -> Vec<String> {
    vec!["--webhook-bind-address=0".to_owned()]
}

/// Returns arguments and environment of the manager's container, without variables that the cluster fills in.
fn container(deployment: &Deployment) -> (Vec<String>, Vec<(String, String)>) {
    let pod = deployment.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
    let Some(container) = pod.and_then(|pod| pod.containers.first()) else { return (Vec::new(), Vec::new()) };
    let env = container.env.iter().flatten();
    let env = env.filter_map(|variable| Some((variable.name.clone(), variable.value.clone()?)));
    (container.args.clone().unwrap_or_default(), env.collect())
}

/// Returns a TCP port that is free at the time of the call.
fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
