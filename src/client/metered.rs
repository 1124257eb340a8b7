//! Layer that counts requests to the apiserver and limits their time.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    BoxError,
    body::{Body as AnswerBody, Bytes, HttpBody, to_bytes},
    http::{Request, Response},
};
use futures::future::BoxFuture;
use kube::client::Body;
use thiserror::Error;
use tokio::time::timeout;
use tower::{Layer, Service};

use crate::telemetry::{Metrics, RequestLabels, is_watch};

/// Request without a response in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the apiserver did not answer within {} s", .0.as_secs())]
pub(super) struct RequestTimeout(Duration);

/// Layer that counts requests and limits the time of all but watches.
#[derive(Debug, Clone)]
pub(super) struct Metered {
    metrics: Metrics,
    limit: Duration,
}

/// Service whose requests are counted.
#[derive(Debug, Clone)]
pub(super) struct CountedRequests<S> {
    inner: S,
    metrics: Metrics,
    limit: Duration,
}

/// Limit from the request to the end of the response body. Users would assume that a longer request hangs.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);

impl Metered {
    /// Counts in `metrics`, and limits all requests but watches to 30 s. kube's watcher renews a watch that is without
    /// events for five minutes.
    pub(super) fn new(metrics: &Metrics) -> Self {
        Self { metrics: metrics.clone(), limit: REQUEST_LIMIT }
    }
}

impl<S> Layer<S> for Metered {
    type Service = CountedRequests<S>;

    fn layer(&self, inner: S) -> CountedRequests<S> {
        CountedRequests { inner, metrics: self.metrics.clone(), limit: self.limit }
    }
}

impl<S, B> Service<Request<Body>> for CountedRequests<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: Into<BoxError> + Send,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<AnswerBody>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let labels = RequestLabels::of(&request);
        // The head of a watch arrives at once. Only its body does not end.
        let with_body = !is_watch(&request);
        let answer = self.inner.call(request);
        let (metrics, limit) = (self.metrics.clone(), self.limit);
        Box::pin(async move {
            let result = timeout(limit, read(answer, with_body)).await;
            metrics.request_answered(&match &result {
                Ok(Ok(response)) => labels.answered(response.status()),
                Ok(Err(_)) => labels,
                Err(_) => labels.timed_out(),
            });
            result.unwrap_or_else(|_| Err(RequestTimeout(limit).into()))
        })
    }
}

/// Waits for the head of a response, and `with_body` for its body too, since a body can hang as well.
async fn read<B, E>(
    answer: impl Future<Output = Result<Response<B>, E>>,
    with_body: bool,
) -> Result<Response<AnswerBody>, BoxError>
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
    E: Into<BoxError>,
{
    let response = answer.await.map_err(Into::into)?.map(AnswerBody::new);
    if !with_body {
        return Ok(response);
    }
    let (head, body) = response.into_parts();
    let bytes = to_bytes(body, usize::MAX).await?;
    Ok(Response::from_parts(head, bytes.into()))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::stream;
    use k8s_openapi::api::core::v1::Secret;
    use kube::{
        Api, Client,
        client::ClientBuilder,
        runtime::{WatchStreamExt, watcher},
    };

    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);

    /// Builds the client of an apiserver that hangs: before the head for names that end in `no-head`, otherwise in the
    /// body.
    fn hanging(metrics: &Metrics) -> Client {
        let apiserver = tower::service_fn(|request: Request<Body>| async move {
            if request.uri().path().ends_with("no-head") {
                std::future::pending::<()>().await;
            }
            let endless = stream::pending::<Result<Bytes, Infallible>>();
            Ok::<_, BoxError>(Response::new(AnswerBody::from_stream(endless)))
        });
        let layer = Metered { metrics: metrics.clone(), limit: LIMIT };
        ClientBuilder::new(apiserver, "default").with_layer(&layer).build()
    }

    #[tokio::test(start_paused = true)]
    async fn hanging_apiserver_causes_timeout() {
        let metrics = Metrics::new();
        let api: Api<Secret> = Api::namespaced(hanging(&metrics), "a");
        for name in ["no-head", "no-body"] {
            let error = timeout(LIMIT * 2, api.get(name)).await.unwrap().unwrap_err();
            assert!(error.to_string().contains("did not answer within 5 s"), "{error}");
        }
        let text = metrics.encode().unwrap();
        assert!(text.contains(r#"requests_total{verb="get",resource="secrets",code="timeout"} 2"#), "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn watch_without_events_has_no_timeout() {
        let metrics = Metrics::new();
        let api: Api<Secret> = Api::namespaced(hanging(&metrics), "a");
        let version = api.watch(&kube::api::WatchParams::default(), "1").await;
        assert!(version.is_ok());
        // A list that stalls is no watch.
        let mut events = std::pin::pin!(watcher(api, watcher::Config::default()).touched_objects());
        let first = timeout(LIMIT * 2, futures::StreamExt::next(&mut events)).await.unwrap();
        assert!(first.is_some_and(|event| event.is_err()));
        let text = metrics.encode().unwrap();
        assert!(text.contains(r#"requests_total{verb="watch",resource="secrets",code="200"} 1"#), "{text}");
    }
}
