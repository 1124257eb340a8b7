//! The bounded server of webhooks, probes and metrics.
//!
//! Built on hyper and tokio-rustls rather than on axum-server, because the guarantees are about single connections. At
//! the limit the server selects the connection to close, from the peer that has the most. One exchange has a short limit
//! while a pause between two may be long. Each connection gets `Connection: close` before the port closes.

mod accept_rate;
mod activity;
mod connection;
mod connection_limiter;
mod peers;
mod timed;
mod tls;

use std::{net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::Router;
use rustls::ServerConfig;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    time::{Instant, sleep},
};
use tokio_rustls::TlsAcceptor;

use self::{
    accept_rate::AcceptRate,
    activity::Activity,
    connection::{ConnectionContext, Transport},
    connection_limiter::ConnectionLimiter,
    peers::Peer,
};
use crate::Observer;

pub use self::tls::{TlsIdentity, tls_config};

/// Time limits and bounds of the server.
#[derive(Clone, Copy, Debug)]
pub struct ServerOptions {
    /// Limit for a TLS handshake.
    pub handshake: Duration,
    /// Limit for the header of a request, from its first byte.
    pub head: Duration,
    /// Limit for an exchange, from the first byte of a request to the last byte of its response.
    pub exchange: Duration,
    /// Limit for a pause between two exchanges. The apiserver closes idle connections after 90 s. A shorter limit here
    /// could close a connection while a request is on its way.
    pub idle: Duration,
    /// Closes each connection after its first response: for clients that send one request at a time, such as probes.
    pub closes_after_response: bool,
    /// Upper bound for open connections.
    pub connections: usize,
    /// Connections that a peer may open per second in the long run. A peer is an address. Further ones are closed at
    /// once. All addresses of an IPv6 network of 64 bits together may open four times as many.
    pub accepts_per_second: u32,
    /// Connections that a peer may open at once.
    pub accept_burst: u32,
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
            head: Duration::from_secs(3),
            exchange: Duration::from_millis(4500),
            idle: Duration::from_mins(2),
            closes_after_response: false,
            connections: 256,
            accepts_per_second: 500,
            accept_burst: 1000,
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
/// Connections that are served in a row before other tasks run: a flood must not delay them.
const SERVED_IN_A_ROW: usize = 32;
/// Connections that are closed at once in a row before other tasks run. It takes microseconds to close one, while the
/// kernel drops connections of every peer once its queue is full.
const CLOSED_IN_A_ROW: usize = 512;
/// Time to accept connections that the kernel accepted just before the port closes.
const BACKLOG_TIME: Duration = Duration::from_millis(250);

/// Serves `router` on `listener` over TLS, with the certificates of `identity`, until `stop`. Then it drains: first,
/// connections are still accepted but not kept. Then the port closes, requests in progress finish, and idle connections
/// end.
pub async fn serve(
    listener: TcpListener,
    identity: TlsIdentity,
    router: Router,
    observer: Arc<dyn Observer>,
    options: ServerOptions,
    stop: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let tls: Arc<ServerConfig> = Arc::new(tls_config(identity)?);
    let transport = Transport::Tls { acceptor: TlsAcceptor::from(tls), observer };
    run(listener, transport, router, options, stop).await;
    Ok(())
}

/// Serves `router` on `listener` without TLS until `stop`, and drains as [`serve`] does.
pub async fn serve_plain(
    listener: TcpListener,
    router: Router,
    options: ServerOptions,
    stop: impl Future<Output = ()>,
) {
    run(listener, Transport::Plain, router, options, stop).await;
}

async fn run(
    listener: TcpListener,
    transport: Transport,
    router: Router,
    options: ServerOptions,
    stop: impl Future<Output = ()>,
) {
    let (phase, watched) = watch::channel(Phase::Open);
    let context = ConnectionContext { transport, router, options, phase: watched };
    let limiter = ConnectionLimiter::new(options.connections);
    let rate = AcceptRate::new(options.accepts_per_second, options.accept_burst);
    let mut acceptor = Acceptor { listener, limiter, rate, context };
    let closing = async {
        stop.await;
        phase.send_replace(Phase::LameDuck);
        sleep(options.lame_duck).await;
    };
    acceptor.accept_until(closing).await;
    // Connections in the listener's queue arrived before the port closed.
    acceptor.accept_until(sleep(BACKLOG_TIME)).await;
    let Acceptor { listener, limiter, .. } = acceptor;
    drop(listener);
    phase.send_replace(Phase::Closing);
    limiter.drain(options.drain).await;
}

/// The listener and its connections.
struct Acceptor {
    listener: TcpListener,
    limiter: ConnectionLimiter,
    rate: AcceptRate,
    context: ConnectionContext,
}

impl Acceptor {
    /// Accepts connections within the limits until `end` resolves.
    async fn accept_until(&mut self, end: impl Future<Output = ()>) {
        let mut end = pin!(end);
        let (mut served, mut closed) = (0, 0);
        loop {
            tokio::select! {
                biased;
                () = &mut end => return,
                () = self.limiter.ended() => {}
                (stream, address) = next(&self.listener) => {
                    if self.serve(stream, Peer::of(address)) { served += 1 } else { closed += 1 }
                    if served == SERVED_IN_A_ROW || closed == CLOSED_IN_A_ROW {
                        (served, closed) = (0, 0);
                        tokio::task::yield_now().await;
                    }
                }
            }
        }
    }

    /// Serves a connection, or closes it if its peer opens too many. Returns whether it is served.
    fn serve(&mut self, stream: TcpStream, peer: Peer) -> bool {
        let is_admitted = self.rate.admit(peer, Instant::now());
        if is_admitted {
            let activity = Arc::new(Activity::new());
            let connection = self.context.clone().serve(stream, Arc::clone(&activity));
            self.limiter.add(peer, activity, connection);
        }
        is_admitted
    }
}

/// Accepts the next connection, after failed attempts if necessary.
async fn next(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                tracing::warn!(%error, "failed to accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
