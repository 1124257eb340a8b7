//! Request bodies, read within limits of type, size and time.

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes, HttpBody},
    http::{HeaderMap, StatusCode, header::CONTENT_TYPE, request::Parts},
    response::{IntoResponse, Response},
};
use http_body_util::BodyExt;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// Largest body that is accepted, in bytes: an object and an old object at the apiserver's own limit, with room for the
/// envelope.
pub const LARGEST_BODY: usize = 8 << 20;
/// Bytes that are read of a body that is too large. A client that is still writing when the response arrives gets a
/// broken connection instead of the response.
const LARGEST_READ: usize = 4 * LARGEST_BODY;
/// Largest body of ordinary size, in bytes. At most [`MAX_LARGE_BODIES`] larger bodies are admitted at a time, because
/// together they would take all memory.
const SMALL_BODY: usize = 64 << 10;
/// Upper bound for large bodies in memory at the same time.
const MAX_LARGE_BODIES: usize = 2;

/// Reader of request bodies, shared by all connections.
#[derive(Debug)]
pub(crate) struct BodyReader {
    large: Arc<Semaphore>,
    limit: Duration,
}

/// Body of a request, completely read.
pub(crate) struct Received {
    pub(crate) bytes: Bytes,
    /// Permit of a large body, to be kept while the body or anything parsed from it is in memory.
    pub(crate) large: Option<OwnedSemaphorePermit>,
}

/// Reason for which a request has no usable body.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("the content type must be application/json")]
    ContentType,
    #[error("the body is larger than {LARGEST_BODY} bytes")]
    TooLarge,
    #[error("the body did not arrive in time")]
    Timeout,
    #[error("the body ended early")]
    Broken,
}

impl BodyReader {
    pub(crate) fn new(limit: Duration) -> Self {
        Self { large: Arc::new(Semaphore::new(MAX_LARGE_BODIES)), limit }
    }

    /// Reads the body of a JSON request within the limits.
    pub(crate) async fn read(&self, parts: &Parts, body: Body) -> Result<Received, BodyError> {
        if !is_json(&parts.headers) {
            return Err(BodyError::ContentType);
        }
        timeout(self.limit, self.collect(body)).await.unwrap_or(Err(BodyError::Timeout))
    }

    async fn collect(&self, mut body: Body) -> Result<Received, BodyError> {
        let mut large = None;
        let mut length = 0;
        let announced = body.size_hint().exact().and_then(|exact| usize::try_from(exact).ok());
        let mut all = Vec::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| BodyError::Broken)?.into_data() else { continue };
            length += data.len();
            if length > LARGEST_READ {
                break;
            }
            if length > LARGEST_BODY {
                all = Vec::new();
                large = None;
                continue;
            }
            if length > SMALL_BODY && large.is_none() {
                // The semaphore is never closed, so this is never an error.
                large = Arc::clone(&self.large).acquire_owned().await.ok();
            }
            if all.is_empty() && announced == Some(length) {
                return Ok(Received { bytes: data, large });
            }
            all.reserve(announced.unwrap_or_default().min(SMALL_BODY).saturating_sub(all.len()));
            all.extend_from_slice(&data);
        }
        if length > LARGEST_BODY {
            return Err(BodyError::TooLarge);
        }
        Ok(Received { bytes: all.into(), large })
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

impl IntoResponse for BodyError {
    fn into_response(self) -> Response {
        let code = match self {
            Self::ContentType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Timeout => StatusCode::REQUEST_TIMEOUT,
            Self::Broken => StatusCode::BAD_REQUEST,
        };
        (code, format!("{self}\n")).into_response()
    }
}
