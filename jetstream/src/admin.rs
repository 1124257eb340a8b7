//! Client of the JetStream API of the system account.

use std::time::Duration;

use async_nats::{ConnectOptions, ServerAddr};
use nats_manager_planner::{plan::PeerRef, snapshot::StreamId};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::credentials::Credentials;

/// A connection to a NATS server with the system account.
#[derive(Debug)]
pub struct Admin(async_nats::Client);

/// Errors of connections and requests with the system account.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The Secret of the system account does not exist or cannot be parsed.
    #[error("the Secret of the system account has no user and password")]
    NoCredentials,
    /// The server did not accept the connection.
    #[error("cannot connect to {address} with the system account: {cause}")]
    Connect {
        /// Host and port of the server.
        address: String,
        /// Error of the client or of the server.
        cause: ConnectCause,
    },
    /// The server rejected a request, or did not answer it.
    #[error("failed to {task}: {cause}")]
    Request {
        /// The request as an infinitive with its object, for the message.
        task: String,
        /// Error of the client or of the server.
        cause: RequestCause,
    },
}

/// The cause of a failed connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectCause {
    /// The NATS client reported an error.
    #[error(transparent)]
    Client(#[from] async_nats::ConnectError),
    /// The connection took too long.
    #[error("no answer within {} s", LIMIT.as_secs())]
    Timeout,
}

/// The cause of a failed request.
#[derive(Debug, thiserror::Error)]
pub enum RequestCause {
    /// No server answered.
    #[error(transparent)]
    Client(#[from] async_nats::RequestError),
    /// The answer cannot be parsed.
    #[error("no usable answer: {0}")]
    Unusable(#[from] serde_json::Error),
    /// JetStream rejected the request.
    #[error("{description} ({code})")]
    Rejected {
        /// JetStream's text.
        description: String,
        /// JetStream's error code.
        code: u32,
    },
}

/// Time limit of a connection or a request.
const LIMIT: Duration = Duration::from_secs(5);

/// Error code `JSClusterServerNotMemberErr`: the server was removed already, or never was a member.
const NOT_A_MEMBER: u32 = 10044;

/// An answer of the JetStream API, with an error or without.
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

impl Admin {
    /// Connects to a server of the cluster.
    ///
    /// # Errors
    ///
    /// Fails without credentials, and if the server rejects the connection or does not answer within 5 s.
    pub async fn connect(address: &ServerAddr, credentials: Option<&Credentials>) -> Result<Self, AdminError> {
        let credentials = credentials.ok_or(AdminError::NoCredentials)?;
        let (user, password) = (credentials.user().to_owned(), credentials.password().to_owned());
        let connected = ConnectOptions::with_user_and_password(user, password)
            .name("nats-manager")
            .connection_timeout(LIMIT)
            .request_timeout(Some(LIMIT))
            .max_reconnects(1)
            .connect(address.clone());
        let connected = timeout(LIMIT, connected).await.map_err(|_| ConnectCause::Timeout);
        let client = connected.and_then(|client| Ok(client?));
        let address = format!("{}:{}", address.host(), address.port());
        client.map(Self).map_err(|cause| AdminError::Connect { address, cause })
    }

    /// Moves the replica of a stream off a server, with its consumers. JetStream chooses the new server and creates the
    /// new replica before it removes this one (measured with NATS 2.14.2, for one replica and for three).
    ///
    /// # Errors
    ///
    /// Fails if JetStream rejects the request or does not answer within 5 s.
    pub async fn move_stream(&self, stream: &StreamId, off_server: &str) -> Result<(), AdminError> {
        let subject = format!("$JS.API.ACCOUNT.STREAM.MOVE.{}.{}", stream.account, stream.name);
        let moved = self.request(subject, &json!({ "server": off_server })).await;
        moved.map_err(|cause| failed(format!("move stream {stream} off {off_server}"), cause))
    }

    /// Removes a stopped peer from the meta group: by its id, or by its name where the id is empty. Streams with
    /// several replicas create new ones elsewhere. The name cannot rejoin for five minutes. A peer that is not a member
    /// counts as removed.
    ///
    /// # Errors
    ///
    /// Fails if JetStream rejects the request or does not answer within 5 s.
    pub async fn remove_peer(&self, peer: &PeerRef) -> Result<(), AdminError> {
        match self.request("$JS.API.SERVER.REMOVE".to_owned(), &removal(peer)).await {
            Ok(()) | Err(RequestCause::Rejected { code: NOT_A_MEMBER, .. }) => Ok(()),
            Err(cause) => Err(failed(format!("remove peer {} from the JetStream meta group", peer.name), cause)),
        }
    }

    /// Reloads the configuration of the server with this id (`server_id`). In a cluster the reload also enables a
    /// JetStream that was disabled because of a full volume.
    ///
    /// # Errors
    ///
    /// Fails if the server rejects the request or does not answer within 5 s.
    pub async fn reload(&self, server_id: &str) -> Result<(), AdminError> {
        let reloaded = self.request(format!("$SYS.REQ.SERVER.{server_id}.RELOAD"), &json!({})).await;
        reloaded.map_err(|cause| failed(format!("reload the configuration of server {server_id}"), cause))
    }

    async fn request(&self, subject: String, body: &Value) -> Result<(), RequestCause> {
        let answer = self.0.request(subject, body.to_string().into()).await?;
        match serde_json::from_slice::<Answer>(&answer.payload)?.error {
            None => Ok(()),
            Some(ApiError { description, err_code: code }) => Err(RequestCause::Rejected { description, code }),
        }
    }
}

fn failed(task: String, cause: RequestCause) -> AdminError {
    AdminError::Request { task, cause }
}

/// Builds the request (`JSApiMetaServerRemoveRequest` of nats-server 2.14.2 and 2.15.3: `peer` is a name, and ignored
/// where `peer_id` is set).
fn removal(peer: &PeerRef) -> Value {
    if peer.id.0.is_empty() { json!({ "peer": peer.name }) } else { json!({ "peer_id": peer.id.0 }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nats_manager_planner::snapshot::PeerId;

    #[test]
    fn peers_are_removed_by_id() {
        let peer = |id: &str| PeerRef { name: "n-3".to_owned(), id: PeerId(id.to_owned()) };
        assert_eq!(removal(&peer("yrzKKRBu")), json!({ "peer_id": "yrzKKRBu" }));
        assert_eq!(removal(&peer("")), json!({ "peer": "n-3" }));
    }

    #[test]
    fn errors_name_the_object() {
        let cause = RequestCause::Rejected { description: "peer remap failed".to_owned(), code: 10075 };
        let error = failed("remove peer n-3 from the JetStream meta group".to_owned(), cause);
        let expected = "failed to remove peer n-3 from the JetStream meta group: peer remap failed (10075)";
        assert_eq!(error.to_string(), expected);
    }
}
