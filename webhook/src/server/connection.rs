//! One connection: the handshake, then requests until one side has enough.

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

/// Room for the header of a request, and what is read of a body at a time.
const BUFFER: usize = 32 << 10;

/// What all connections have in common.
#[derive(Clone)]
pub(super) struct Common {
    pub(super) tls: TlsAcceptor,
    pub(super) router: Router,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) options: ServerOptions,
    pub(super) phase: watch::Receiver<Phase>,
}

impl Common {
    /// Serves a connection to its end.
    pub(super) async fn serve(self, stream: TcpStream, activity: Arc<Activity>) {
        // Answers are small and waited for.
        let _ = stream.set_nodelay(true);
        let stream = match timeout(self.options.handshake, self.tls.accept(stream)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return self.rejected(rejection(&error), &error),
            Err(_) => return self.rejected(Rejection::Timeout, &io::ErrorKind::TimedOut.into()),
        };
        activity.waits();
        let stream = Timed::new(stream, Arc::clone(&activity), self.options.exchange, self.options.idle);
        let phase = self.phase.clone();
        let service = service_fn(|request: Request<Incoming>| {
            let answering = Answering::begin(&activity);
            let (router, phase) = (self.router.clone(), &phase);
            async move {
                let mut response = router.oneshot(request.map(Body::new)).await?;
                drop(answering);
                if *phase.borrow() != Phase::Open {
                    // The client takes its next request to a replica that stays.
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
            // A request that has come already is answered first.
            biased;
            ended = &mut connection => ended,
            () = closing(self.phase.clone()) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "connection broke off");
        }
    }

    fn rejected(&self, reason: Rejection, error: &io::Error) {
        tracing::debug!(reason = reason.as_str(), %error, "handshake failed");
        self.observer.handshake_rejected(reason);
    }
}

/// Until connections are to end, also when nobody is left to say so.
async fn closing(mut phase: watch::Receiver<Phase>) {
    let _ = phase.wait_for(|phase| *phase == Phase::Closing).await;
}

/// Marks a connection as answering, also when the answer is given up.
struct Answering<'a>(&'a Activity);

impl<'a> Answering<'a> {
    fn begin(activity: &'a Activity) -> Self {
        activity.answers();
        Self(activity)
    }
}

impl Drop for Answering<'_> {
    fn drop(&mut self) {
        self.0.waits();
    }
}
