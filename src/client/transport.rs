//! Connection to the apiserver.
//!
//! The watches of the manager share one connection by HTTP/2, as those of client-go do. kube's own transport speaks
//! HTTP/1.1 only, with a connection, a TLS handshake and buffers for each watch. An apiserver or a proxy without HTTP/2
//! is spoken to by HTTP/1.1.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    BoxError,
    http::{Request, Response},
};
use futures::{FutureExt, future::BoxFuture};
use hyper::body::Incoming;
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_timeout::TimeoutConnector;
use hyper_util::{
    client::legacy::{
        Client,
        connect::{HttpConnector, capture_connection},
    },
    rt::{TokioExecutor, TokioTimer},
};
use kube::{
    Config,
    client::{Body, ConfigExt, RustlsTlsError},
};
use rustls::pki_types::ServerName;
use tokio::{
    select,
    sync::{Mutex, MutexGuard},
};
use tower::Service;

/// Limit for a TCP connection with its TLS handshake.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// Time without a frame after which the connection is checked, and the limit for the answer. A connection that
/// is lost silently has ended after both. The Lease, which is renewed every 6 s and valid for 17 s, survives that.
const PING_AFTER: Duration = Duration::from_secs(4);
const PING_LIMIT: Duration = Duration::from_secs(3);

/// Service that sends requests to the apiserver. Clones share the connections.
#[derive(Clone, Debug)]
pub(super) struct Transport {
    http: Client<TimeoutConnector<HttpsConnector<HttpConnector>>, Body>,
    opening: Arc<Opening>,
}

/// Order of requests while there is no connection. Only the first one opens it. If all did, each would do a TLS
/// handshake, since the protocol, and so whether they can share a connection, is known after it only.
#[derive(Debug, Default)]
struct Opening {
    is_done: AtomicBool,
    turn: Mutex<()>,
}

impl Opening {
    /// Waits for an open connection; or for the turn to open one, which is returned.
    async fn turn(&self) -> Option<MutexGuard<'_, ()>> {
        if self.is_done.load(Ordering::Relaxed) {
            return None;
        }
        let turn = self.turn.lock().await;
        // Another one may have opened it meanwhile.
        (!self.is_done.load(Ordering::Relaxed)).then_some(turn)
    }
}

impl Transport {
    /// Prepares connections to the apiserver of `config`, with its certificates. Opens none.
    pub(super) fn new(config: &Config) -> kube::Result<Self> {
        let mut tcp = HttpConnector::new();
        // TLS is the task of the connector around it.
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let mut tls = HttpsConnectorBuilder::new().with_tls_config(config.rustls_client_config()?).https_or_http();
        if let Some(name) = &config.tls_server_name {
            let name = ServerName::try_from(name.clone()).map_err(RustlsTlsError::InvalidServerName);
            tls = tls.with_server_name_resolver(FixedServerNameResolver::new(name.map_err(kube::Error::RustlsTls)?));
        }
        let mut connector = TimeoutConnector::new(tls.enable_all_versions().wrap_connector(tcp));
        connector.set_connect_timeout(Some(CONNECT_LIMIT));
        let http = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .http2_keep_alive_interval(PING_AFTER)
            .http2_keep_alive_timeout(PING_LIMIT)
            .http2_keep_alive_while_idle(true)
            .build(connector);
        Ok(Self { http, opening: Arc::default() })
    }

    /// Sends a request, and opens the connection if it is the first.
    async fn send(self, mut request: Request<Body>) -> Result<Response<Incoming>, BoxError> {
        let is_done = &self.opening.is_done;
        let turn = self.opening.turn().await;
        let mut connection = capture_connection(&mut request);
        let opened = async {
            connection.wait_for_connection_metadata().await;
        };
        let mut response = pin!(self.http.request(request));
        let early = select! {
            () = opened => None,
            // Also if there is no connection: then the other branch never ends.
            result = &mut response => Some(result),
        };
        is_done.store(early.as_ref().is_none_or(Result::is_ok), Ordering::Relaxed);
        // The response may take longer than the connection.
        drop(turn);
        let result = match early {
            Some(result) => result,
            None => response.await,
        };
        if result.is_err() {
            is_done.store(false, Ordering::Relaxed);
        }
        Ok(result?)
    }
}

impl Service<Request<Body>> for Transport {
    type Response = Response<Incoming>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // A task of its own, which ends when the caller drops its handle. A caller may leave its future unpolled for a
        // while, as `select!` does, and must not keep the turn meanwhile.
        let (task, response) = self.clone().send(request).remote_handle();
        tokio::spawn(task);
        response.boxed()
    }
}
