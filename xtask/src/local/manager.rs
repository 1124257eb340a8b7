//! The manager as a local process, with the arguments and the environment of its Deployment.

use std::{fs, io, path::Path, process::Stdio};

use k8s_openapi::api::apps::v1::Deployment;
use nats_manager_harness::{ManagerProcess, free_address, real::IMAGES};
use tokio::process::Command;

use super::{DemoCluster, NAMESPACE};
use crate::workspace;

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
}

const DEPLOYMENT: &str = "config/manager/deployment.yaml";

/// Starts the manager without waiting for readiness.
pub(super) fn start(program: &Path, environment: &ManagerEnvironment<'_>) -> Result<ManagerProcess, ManagerError> {
    let webhook = if environment.is_apiserver_local { webhook_on(free_address()?.port()) } else { webhook_off() };
    let mut command = environment.cluster.command(program);
    configure(&mut command, environment.kubeconfig)?;
    command
        .args(environment.nats_url.map(|url| format!("--nats-url={url}")))
        .args(webhook)
        .envs(environment.cluster.real().map(|_| images()).into_iter().flatten());
    Ok(ManagerProcess::spawn(command, environment.cluster.folder())?)
}

/// Starts the manager on an apiserver stand-in, with its webhook on `port`, without waiting for readiness. `command` has
/// the program, or a tool that runs it. The log is in `folder`.
pub(crate) fn start_on_stand_in(
    mut command: Command,
    kubeconfig: &Path,
    folder: &Path,
    port: u16,
) -> Result<ManagerProcess, ManagerError> {
    configure(&mut command, kubeconfig)?;
    command.args(webhook_on(port));
    Ok(ManagerProcess::spawn(command, folder)?)
}

/// Sets the arguments and the environment of the Deployment.
fn configure(command: &mut Command, kubeconfig: &Path) -> Result<(), ManagerError> {
    let deployment: Deployment =
        serde_saphyr::from_str(&fs::read_to_string(workspace::path(DEPLOYMENT))?).map_err(Box::new)?;
    let (args, env) = container(&deployment);
    command
        .args(args)
        .env_clear()
        .envs(env)
        .env("POD_NAME", format!("local-{}", std::process::id()))
        .env("POD_NAMESPACE", NAMESPACE)
        .env("KUBECONFIG", kubeconfig)
        .stdin(Stdio::null())
        // Ctrl-C on the terminal must not reach the manager: it has to run until its resource is deleted.
        .process_group(0);
    Ok(())
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
