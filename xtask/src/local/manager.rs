//! The manager as a process, started as its Deployment says.

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

/// A running manager. It is killed when it is dropped.
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
    /// All of it.
    pub(crate) resident: u32,
    /// Heap and stacks.
    pub(crate) own: u32,
    /// Pages of the program and its libraries, which the kernel can take back.
    pub(crate) files: u32,
}

/// What a manager outside of a pod has to be told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Surroundings<'a> {
    /// Has a folder for its log, and a network that it may have to be in.
    pub(super) cluster: &'a DemoCluster,
    pub(super) kubeconfig: &'a Path,
    /// Where NATS is, when that is not in the cluster.
    pub(super) nats_url: Option<&'a str>,
    /// Whether the apiserver is on this machine, and can call the webhook here.
    pub(super) has_near_apiserver: bool,
}

/// It does not run as it should.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ManagerError {
    /// It cannot be started.
    #[error("cannot start the manager: {0}")]
    Start(#[from] io::Error),
    /// The Deployment cannot be read.
    #[error("{DEPLOYMENT}: {0}")]
    Deployment(#[from] Box<serde_saphyr::Error>),
    /// It ended by itself.
    #[error("the manager ended ({status}); the end of its log:\n{log}")]
    Ended {
        /// How.
        status: ExitStatus,
        /// Its last words.
        log: String,
    },
    /// It does not become ready.
    #[error("the manager was not ready within {} s; /readyz: {seen}; the end of its log:\n{log}", within.as_secs())]
    NotReady {
        /// How long it had.
        within: Duration,
        /// What the probe said last.
        seen: String,
        /// Its last words.
        log: String,
    },
}

const DEPLOYMENT: &str = "config/manager/deployment.yaml";
const READY_POLL: Duration = Duration::from_millis(2);
const STOP_LIMIT: Duration = Duration::from_secs(10);
const LOG_LINES: usize = 20;

impl Manager {
    pub(super) fn start(program: &Path, around: &Surroundings<'_>) -> Result<Self, ManagerError> {
        let deployment: Deployment =
            serde_saphyr::from_str(&fs::read_to_string(workspace::path(DEPLOYMENT))?).map_err(Box::new)?;
        let (args, env) = container(&deployment);
        let (metrics, probes) = (free_port()?, free_port()?);
        let webhook = if around.has_near_apiserver { webhook_on(free_port()?) } else { webhook_off() };
        let log = around.cluster.folder().join("nats-manager.log");
        let output = fs::OpenOptions::new().create(true).append(true).open(&log)?;
        let mut command = around.cluster.command(program);
        command
            .args(args)
            .arg(format!("--metrics-bind-address=127.0.0.1:{metrics}"))
            .arg(format!("--health-probe-bind-address=127.0.0.1:{probes}"))
            .args(around.nats_url.map(|url| format!("--nats-url={url}")))
            .args(webhook)
            .env_clear()
            .envs(env)
            .envs(around.cluster.real().map(|_| images()).into_iter().flatten())
            .env("POD_NAME", format!("local-{probes}"))
            .env("POD_NAMESPACE", NAMESPACE)
            .env("KUBECONFIG", around.kubeconfig)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            // Ctrl-C on the terminal is ours to handle: the manager has to live until its resource is gone.
            .process_group(0)
            .kill_on_drop(true);
        let started = Instant::now();
        Ok(Self { child: command.spawn()?, log, metrics, probes, started })
    }

    /// Waits until its caches are filled; how long that took from its start.
    pub(crate) async fn ready(&mut self, within: Duration) -> Result<Duration, ManagerError> {
        loop {
            let Err(seen) = probe::get(self.probes, "/readyz").await else { return Ok(self.started.elapsed()) };
            self.is_running()?;
            if self.started.elapsed() > within {
                return Err(ManagerError::NotReady { within, seen, log: self.log_tail() });
            }
            tokio::time::sleep(READY_POLL).await;
        }
    }

    /// Fails when it ended.
    pub(crate) fn is_running(&mut self) -> Result<(), ManagerError> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(ManagerError::Ended { status, log: self.log_tail() }),
        }
    }

    /// Resident memory, as the kernel counts it; only Linux tells.
    pub(crate) fn memory(&self) -> Option<Memory> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()?)).ok()?;
        let kibibytes = |field: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(field))?;
            line.split_whitespace().next()?.parse().ok()
        };
        Some(Memory { resident: kibibytes("VmRSS:")?, own: kibibytes("RssAnon:")?, files: kibibytes("RssFile:")? })
    }

    /// Where it logs.
    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// Where it serves metrics.
    pub(crate) fn metrics_url(&self) -> String {
        format!("http://127.0.0.1:{}/metrics", self.metrics)
    }

    /// Asks it to end, and kills one that does not.
    pub(crate) async fn stop(mut self) {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // One that has just ended is as good as stopped.
            let _ = kill_process(pid, Signal::TERM);
        }
        if tokio::time::timeout(STOP_LIMIT, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
    }

    /// Its last words.
    pub(crate) fn log_tail(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }
}

/// Those that real nodes have, in the place of the Deployment's.
fn images() -> [(&'static str, &'static str); 3] {
    [
        ("NATS_IMAGE", IMAGES.nats),
        ("NATS_SERVER_CONFIG_RELOADER_IMAGE", IMAGES.config_reloader),
        ("PROMETHEUS_NATS_EXPORTER_IMAGE", IMAGES.exporter),
    ]
}

/// The apiserver reaches it by address: no Service leads out of the cluster.
fn webhook_on(port: u16) -> Vec<String> {
    vec![format!("--webhook-bind-address=127.0.0.1:{port}"), format!("--webhook-url=https://127.0.0.1:{port}")]
}

fn webhook_off() -> Vec<String> {
    vec!["--webhook-bind-address=0".to_owned()]
}

/// Arguments and environment of the manager's container. What the cluster fills in is not among them.
fn container(deployment: &Deployment) -> (Vec<String>, Vec<(String, String)>) {
    let pod = deployment.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
    let Some(container) = pod.and_then(|pod| pod.containers.first()) else { return (Vec::new(), Vec::new()) };
    let env = container.env.iter().flatten();
    let env = env.filter_map(|variable| Some((variable.name.clone(), variable.value.clone()?)));
    (container.args.clone().unwrap_or_default(), env.collect())
}

/// Free now, which is as much as one can know.
fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
