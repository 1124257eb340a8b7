//! Requests with the system account: what clients may not ask of JetStream.

use std::time::Duration;

use async_nats::{ConnectOptions, ServerAddr};
use serde::Deserialize;
use tokio::time::timeout;

pub use super::credentials::Credentials;

/// A connection with the system account.
#[derive(Debug)]
pub struct Client(async_nats::Client);

/// A request was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum SystemError {
    /// The Secret with the account is not there, or nobody can read it.
    #[error("the Secret of the system account has no user and password")]
    NoCredentials,
    /// No connection to a server.
    #[error("cannot connect to {address} with the system account: {cause}")]
    Connect {
        /// Where it was tried.
        address: String,
        /// Why not.
        cause: async_nats::ConnectError,
    },
    /// No server answered.
    #[error("no answer to {what}: {cause}")]
    Request {
        /// What was asked for.
        what: &'static str,
        /// Why there is none.
        cause: async_nats::RequestError,
    },
    /// The answer is none that we know.
    #[error("the answer to {what} cannot be read: {cause}")]
    Unreadable {
        /// What was asked for.
        what: &'static str,
        /// Why.
        cause: serde_json::Error,
    },
    /// JetStream refused.
    #[error("JetStream refuses {what}: {description} ({code})")]
    Refused {
        /// What was asked for.
        what: &'static str,
        /// What JetStream says.
        description: String,
        /// Its error code.
        code: u32,
    },
    /// Too slow.
    #[error("connecting took more than {} s", LIMIT.as_secs())]
    Timeout,
}

/// How long a connection or a request may take.
const LIMIT: Duration = Duration::from_secs(5);

/// `JSClusterServerNotMemberErr`: removed already, or never there.
const NOT_A_MEMBER: u32 = 10044;

/// An answer of the JetStream API: with an error, or without.
#[derive(Deserialize)]
struct Answer {
    error: Option<ApiError>,
}

#[derive(Deserialize)]
struct ApiError {
    #[serde(default)]
    description: String,
    #[serde(default)]
    err_code: u32,
}

impl Client {
    /// Connects to a server of the cluster.
    pub async fn connect(address: &ServerAddr, credentials: Option<&Credentials>) -> Result<Self, SystemError> {
        let credentials = credentials.ok_or(SystemError::NoCredentials)?;
        let (user, password) = (credentials.user().to_owned(), credentials.password().to_owned());
        let connected = ConnectOptions::with_user_and_password(user, password)
            .name("nats-manager")
            .connection_timeout(LIMIT)
            .request_timeout(Some(LIMIT))
            .max_reconnects(1)
            .connect(address.clone());
        let address = format!("{}:{}", address.host(), address.port());
        let client = timeout(LIMIT, connected).await.map_err(|_| SystemError::Timeout)?;
        client.map(Self).map_err(|cause| SystemError::Connect { address, cause })
    }

    /// Moves a stream's copy off a server, consumers included. A copy is made elsewhere before this
    /// one goes, so clients notice nothing; a stream that moves has one copy more than it asks for.
    /// The new place is JetStream's choice (measured with NATS 2.14.2, for one copy and for three).
    pub async fn move_stream(&self, account: &str, stream: &str, off: &str) -> Result<(), SystemError> {
        let subject = format!("$JS.API.ACCOUNT.STREAM.MOVE.{account}.{stream}");
        self.api("moving a stream", subject, &serde_json::json!({ "server": off })).await
    }

    /// Removes a server that stopped from the meta group. Copies that it had of streams with
    /// several are made anew elsewhere. Its name cannot come back for five minutes.
    pub async fn remove_peer(&self, server: &str) -> Result<(), SystemError> {
        let subject = "$JS.API.SERVER.REMOVE".to_owned();
        match self.api("removing a server", subject, &serde_json::json!({ "peer": server })).await {
            Err(SystemError::Refused { code: NOT_A_MEMBER, .. }) => Ok(()),
            answer => answer,
        }
    }

    /// Has a server read its configuration again, by the identity that it tells of itself. In a
    /// cluster that also starts a JetStream that a full volume had switched off.
    pub async fn reload(&self, server_id: &str) -> Result<(), SystemError> {
        let subject = format!("$SYS.REQ.SERVER.{server_id}.RELOAD");
        self.api("reloading", subject, &serde_json::json!({})).await
    }

    async fn api(&self, what: &'static str, subject: String, body: &serde_json::Value) -> Result<(), SystemError> {
        let answer = self.0.request(subject, body.to_string().into()).await;
        let answer = answer.map_err(|cause| SystemError::Request { what, cause })?;
        let answer: Answer =
            serde_json::from_slice(&answer.payload).map_err(|cause| SystemError::Unreadable { what, cause })?;
        match answer.error {
            None => Ok(()),
            Some(ApiError { description, err_code: code }) => Err(SystemError::Refused { what, description, code }),
        }
    }
}
