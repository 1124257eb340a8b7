//! TLS server of the webhooks.
//!
//! Built on hyper and tokio-rustls rather than on axum-server, because the guarantees are about single connections. At
//! the limit the server selects the connection to close. One exchange has a short limit while a pause between two may
//! be long. Each connection gets `Connection: close` before the port closes.

mod activity;
mod connection;
mod connection_limiter;
mod timed;
mod tls;

use std::{future::Future, pin::pin, sync::Arc, time::Duration};

use axum::Router;
use rustls::{ServerConfig, server::ResolvesServerCert};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    time::sleep,
};
use tokio_rustls::TlsAcceptor;

use self::{activity::Activity, connection::ConnectionContext, connection_limiter::ConnectionLimiter};
use crate::Observer;

pub use self::tls::tls_config;

/// Time limits and bounds of the server.
#[derive(Clone, Copy, Debug)]
pub struct ServerOptions {
    /// Limit for a TLS handshake.
    pub handshake: Duration,
    /// Limit for an exchange, from the first byte of a request to the last byte of its response.
    pub exchange: Duration,
    /// Limit for a pause between two exchanges. The apiserver closes idle connections after 90 s. A shorter limit here
    /// could close a connection while a request is on its way.
    pub idle: Duration,
    /// Upper bound for open connections.
    pub connections: usize,
    /// Time after the stop in which connections are still accepted: removal from the Service's endpoints takes as long
    /// to reach every node.
    pub lame_duck: Duration,
    /// Limit for requests in progress to finish after that.
    pub drain: Duration,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(4),
            exchange: Duration::from_millis(4500),
            idle: Duration::from_mins(2),
            connections: 256,
            lame_duck: Duration::from_secs(5),
            drain: Duration::from_secs(5),
        }
    }
}

/// Reason for which the server cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// TLS configuration that rustls rejects.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// Phase of the server's shutdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// Phase in which each connection closes with its next response.
    LameDuck,
    Closing,
}

/// Pause after a failed accept, which mostly means that file descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Interval between checks for capacity while all connections are busy.
const CAPACITY_POLL_INTERVAL: Duration = Duration::from_millis(20);
/// Time to accept connections that the kernel accepted just before the port closes.
const BACKLOG_TIME: Duration = Duration::from_millis(250);

/// Serves `router` on `listener` with the certificates of `resolver` until `stop`, then drains. First, connections are
/// still accepted but not kept. Then the port closes, requests in progress finish, and idle connections end.
pub async fn serve(
    listener: TcpListener,
    resolver: Arc<dyn ResolvesServerCert>,
    router: Router,
    observer: Arc<dyn Observer>,
    options: ServerOptions,
    stop: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let tls: Arc<ServerConfig> = Arc::new(tls_config(resolver)?);
    let (phase, watched) = watch::channel(Phase::Open);
    let context = ConnectionContext { tls: TlsAcceptor::from(tls), router, observer, options, phase: watched };
    let mut connection_limiter = ConnectionLimiter::new(options.connections);
    let closing = async {
        stop.await;
        phase.send_replace(Phase::LameDuck);
        sleep(options.lame_duck).await;
    };
    accept(&listener, &mut connection_limiter, &context, closing).await;
    // Connections in the listener's queue arrived before the port closed.
    accept(&listener, &mut connection_limiter, &context, sleep(BACKLOG_TIME)).await;
    drop(listener);
    phase.send_replace(Phase::Closing);
    connection_limiter.drain(options.drain).await;
    Ok(())
}

/// Accepts connections within the limit until `end` resolves.
async fn accept(
    listener: &TcpListener,
    connection_limiter: &mut ConnectionLimiter,
    context: &ConnectionContext,
    end: impl Future<Output = ()>,
) {
    let mut end = pin!(end);
    loop {
        let has_capacity = connection_limiter.has_capacity();
        tokio::select! {
            biased;
            () = &mut end => return,
            () = connection_limiter.ended() => {}
            stream = next(listener), if has_capacity => {
                let activity = Arc::new(Activity::new());
                connection_limiter.add(Arc::clone(&activity), context.clone().serve(stream, activity));
            }
            () = sleep(CAPACITY_POLL_INTERVAL), if !has_capacity => {}
        }
    }
}

/// Accepts the next connection, after failed attempts if necessary.
async fn next(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) => {
                tracing::warn!(%error, "failed to accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
