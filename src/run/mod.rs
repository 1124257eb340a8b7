//! Wiring of the process: starts every long-lived part and joins them.
//!
//! Every replica serves the webhook, probes and metrics. The leader also reconciles and maintains the webhook's CA. A
//! part that fails ends the process, with a reason: after a drain, unless it is the caches.

mod lead;

use std::{io, path::Path};

use futures::{
    FutureExt,
    future::{BoxFuture, pending, try_join},
};
use kube::{
    Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use nats_manager_api::{ClusterDomain, NamespacedName};
use nats_manager_webhook::ServeError;
use thiserror::Error;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{oneshot, watch},
};

use self::lead::lead;
use crate::{
    admission::{
        self, Certificates, WebhookAddress,
        serve::{ListenError, WebhookServer, WebhookTasks},
    },
    cli::{RunOptions, WebhookOptions},
    client::client,
    controller::Controller,
    fips,
    leadership::Election,
    settings::Settings,
    telemetry::{Check, Metrics, Readiness, ServerError, TelemetryServers},
    watch::{Scope, WatchTasks, watch_all},
};

/// Reason for which the manager ended without a signal to stop.
#[derive(Debug, Error)]
pub enum RunError {
    /// Cluster configuration that is missing or unusable.
    #[error("no cluster to work on: {0}")]
    Config(#[from] kube::config::InferConfigError),
    /// File of `--kubeconfig` that is missing or unusable.
    #[error("cannot use the file of --kubeconfig: {0}")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
    /// Credentials or certificates that are unusable.
    #[error("cannot use the cluster's credentials: {0}")]
    Client(#[from] kube::Error),
    /// Failure to serve probes or metrics.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// Failure to listen for the webhook.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Failure of the webhook's server.
    #[error("the webhook ended: {0}")]
    Webhook(#[from] ServeError),
    /// Part that ended although it never should.
    #[error("the {0} ended")]
    Ended(&'static str),
}

/// Runs the manager until `shutdown`.
///
/// # Errors
/// When a part cannot start, or fails later.
pub async fn run(options: RunOptions, settings: Settings, shutdown: impl Future<Output = ()>) -> Result<(), RunError> {
    // Boxed, so that its poll has a stack frame of its own: these 96 KB would otherwise lie below everything that runs
    // later.
    let manager = prepare(options, settings).boxed_local().await?;
    manager.run(shutdown).await
}

/// All parts of the process, ready to run.
struct Manager {
    /// Readiness check that fails during start and shutdown.
    running: Check,
    /// Starts the drain of the webhook's server when it becomes true.
    stop: watch::Sender<bool>,
    telemetry: TelemetryServers,
    watch_tasks: WatchTasks,
    webhook: WebhookFutures,
    /// `None` if this replica always leads.
    election: Option<Election>,
    controller: Controller,
}

/// Creates all parts, and listens for probes, metrics and reviews.
async fn prepare(options: RunOptions, settings: Settings) -> Result<Manager, RunError> {
    let metrics = Metrics::new();
    let readiness = Readiness::new();
    let running = readiness.check("running", "starting");
    let telemetry =
        TelemetryServers::bind(&options.metrics_bind_address, &metrics, &options.health_probe_bind_address, &readiness)
            .await?;
    let client = client(cluster(options.kubeconfig.as_deref()).await?, &metrics)?;
    let scope = Scope {
        allowed: NamespacedName::new(&*settings.cr_namespace, &*settings.cr_name),
        own_namespace: settings.pod_namespace.clone(),
        domain: options.cluster_domain.clone(),
    };
    let (caches, watch_tasks) = watch_all(&client, &scope, &metrics, &readiness);
    let webhook = webhook_settings(options.webhook, &settings, &scope.domain);
    let webhook = WebhookServer::bind(&client, &scope, &caches, webhook, &metrics, &readiness).await?;
    tracing::info!(version = fips::VERSION, "started");
    warn_about_another_domain(&scope.domain);
    metrics.set_fips_missing(fips::is_missing(settings.is_fips_required));
    running.pass();

    let (stop, stopping) = watch::channel(false);
    let name = settings.pod_name.as_deref();
    Ok(Manager {
        running,
        stop,
        telemetry,
        watch_tasks,
        webhook: WebhookFutures::new(webhook, stopping),
        election: options.leader_elect.then(|| Election::new(&client, &settings.pod_namespace, name, &metrics)),
        controller: Controller {
            client,
            caches,
            scope,
            images: settings.images,
            metrics,
            instance: settings.pod_name,
            nats_url: options.nats_url,
        },
    })
}

impl Manager {
    /// Runs all parts until `shutdown`, or until the leader's work or the webhook's server ends, then drains. Without
    /// caches there is no drain: the future then resolves at once.
    async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), RunError> {
        let Self { running, stop, telemetry, watch_tasks, webhook, election, controller } = self;
        let close = || {
            running.waiting("shutting down");
            stop.send_replace(true);
        };
        let shutdown = async {
            shutdown.await;
            // At once: reconciles that finish must not delay the signal that this replica stops.
            close();
        };
        // `work` and `probes` are boxed: a future has room for copies of each future that it contains.
        let work = async {
            let result = lead(election, controller, webhook.leader_task, shutdown).await;
            // The servers stop whatever the result.
            close();
            result
        }
        .boxed_local();
        let (drained, end) = oneshot::channel::<()>();
        let drain = async {
            // A server that fails ends the work; work that fails leaves the server to drain.
            let worked = try_join(work.map(Ok), webhook.server).await;
            // Probes answer until everything else has stopped.
            drop(drained);
            worked?.0
        };
        let probes = telemetry.serve(end.map(|_| ())).boxed_local();
        tokio::select! {
            (result, ()) = async { tokio::join!(drain, probes) } => result,
            () = watch_tasks => Err(RunError::Ended("caches")),
            () = webhook.supply => Err(RunError::Ended("webhook's caches")),
        }
    }
}

/// Returns how to reach the cluster: as in the kubeconfig, or as in the environment.
async fn cluster(kubeconfig: Option<&Path>) -> Result<Config, RunError> {
    match kubeconfig {
        Some(path) => {
            let kubeconfig = Kubeconfig::read_from(path)?;
            Ok(Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?)
        }
        None => Ok(Config::infer().await?),
    }
}

/// Futures of the webhook, or replacements that do nothing if it is disabled.
struct WebhookFutures {
    /// Supply of caches and certificate, which never ends by itself.
    supply: BoxFuture<'static, ()>,
    server: BoxFuture<'static, Result<(), ServeError>>,
    /// Returns the future that only the leader runs, and that never ends.
    leader_task: Box<dyn Fn() -> BoxFuture<'static, ()>>,
}

impl WebhookFutures {
    /// Starts the webhook. Its server drains when `stopping` becomes true.
    fn new(webhook: Option<WebhookServer>, mut stopping: watch::Receiver<bool>) -> Self {
        let stop = async move {
            // Without a sender, the process ends.
            let _ = stopping.wait_for(|stopping| *stopping).await;
        };
        match webhook {
            Some(webhook) => {
                let WebhookTasks { supply, server, ca_controller } = webhook.start(stop);
                Self { supply, server, leader_task: Box::new(move || ca_controller.clone().run().boxed()) }
            }
            None => Self {
                supply: pending().boxed(),
                server: stop.map(Ok).boxed(),
                leader_task: Box::new(|| pending().boxed()),
            },
        }
    }
}

fn webhook_settings(
    options: WebhookOptions,
    settings: &Settings,
    domain: &ClusterDomain,
) -> admission::WebhookSettings {
    admission::WebhookSettings {
        bind: options.webhook_bind_address,
        reached: match options.webhook_url {
            Some(url) => WebhookAddress::Url { base: url.base, host: url.host },
            None => WebhookAddress::Service { namespace: settings.pod_namespace.clone(), domain: domain.clone() },
        },
        managed: options.manage_webhook_configuration,
        certificates: options.webhook_cert_dir.map_or(Certificates::Own, Certificates::Mounted),
        client_ca: options.webhook_client_ca,
    }
}

/// Logs a warning if the DNS search path of this Pod has another cluster domain: names of Services do not resolve then.
fn warn_about_another_domain(domain: &ClusterDomain) {
    let resolv_conf = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    if let Some(found) = another_domain(domain, &resolv_conf) {
        tracing::warn!(%domain, %found, "the cluster has another DNS domain: set CLUSTER_DOMAIN, or --cluster-domain");
    }
}

/// Returns the cluster domain in the search path of a `resolv.conf` if it is not `domain`.
fn another_domain(domain: &ClusterDomain, resolv_conf: &str) -> Option<ClusterDomain> {
    ClusterDomain::from_resolv_conf(resolv_conf).filter(|found| found != domain)
}

/// Installs handlers, and returns a future that resolves at SIGTERM or SIGINT. Call it inside the runtime. From then on
/// these signals do not end the process by themselves.
///
/// # Errors
/// When the system refuses a handler.
pub fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        tracing::info!(signal = name, "stopping");
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dns_search_path_with_another_cluster_domain_is_found() {
        let of_pod =
            |domain: &str| format!("search kyma-system.svc.{domain} svc.{domain} {domain}\nnameserver 10.0.0.10\n");
        for (domain, resolv_conf, expected) in [
            ("cluster.local", of_pod("cluster.local"), None),
            ("cluster.local", of_pod("k8s.example.com"), Some("k8s.example.com")),
            ("k8s.example.com", of_pod("cluster.local"), Some("cluster.local")),
            ("k8s.example.com", of_pod("K8S.example.com."), None),
            // Outside of a cluster.
            ("cluster.local", "search example.com\n".to_owned(), None),
            ("cluster.local", String::new(), None),
        ] {
            let found = another_domain(&domain.parse().unwrap(), &resolv_conf);
            assert_eq!(found.map(|found| found.to_string()).as_deref(), expected, "{domain}: {resolv_conf}");
        }
    }
}
