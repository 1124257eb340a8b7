//! The wiring: starts every long-lived part and joins them.

use std::io;
use std::pin::pin;
use std::time::Duration;

use futures::FutureExt;
use futures::future::try_join;
use kube::{Client, Config};
use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::time::sleep;
use tracing::{info, warn};

use nats_manager_api::NamespacedName;

use crate::cli::Options;
use crate::controller::watch::{Places, watches};
use crate::controller::{self, Controller};
use crate::leadership::{Election, Leadership, Lost};
use crate::settings::Settings;
use crate::telemetry::{self, Metrics, Readiness, ServerError, Servers};

/// Why the manager ended although nobody told it to.
#[derive(Debug, Error)]
pub enum RunError {
    /// No cluster is configured, or not in a way that can be used.
    #[error("no cluster to work on: {0}")]
    Config(#[from] kube::config::InferConfigError),
    /// Credentials or certificates cannot be used.
    #[error("cannot use the cluster's credentials: {0}")]
    Client(#[from] kube::Error),
    /// Probes or metrics cannot be served.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// Another replica leads.
    #[error("stopped leading: {0}")]
    Lost(Lost),
    /// The watches ended, which they never should.
    #[error("the watches ended")]
    Watches,
    /// The controller ended, which it never should.
    #[error("the controller ended")]
    Controller,
}

/// How long reconciles under way may take to end.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);

/// Runs the manager until `shutdown`.
///
/// # Errors
/// When a part cannot start or cannot go on.
pub async fn run(options: Options, settings: Settings, shutdown: impl Future<Output = ()>) -> Result<(), RunError> {
    let metrics = Metrics::new();
    let readiness = Readiness::new();
    let servers =
        Servers::bind((&options.metrics_bind_address, &metrics), (&options.health_probe_bind_address, &readiness))
            .await?;
    let client = telemetry::client(Config::infer().await?, &metrics)?;
    info!(version = env!("CARGO_PKG_VERSION"), "started");

    let places = Places {
        allowed: NamespacedName::new(&*settings.cr_namespace, &*settings.cr_name),
        own_namespace: settings.pod_namespace.clone(),
    };
    let (watches, following) = watches(&client, &places, &metrics, &readiness);
    let controller = Controller {
        client: client.clone(),
        watches,
        places,
        images: settings.images.clone(),
        metrics: metrics.clone(),
        instance: settings.pod_name.clone(),
        nats_url: options.nats_url.clone(),
    };
    let election = options.leader_elect.then(|| Election::new(&*settings.pod_namespace, settings.pod_name.as_deref()));
    let (stop, stopped) = oneshot::channel::<()>();
    let work = async {
        let result = lead(&client, election.as_ref(), controller, shutdown).await;
        // Probes answer until the work has stopped.
        drop(stop);
        result
    };
    let serve = async { servers.serve(stopped.map(|_| ())).await.map_err(RunError::from) };
    tokio::select! {
        result = try_join(work, serve) => result.map(|_| ()),
        () = following => Err(RunError::Watches),
    }
}

/// Works while this replica leads; gives leadership up when the work has stopped.
async fn lead(
    client: &Client,
    election: Option<&Election>,
    controller: Controller,
    shutdown: impl Future<Output = ()>,
) -> Result<(), RunError> {
    let metrics = controller.metrics.clone();
    let mut shutdown = pin!(shutdown);
    let mut leadership = tokio::select! {
        leadership = Leadership::acquire(client, election) => leadership,
        () = &mut shutdown => return Ok(()),
    };
    metrics.set_leader(true);
    let (stop, stopped) = oneshot::channel::<()>();
    let mut work = pin!(controller::run(controller, stopped.map(|_| ())));
    let result = tokio::select! {
        // Another replica may lead at once: what is under way is dropped, not finished.
        lost = leadership.lost() => Err(RunError::Lost(lost)),
        () = &mut work => Err(RunError::Controller),
        () = &mut shutdown => Ok(()),
    };
    if result.is_ok() {
        drop(stop);
        tokio::select! {
            () = work => {}
            _ = leadership.lost() => {}
            () = sleep(DRAIN_LIMIT) => warn!("a reconcile did not end in time"),
        }
    }
    metrics.set_leader(false);
    leadership.release().await;
    result
}

/// Resolves at SIGTERM or SIGINT. Call it inside the runtime; from then on these signals do not
/// end the process by themselves.
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
        info!(signal = name, "stopping");
    })
}
