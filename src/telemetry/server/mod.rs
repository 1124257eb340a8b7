//! HTTP servers of probes and metrics: the bounded server of the webhook, without TLS.

use std::{io, net::SocketAddr, time::Duration};

use axum::{
    Router,
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use futures::{FutureExt, future::join};
use nats_manager_webhook::{ServerOptions, serve_plain};
use thiserror::Error;
use tokio::net::TcpListener;

use super::{BindAddress, Metrics, Readiness};

/// Servers that listen and do not answer yet.
#[derive(Debug)]
pub struct TelemetryServers {
    metrics: Option<Listening>,
    probes: Option<Listening>,
}

/// An address that cannot be listened on.
#[derive(Debug, Error)]
#[error("cannot listen on {address} for {what}: {source}")]
pub struct ServerError {
    /// Served content.
    what: &'static str,
    /// Address as given on the command line.
    address: BindAddress,
    source: io::Error,
}

#[derive(Debug)]
struct Listening {
    listener: TcpListener,
    address: SocketAddr,
    router: Router,
    options: ServerOptions,
}

/// Connections of a server: it has few, known clients.
const CONNECTIONS: usize = 64;
/// Limit for requests in progress at the end.
const DRAIN: Duration = Duration::from_secs(2);

impl TelemetryServers {
    /// Listens on both addresses. A disabled address serves nothing.
    ///
    /// # Errors
    /// When an address cannot be listened on.
    pub async fn bind(
        metrics_address: &BindAddress,
        metrics: &Metrics,
        probes_address: &BindAddress,
        readiness: &Readiness,
    ) -> Result<Self, ServerError> {
        let metrics = Listening::bind("metrics", metrics_address, metrics_router(metrics.clone()), scrapes());
        let probes = Listening::bind("probes", probes_address, probes_router(readiness.clone()), probes());
        Ok(Self { metrics: metrics.await?, probes: probes.await? })
    }

    /// Returns the address of the metrics, with the port that the system chose for port 0.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().map(|server| server.address)
    }

    /// Returns the address of the probes, with the port that the system chose for port 0.
    pub fn probes_address(&self) -> Option<SocketAddr> {
        self.probes.as_ref().map(|server| server.address)
    }

    /// Answers until `stop`, then ends the requests in progress within 2 s.
    pub async fn serve(self, stop: impl Future<Output = ()>) {
        let stop = stop.shared();
        join(run(self.metrics, stop.clone()), run(self.probes, stop)).await;
    }
}

impl Listening {
    async fn bind(
        what: &'static str,
        address: &BindAddress,
        router: Router,
        options: ServerOptions,
    ) -> Result<Option<Self>, ServerError> {
        let error = |source| ServerError { what, address: address.clone(), source };
        let Some(listener) = address.listen().await.map_err(error)? else { return Ok(None) };
        let address = listener.local_addr().map_err(error)?;
        Ok(Some(Self { listener, address, router, options }))
    }
}

/// Returns options for scrapes. Prometheus keeps its connection between two of them.
fn scrapes() -> ServerOptions {
    ServerOptions { connections: CONNECTIONS, lame_duck: Duration::ZERO, drain: DRAIN, ..ServerOptions::default() }
}

/// Returns options for probes. The kubelet opens a connection for each, and sends its request at once.
fn probes() -> ServerOptions {
    let base = scrapes();
    ServerOptions { idle: base.head, closes_after_response: true, ..base }
}

async fn run(server: Option<Listening>, stop: impl Future<Output = ()>) {
    if let Some(Listening { listener, router, options, .. }) = server {
        serve_plain(listener, router, options, stop).await;
    }
}

/// Builds the router of `/metrics`: `OpenMetrics` for clients that accept it, otherwise marked as Prometheus text.
pub fn metrics_router(metrics: Metrics) -> Router {
    async fn answer(State(metrics): State<Metrics>, headers: HeaderMap) -> Response {
        let accepted = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
        let content_type = if accepted.contains("application/openmetrics-text") {
            "application/openmetrics-text; version=1.0.0; charset=utf-8"
        } else {
            "text/plain; version=0.0.4; charset=utf-8"
        };
        match metrics.encode() {
            Ok(text) => ([(header::CONTENT_TYPE, content_type)], text).into_response(),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
        }
    }
    Router::new().route("/metrics", get(answer)).with_state(metrics)
}

/// Builds the router of the probes. `/healthz` is 200 as long as the process responds. `/readyz` is 200, or 503 with a
/// line per check that has not passed. `?verbose` lists all checks.
pub fn probes_router(readiness: Readiness) -> Router {
    async fn alive() -> &'static str {
        "ok"
    }
    async fn ready(State(readiness): State<Readiness>, RawQuery(query): RawQuery) -> (StatusCode, String) {
        let query = query.unwrap_or_default();
        let verbose = query.split('&').any(|pair| pair.split('=').next() == Some("verbose"));
        let status = if readiness.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        (status, readiness.report(verbose))
    }
    Router::new().route("/healthz", get(alive)).route("/readyz", get(ready)).with_state(readiness)
}

#[cfg(test)]
mod tests;
