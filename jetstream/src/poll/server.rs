//! Requests to the monitoring port of one server.

use std::{net::SocketAddr, time::Duration};

use http_body_util::{BodyExt, Limited};
use hyper::{Response, StatusCode, body::Bytes, body::Incoming};
use nats_manager_planner::snapshot::{Healthz, ServerSnapshot};
use serde::Deserialize;
use tokio::{sync::mpsc, task::spawn_blocking};

use super::{chunks::Chunks, error::PollError, http::get, jsz};

/// Path of JetStream's state. All replicas are requested, not only those of stream leaders: a stream without a leader
/// would be missing. Without `limit` the server lists 1024 accounts.
const JETSTREAM: &str = "/jsz?accounts=1&streams=1&config=1&limit=100000";
const HEALTH: &str = "/healthz";
const VARIABLES: &str = "/varz";

/// Longest answer to other requests than `/jsz`, in bytes. `/varz` has about 10 KB.
const LONGEST: usize = 1 << 20;
/// Longest text of `/healthz` that is kept, in characters.
const LONGEST_TEXT: usize = 1024;
/// Number of chunks of a body that wait for the parser.
const CHUNKS: usize = 2;

/// Fields of `/varz` that are needed.
#[derive(Debug, Deserialize)]
pub(super) struct Variables {
    pub(super) server_id: String,
    pub(super) server_name: String,
    pub(super) version: String,
    #[serde(default)]
    pub(super) config_digest: String,
}

/// Body of the answer to `/healthz`.
#[derive(Debug, Default, Deserialize)]
struct Health {
    #[serde(default)]
    error: String,
}

/// Requests `/jsz`. The body is parsed while it arrives.
pub(super) async fn jetstream(address: SocketAddr, limit: Duration) -> Result<ServerSnapshot, PollError> {
    get(address, JETSTREAM, limit, async |response| parse(ok(response)?).await).await
}

/// Requests `/varz`, which has name, version and configuration digest of the server.
pub(super) async fn variables(address: SocketAddr, limit: Duration) -> Result<Variables, PollError> {
    let body = get(address, VARIABLES, limit, async |response| short(ok(response)?).await).await?;
    Ok(serde_json::from_slice(&body)?)
}

/// Requests the full `/healthz`. An unusable answer is [`Healthz::Unknown`].
pub(super) async fn healthz(address: SocketAddr, limit: Duration) -> Healthz {
    let answer = get(address, HEALTH, limit, async |response| {
        let status = response.status();
        Ok((status, short(response.into_body()).await?))
    });
    answer.await.map_or(Healthz::Unknown, |(status, body)| health(status, &body))
}

fn health(status: StatusCode, body: &[u8]) -> Healthz {
    if status == StatusCode::OK {
        return Healthz::Ok;
    }
    let health: Health = serde_json::from_slice(body).unwrap_or_default();
    let text: String = health.error.chars().take(LONGEST_TEXT).collect();
    Healthz::Failing(if text.is_empty() { format!("HTTP status {status}") } else { text })
}

fn ok(response: Response<Incoming>) -> Result<Incoming, PollError> {
    match response.status() {
        StatusCode::OK => Ok(response.into_body()),
        status => Err(PollError::Status(status)),
    }
}

async fn short(body: Incoming) -> Result<Bytes, PollError> {
    let collected = Limited::new(body, LONGEST).collect().await;
    collected.map(http_body_util::Collected::to_bytes).map_err(|error| match error.downcast::<hyper::Error>() {
        Ok(error) => PollError::Http(*error),
        Err(_) => PollError::Unusable(format!("longer than {LONGEST} bytes")),
    })
}

/// Parses a body on a thread of its own, so that the runtime's threads stay free.
async fn parse(mut body: Incoming) -> Result<ServerSnapshot, PollError> {
    let (sender, receiver) = mpsc::channel(CHUNKS);
    let parsed = spawn_blocking(move || jsz::parse(Chunks::new(receiver)));
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data()
            && sender.send(data).await.is_err()
        {
            break; // The parser has failed.
        }
    }
    drop(sender);
    parsed.await.map_err(|error| PollError::Unusable(error.to_string()))?
}
