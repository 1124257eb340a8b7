//! One connection: the TLS handshake, then requests until one side closes.

use std::{convert::Infallible, io, sync::Arc};

use axum::{
    Router,
    body::Body,
    http::{HeaderValue, Request, header::CONNECTION},
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpStream, sync::watch, time::timeout};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use super::{Phase, ServerOptions, activity::Activity, timed::Timed, tls::rejection};
use crate::{Observer, Rejection};

/// Size of the read buffer in bytes, for the header of a request and for each part of a body.
const BUFFER: usize = 32 << 10;

/// Configuration shared by all connections.
#[derive(Clone)]
pub(super) struct ConnectionContext {
    pub(super) tls: TlsAcceptor,
    pub(super) router: Router,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) options: ServerOptions,
    pub(super) phase: watch::Receiver<Phase>,
}

impl ConnectionContext {
    /// Serves a connection until it ends.
    pub(super) async fn serve(self, stream: TcpStream, activity: Arc<Activity>) {
        // Responses are small, and clients wait for them.
        let _ = stream.set_nodelay(true);
        let stream = match timeout(self.options.handshake, self.tls.accept(stream)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return self.rejected(rejection(&error), &error),
            Err(_) => return self.rejected(Rejection::Timeout, &io::ErrorKind::TimedOut.into()),
        };
        activity.set_waiting();
        let stream = Timed::new(stream, Arc::clone(&activity), self.options.exchange, self.options.idle);
        let phase = self.phase.clone();
        let service = service_fn(|request: Request<Incoming>| {
            let answering = Answering::begin(&activity);
            let (router, phase) = (self.router.clone(), &phase);
            async move {
                let mut response = router.oneshot(request.map(Body::new)).await?;
                drop(answering);
                if *phase.borrow() != Phase::Open {
                    // The client sends its next request to a replica that stays.
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, Infallible>(response)
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(None)
            .max_buf_size(BUFFER)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            // A request that has arrived is answered first.
            biased;
            ended = &mut connection => ended,
            () = closing(self.phase.clone()) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "connection ended with an error");
        }
    }

    fn rejected(&self, reason: Rejection, error: &io::Error) {
        tracing::debug!(reason = reason.as_str(), %error, "rejected a TLS handshake");
        self.observer.handshake_rejected(reason);
    }
}

/// Resolves when connections must end, and also when the sender of the phase is gone.
async fn closing(mut phase: watch::Receiver<Phase>) {
    let _ = phase.wait_for(|phase| *phase == Phase::Closing).await;
}

/// Guard that marks a connection as busy until it is dropped, also when the response is aborted.
struct Answering<'a>(&'a Activity);

impl<'a> Answering<'a> {
    fn begin(activity: &'a Activity) -> Self {
        activity.set_answering();
        Self(activity)
    }
}

impl Drop for Answering<'_> {
    fn drop(&mut self) {
        self.0.set_waiting();
    }
}
