//! Errors of polls: the causes for which a server has no usable answer.

use std::{error::Error, io, time::Duration};

use hyper::StatusCode;
use nats_manager_planner::snapshot::Unreachable;

/// Longest cause in characters: the cause may quote the answer.
const LONGEST_CAUSE: usize = 300;

/// Cause for which a server has no usable answer. The messages stay constant while the cause lasts.
#[derive(Debug, thiserror::Error)]
pub enum PollError {
    /// The connection was refused, or there is no route.
    #[error("cannot connect to the monitoring port: {0}")]
    Connect(io::Error),
    /// The connection was neither accepted nor refused, mostly because packets are dropped.
    #[error("no connection to the monitoring port within {} s", .0.as_secs_f32())]
    ConnectTimeout(Duration),
    /// The server accepted the connection and sent nothing.
    #[error("no answer within {} s", .0.as_secs_f32())]
    NoAnswer(Duration),
    /// The server began to answer and did not end.
    #[error("no complete answer within {} s", .0.as_secs_f32())]
    Incomplete(Duration),
    /// The connection broke, or the answer is not HTTP.
    #[error("connection to the monitoring port failed: {}", chain(.0))]
    Http(#[from] hyper::Error),
    /// The server answered with another status than 200.
    #[error("no usable answer: HTTP status {0}")]
    Status(StatusCode),
    /// The body is not what was requested.
    #[error("no usable answer: {0}")]
    Unusable(String),
    /// Another server answers at the address.
    #[error("no usable answer: it comes from a server with the name {name}")]
    OtherServer {
        /// The name that it reports.
        name: String,
    },
    /// The server restarted between two requests of a poll.
    #[error("the server restarted during the poll")]
    Restarted,
    /// The server ended JetStream because it is stopping.
    #[error("it is stopping")]
    Stopping,
}

impl From<serde_json::Error> for PollError {
    /// Leaves out the position, which differs from answer to answer.
    fn from(error: serde_json::Error) -> Self {
        let text = error.to_string();
        Self::Unusable(text.rsplit_once(" at line ").map_or(text.as_str(), |(cause, _)| cause).to_owned())
    }
}

impl From<PollError> for Unreachable {
    /// Keeps the message.
    fn from(error: PollError) -> Self {
        Self(error.to_string().chars().take(LONGEST_CAUSE).collect())
    }
}

/// Formats an error with its source.
fn chain(error: &hyper::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}
