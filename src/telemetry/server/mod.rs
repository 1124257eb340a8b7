//! HTTP servers of probes and metrics.

use std::{
    future::{Ready, ready},
    io,
    net::SocketAddr,
    time::Duration,
};

use axum::{
    Router,
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use axum_server::{Handle, Server, accept::Accept};
use futures::future::try_join3;
use thiserror::Error;

use super::{BindAddress, Metrics, Readiness};

/// Servers that listen but do not respond yet.
#[derive(Debug)]
pub struct TelemetryServers {
    metrics: Option<Listening>,
    probes: Option<Listening>,
}

/// Failure of a server at its start or later.
#[derive(Debug, Error)]
pub enum ServerError {
    /// Address that cannot be listened on.
    #[error("cannot listen on {address} for {what}: {source}")]
    Bind {
        what: &'static str,
        /// Address as given on the command line.
        address: BindAddress,
        source: io::Error,
    },
    /// Server that gets no more connections from the system.
    #[error("the server of {what} stopped: {source}")]
    Serve { what: &'static str, source: io::Error },
}

#[derive(Debug)]
struct Listening {
    what: &'static str,
    router: Router,
    address: SocketAddr,
    server: Server<SocketAddr>,
    handle: Handle<SocketAddr>,
}

/// Acceptor that rejects connections above an upper bound: these servers have few, well-known clients.
#[derive(Debug, Clone)]
struct Bounded(Handle<SocketAddr>);

const CONNECTIONS: usize = 64;
const HEADERS: usize = 64;
/// Bytes for the head of a request, the smallest buffer that hyper supports.
const HEAD: usize = 8 * 1024;
/// Limit for the head of a request to arrive. Idle connections end after it too.
const HEAD_LIMIT: Duration = Duration::from_mins(1);
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
        Ok(Self {
            metrics: Listening::bind("metrics", metrics_address, metrics_router(metrics.clone())).await?,
            probes: Listening::bind("probes", probes_address, probes_router(readiness.clone())).await?,
        })
    }

    /// Returns the address of the metrics, with the port that the system chose for port 0.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().map(|server| server.address)
    }

    /// Returns the address of the probes, with the port that the system chose for port 0.
    pub fn probes_address(&self) -> Option<SocketAddr> {
        self.probes.as_ref().map(|server| server.address)
    }

    /// Serves until `stop`, then finishes requests in progress within 2 s.
    ///
    /// # Errors
    /// When the system stops handing out connections.
    pub async fn serve(self, stop: impl Future<Output = ()>) -> Result<(), ServerError> {
        let handles = [&self.metrics, &self.probes].map(|server| server.as_ref().map(|server| server.handle.clone()));
        let stop = async {
            stop.await;
            for handle in handles.iter().flatten() {
                handle.graceful_shutdown(Some(DRAIN));
            }
            Ok(())
        };
        try_join3(run(self.metrics), run(self.probes), stop).await.map(|_| ())
    }
}

impl Listening {
    async fn bind(what: &'static str, address: &BindAddress, router: Router) -> Result<Option<Self>, ServerError> {
        let error = |source| ServerError::Bind { what, address: address.clone(), source };
        let Some(listener) = address.listen().await.map_err(error)? else {
            return Ok(None);
        };
        let address = listener.local_addr().map_err(error)?;
        let handle = Handle::new();
        let mut server = Server::from_listener(listener).http1_only().handle(handle.clone());
        server.http_builder().http1().header_read_timeout(HEAD_LIMIT).max_headers(HEADERS).max_buf_size(HEAD);
        Ok(Some(Self { what, router, address, server, handle }))
    }
}

/// Serves until its handle stops it. Returns at once if the server is disabled.
async fn run(server: Option<Listening>) -> Result<(), ServerError> {
    let Some(Listening { what, router, server, handle, .. }) = server else {
        return Ok(());
    };
    let server = server.acceptor(Bounded(handle));
    server.serve(router.into_make_service()).await.map_err(|source| ServerError::Serve { what, source })
}

impl<I, S> Accept<I, S> for Bounded {
    type Stream = I;
    type Service = S;
    type Future = Ready<io::Result<(I, S)>>;

    fn accept(&self, stream: I, service: S) -> Self::Future {
        // The new connection is counted already.
        ready(if self.0.connection_count() > CONNECTIONS {
            Err(io::Error::other("too many connections"))
        } else {
            Ok((stream, service))
        })
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
