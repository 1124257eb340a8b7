//! The HTTP side of the webhooks, without a socket.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Bytes,
    extract::{Request, State},
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::post,
};
use tokio::{
    task::{spawn_blocking, yield_now},
    time::timeout,
};

use crate::{
    FactSource, Observer, ReviewOutcome, WebhookKind,
    body::{BodyError, BodyReader, Received},
    review::{ReviewError, review},
};

/// How long the parts of a request may take. The apiserver gives up after the `timeoutSeconds` of
/// the webhook configuration, 5 there.
#[derive(Clone, Copy, Debug)]
pub struct RequestTimeouts {
    /// Until the body is there.
    pub body: Duration,
    /// Until there is an answer to it.
    pub handler: Duration,
}

impl Default for RequestTimeouts {
    fn default() -> Self {
        Self { body: Duration::from_secs(3), handler: Duration::from_secs(3) }
    }
}

/// The webhooks at their [`WebhookKind::path`].
pub fn router(facts: Arc<dyn FactSource>, observer: Arc<dyn Observer>, limits: RequestTimeouts) -> Router {
    let server = Arc::new(Server { facts, observer, reader: BodyReader::new(limits.body), limit: limits.handler });
    let handler = |webhook| {
        post(
            move |State(server): State<Arc<Server>>, request: Request| async move { server.handle(webhook, request).await },
        )
    };
    let routes = Router::new();
    WebhookKind::ALL
        .iter()
        .fold(routes, |routes, webhook| routes.route(webhook.path(), handler(*webhook)))
        .with_state(server)
}

struct Server {
    facts: Arc<dyn FactSource>,
    observer: Arc<dyn Observer>,
    reader: BodyReader,
    limit: Duration,
}

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
enum HandlerError {
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error(transparent)]
    Review(#[from] ReviewError),
    #[error("answering took too long")]
    Timeout,
    #[error("answering failed")]
    Panic,
}

impl Server {
    async fn handle(self: Arc<Self>, webhook: WebhookKind, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        let mut begun = Instant::now();
        let result = match self.reader.read(&parts, body).await {
            Ok(received) => {
                begun = Instant::now();
                self.answer(webhook, received).await
            }
            Err(error) => Err(error.into()),
        };
        let (verdict, response) = match result {
            Ok((verdict, answer)) => (verdict, ([(CONTENT_TYPE, "application/json")], answer).into_response()),
            Err(error) => {
                let verdict = error.verdict();
                if verdict == ReviewOutcome::Failed {
                    tracing::error!(webhook = webhook.as_str(), %error, "no answer to an admission review");
                } else {
                    tracing::debug!(webhook = webhook.as_str(), %error, "no admission review");
                }
                (verdict, error.into_response())
            }
        };
        self.observer.reviewed(webhook, verdict, begun.elapsed());
        response
    }

    /// An everyday body is answered in less time than it takes to hand it to another thread; a
    /// large one, tens of milliseconds to read, would hold up everything else on this one.
    async fn answer(
        self: &Arc<Self>,
        webhook: WebhookKind,
        received: Received,
    ) -> Result<(ReviewOutcome, Vec<u8>), HandlerError> {
        let Received { bytes, large } = received;
        let Some(permit) = large else {
            // A client that sends one request after the other without a pause gets one answer a turn.
            yield_now().await;
            return self.review(webhook, &bytes);
        };
        let server = Arc::clone(self);
        let task = spawn_blocking(move || {
            let answer = server.review(webhook, &bytes);
            drop((bytes, permit));
            answer
        });
        match timeout(self.limit, task).await {
            Ok(answer) => answer.unwrap_or(Err(HandlerError::Panic)),
            Err(_) => Err(HandlerError::Timeout),
        }
    }

    fn review(&self, webhook: WebhookKind, body: &Bytes) -> Result<(ReviewOutcome, Vec<u8>), HandlerError> {
        // Nothing is changed halfway: a review only reads.
        let answer = catch_unwind(AssertUnwindSafe(|| review(webhook, body, &*self.facts)));
        Ok(answer.map_err(|_| HandlerError::Panic)??)
    }
}

impl HandlerError {
    fn verdict(&self) -> ReviewOutcome {
        match self {
            Self::Body(_) | Self::Review(ReviewError::Unreadable(_)) => ReviewOutcome::Unreadable,
            Self::Review(ReviewError::Answer(_)) | Self::Timeout | Self::Panic => ReviewOutcome::Failed,
        }
    }
}

impl IntoResponse for HandlerError {
    fn into_response(self) -> Response {
        let code = match self {
            Self::Body(error) => return error.into_response(),
            Self::Review(ReviewError::Unreadable(_)) => StatusCode::BAD_REQUEST,
            Self::Review(ReviewError::Answer(_)) | Self::Panic => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Timeout => StatusCode::SERVICE_UNAVAILABLE,
        };
        (code, format!("{self}\n")).into_response()
    }
}
