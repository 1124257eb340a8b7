//! Webhooks over HTTP, independent of a socket.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Bytes,
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header::CONTENT_TYPE},
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

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Time limits for the parts of a request, 3 s each by default. The apiserver times out after the `timeoutSeconds` of
/// the webhook configuration, which is 5.
#[derive(Clone, Copy, Debug)]
pub struct RequestTimeouts {
    /// Limit for the body to arrive.
    pub body: Duration,
    /// Limit for the review, from the complete body to the response.
    pub handler: Duration,
}

impl Default for RequestTimeouts {
    fn default() -> Self {
        Self { body: Duration::from_secs(3), handler: Duration::from_secs(3) }
    }
}

/// Builds the router that serves each webhook at its [`WebhookKind::path`].
///
/// # Examples
///
/// The validating webhook rejects an even cluster size:
///
/// ```
/// use std::{sync::Arc, time::Duration};
///
/// use axum::{body::{Body, to_bytes}, http::{Request, StatusCode}};
/// use nats_manager_api::{NamespacedName, rules::ClusterFacts};
/// use nats_manager_webhook::{
///     FactSource, Observer, Rejection, RequestTimeouts, ReviewOutcome, WebhookKind, router,
/// };
/// use serde_json::{Value, json};
/// use tower::ServiceExt;
///
/// struct Facts;
///
/// impl FactSource for Facts {
///     fn cluster_facts(&self, _: &NamespacedName, _: Option<&str>) -> ClusterFacts {
///         ClusterFacts::default()
///     }
///
///     fn allowed(&self) -> Option<NamespacedName> {
///         None
///     }
/// }
///
/// struct NoMetrics;
///
/// impl Observer for NoMetrics {
///     fn reviewed(&self, _: WebhookKind, _: ReviewOutcome, _: Duration) {}
///     fn handshake_rejected(&self, _: Rejection) {}
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let router = router(Arc::new(Facts), Arc::new(NoMetrics), RequestTimeouts::default());
/// let review = json!({
///     "apiVersion": "admission.k8s.io/v1",
///     "kind": "AdmissionReview",
///     "request": {
///         "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
///         "kind": {"group": "operator.kyma-project.io", "version": "v1alpha1", "kind": "NATS"},
///         "operation": "CREATE",
///         "namespace": "kyma-system",
///         "name": "eventing-nats",
///         "object": {
///             "metadata": {"namespace": "kyma-system", "name": "eventing-nats"},
///             "spec": {"cluster": {"size": 2}},
///         },
///     },
/// });
/// let request = Request::post(WebhookKind::Validate.path())
///     .header("content-type", "application/json")
///     .body(Body::from(review.to_string()))?;
///
/// let response = router.oneshot(request).await?;
/// assert_eq!(response.status(), StatusCode::OK);
/// let body: Value = serde_json::from_slice(&to_bytes(response.into_body(), 1 << 20).await?)?;
/// assert_eq!(body["response"]["allowed"], false);
/// let cause = &body["response"]["status"]["details"]["causes"][0];
/// assert_eq!(cause["field"], "spec.cluster.size");
/// assert_eq!(cause["message"], "Invalid value: 2: size only accepts odd numbers");
/// # Ok(())
/// # }
/// ```
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

/// Reason for which a request gets an HTTP error.
#[derive(Debug, thiserror::Error)]
enum HandlerError {
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error(transparent)]
    Review(#[from] ReviewError),
    #[error("the response took too long")]
    Timeout,
    #[error("the response failed")]
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
        let (outcome, response) = match result {
            Ok((outcome, answer)) => (outcome, ([(CONTENT_TYPE, JSON)], answer).into_response()),
            Err(error) => {
                let outcome = error.outcome();
                if outcome == ReviewOutcome::Failed {
                    tracing::error!(webhook = webhook.as_str(), %error, "failed to answer an admission review");
                } else {
                    tracing::debug!(webhook = webhook.as_str(), %error, "received no readable admission review");
                }
                (outcome, error.into_response())
            }
        };
        self.observer.reviewed(webhook, outcome, begun.elapsed());
        response
    }

    /// Reviews a body. An ordinary one takes less time than its transfer to another thread. A large one takes tens of
    /// milliseconds and would block all other requests on this thread, so another thread reviews it.
    async fn answer(
        self: &Arc<Self>,
        webhook: WebhookKind,
        received: Received,
    ) -> Result<(ReviewOutcome, Vec<u8>), HandlerError> {
        let Received { bytes, large } = received;
        let Some(permit) = large else {
            // A client that sends requests without a pause gets one response per turn of the scheduler.
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
        // A review only reads, so a panic leaves nothing half changed.
        let answer = catch_unwind(AssertUnwindSafe(|| review(webhook, body, &*self.facts)));
        Ok(answer.map_err(|_| HandlerError::Panic)??)
    }
}

impl HandlerError {
    fn outcome(&self) -> ReviewOutcome {
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
