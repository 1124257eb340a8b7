//! One connection: the TLS handshake where there is one, then requests until one side closes.

use std::{convert::Infallible, io, sync::Arc};

use axum::{
    Router,
    body::Body,
    http::{HeaderValue, Request, header::CONNECTION},
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite, BufReader},
    net::TcpStream,
    sync::watch,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use super::{
    Phase, ServerOptions,
    activity::Activity,
    timed::{TimeLimits, Timed},
    tls::rejection,
};
use crate::{Observer, Rejection};

/// Size of the read buffer in bytes, for the header of a request and for each part of a body.
const BUFFER: usize = 32 << 10;

/// Size of the buffer between the socket and TLS in bytes: most requests take one read with it. rustls itself reads at
/// most 4 KiB at a time.
const RECORD_BUFFER: usize = 8 << 10;

/// Security of the connections.
#[derive(Clone)]
pub(super) enum Transport {
    Plain,
    Tls { acceptor: TlsAcceptor, observer: Arc<dyn Observer> },
}

/// Configuration shared by all connections.
#[derive(Clone)]
pub(super) struct ConnectionContext {
    pub(super) transport: Transport,
    pub(super) router: Router,
    pub(super) options: ServerOptions,
    pub(super) phase: watch::Receiver<Phase>,
}

impl ConnectionContext {
    /// Serves a connection until it ends.
    pub(super) async fn serve(self, stream: TcpStream, activity: Arc<Activity>) {
        // Responses are small, and clients wait for them.
        let _ = stream.set_nodelay(true);
        match &self.transport {
            Transport::Plain => self.exchange(stream, activity).await,
            Transport::Tls { acceptor, observer } => {
                let stream = BufReader::with_capacity(RECORD_BUFFER, stream);
                match timeout(self.options.handshake, acceptor.accept(stream)).await {
                    Ok(Ok(stream)) => self.exchange(stream, activity).await,
                    Ok(Err(error)) => rejected(observer.as_ref(), rejection(&error), &error),
                    Err(_) => rejected(observer.as_ref(), Rejection::Timeout, &io::ErrorKind::TimedOut.into()),
                }
            }
        }
    }

    async fn exchange(&self, stream: impl AsyncRead + AsyncWrite + Unpin, activity: Arc<Activity>) {
        activity.set_waiting();
        let ServerOptions { head, exchange, idle, .. } = self.options;
        let stream = Timed::new(stream, Arc::clone(&activity), TimeLimits { head, exchange, idle });
        let service = service_fn(|request: Request<Incoming>| {
            let answering = Answering::begin(&activity);
            let (router, phase) = (self.router.clone(), &self.phase);
            async move {
                let mut response = router.oneshot(request.map(Body::new)).await?;
                drop(answering);
                // While draining, the client sends its next request to a replica that stays.
                if self.options.closes_after_response || *phase.borrow() != Phase::Open {
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
}

fn rejected(observer: &dyn Observer, reason: Rejection, error: &io::Error) {
    tracing::debug!(reason = reason.as_str(), %error, "rejected a TLS handshake");
    observer.handshake_rejected(reason);
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
