//! Reading the body of a request: of the right type, within limits of size and time.

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

/// The largest body: an object and an old object of what the apiserver takes at most, and room.
pub const LARGEST_BODY: usize = 8 << 20;
/// A larger body is read to this length before the answer, or a client that is still writing would
/// see a broken connection instead of it.
const LARGEST_READ: usize = 4 * LARGEST_BODY;
/// Up to here a body is an everyday one. Larger ones are let in a few at a time, or they would take
/// all memory together.
const SMALL: usize = 64 << 10;
/// How many large bodies are in at a time.
const LARGE_AT_A_TIME: usize = 2;

/// Reads bodies.
#[derive(Debug)]
pub(crate) struct BodyReader {
    large: Arc<Semaphore>,
    limit: Duration,
}

/// A body that was read.
pub(crate) struct Received {
    pub(crate) bytes: Bytes,
    /// Held as long as a large body, or what was made of it, is in memory.
    pub(crate) large: Option<OwnedSemaphorePermit>,
}

/// Why there is no body.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("the content type must be application/json")]
    ContentType,
    #[error("the body is larger than {LARGEST_BODY} bytes")]
    TooLarge,
    #[error("the body did not arrive in time")]
    Timeout,
    #[error("the body broke off")]
    Broken,
}

impl BodyReader {
    pub(crate) fn new(limit: Duration) -> Self {
        Self { large: Arc::new(Semaphore::new(LARGE_AT_A_TIME)), limit }
    }

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
        let mut all = Vec::with_capacity(announced.unwrap_or_default().min(SMALL));
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
            if length > SMALL && large.is_none() {
                // Never closed, so never an error.
                large = Arc::clone(&self.large).acquire_owned().await.ok();
            }
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
