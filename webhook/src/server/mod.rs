//! The TLS server.
//!
//! Made of hyper and tokio-rustls rather than of axum-server, because the promises are about
//! single connections: which one goes when there are too many, how long one exchange may take
//! while pauses between two may be long, and `Connection: close` on each before the port closes.

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

use self::{activity::Activity, connection::Common, connection_limiter::ConnectionLimiter};
use crate::Observer;

pub use self::tls::tls_config;

/// How the server goes about it.
#[derive(Clone, Copy, Debug)]
pub struct ServerOptions {
    /// How long a TLS handshake may take.
    pub handshake: Duration,
    /// How long an exchange may take, from the first byte of a request to the last of its answer.
    pub exchange: Duration,
    /// How long a connection may pause. The apiserver gives idle connections up after 90 s; were
    /// we to do so before it, a request might just be on its way.
    pub idle: Duration,
    /// How many connections there are at most.
    pub connections: usize,
    /// How long connections are still accepted when the server is to stop: until the rest of the
    /// cluster knows.
    pub lame_duck: Duration,
    /// How long what runs may take to finish after that.
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

/// Why the server cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// rustls does not take the configuration.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// How open the server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// Each connection closes with its next answer.
    LameDuck,
    Closing,
}

/// After a failed accept, which is mostly for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How often to look again for room when all connections are busy.
const ROOM_PAUSE: Duration = Duration::from_millis(20);
/// For what the kernel accepted just before the port closed.
const LAST_CALL: Duration = Duration::from_millis(250);

/// Serves `router` on `listener` with the certificates of `resolver` until `stop`, then drains:
/// for a while connections are still accepted, but none is kept; then the port closes, what runs is
/// finished, and idle connections end.
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
    let common = Common { tls: TlsAcceptor::from(tls), router, observer, options, phase: watched };
    let mut connection_limiter = ConnectionLimiter::new(options.connections);
    let closing = async {
        stop.await;
        phase.send_replace(Phase::LameDuck);
        sleep(options.lame_duck).await;
    };
    accept(&listener, &mut connection_limiter, &common, closing).await;
    // What is in the listener's queue came before the port closed.
    accept(&listener, &mut connection_limiter, &common, sleep(LAST_CALL)).await;
    drop(listener);
    phase.send_replace(Phase::Closing);
    connection_limiter.leave(options.drain).await;
    Ok(())
}

async fn accept(
    listener: &TcpListener,
    connection_limiter: &mut ConnectionLimiter,
    common: &Common,
    end: impl Future<Output = ()>,
) {
    let mut end = pin!(end);
    loop {
        let has_room = connection_limiter.has_room();
        tokio::select! {
            biased;
            () = &mut end => return,
            () = connection_limiter.ended() => {}
            stream = next(listener), if has_room => {
                let activity = Arc::new(Activity::new());
                connection_limiter.add(Arc::clone(&activity), common.clone().serve(stream, activity));
            }
            () = sleep(ROOM_PAUSE), if !has_room => {}
        }
    }
}

async fn next(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
