//! Client of the JetStream API of the default account, which clients without credentials use.

use std::{collections::BTreeSet, time::Duration};

use async_nats::{
    ConnectOptions, ServerAddr,
    jetstream::{self, context::Context, response::Response},
};
use futures::TryStreamExt;
use nats_manager_planner::snapshot::{DEFAULT_ACCOUNT, StreamId};
use serde_json::{Value, json};
use tokio::time::timeout;

/// Name of the stream of Kyma Eventing. Without consumers it has no data of users.
pub const EVENTING_STREAM: &str = "sap";

/// Time limit of one call, including the connection.
const LIMIT: Duration = Duration::from_secs(10);
/// Time limit of a connection or of one request of a call.
const REQUEST_LIMIT: Duration = Duration::from_secs(4);

/// Number of names in an inventory. Further streams are only counted.
const NAMES_KEPT: usize = 10;

/// Inventory of the streams and consumers of the default account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountInventory {
    /// Number of all streams.
    pub streams: usize,
    /// Names of the first ten streams, for messages.
    pub names: Vec<String>,
    /// A stream other than [`EVENTING_STREAM`] exists.
    pub customer_stream: bool,
    /// [`EVENTING_STREAM`] has a consumer.
    pub consumer: bool,
}

/// Errors of the JetStream API. Any streams may exist.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The server did not accept the connection.
    #[error("cannot connect to {address}: {cause}")]
    Connect {
        /// Host and port of the server.
        address: String,
        /// Error of the NATS client.
        cause: async_nats::ConnectError,
    },
    /// The names of streams cannot be listed.
    #[error("failed to list streams: {0}")]
    ListStreams(String),
    /// A stream cannot be read.
    #[error("failed to get stream {stream}: {cause}")]
    GetStream {
        /// Name of the stream.
        stream: &'static str,
        /// Error of the client or of the server.
        cause: String,
    },
    /// A leader did not step down.
    #[error("failed to step down the leader of stream {stream}: {cause}")]
    StepDown {
        /// Identity of the stream.
        stream: StreamId,
        /// Error of the client or of the server.
        cause: String,
    },
    /// The call took too long.
    #[error("no answer of the JetStream API within {} s", LIMIT.as_secs())]
    Timeout,
}

impl AccountInventory {
    /// Returns whether no stream exists.
    pub fn is_empty(&self) -> bool {
        self.streams == 0
    }

    fn of(names: BTreeSet<String>) -> Self {
        Self {
            streams: names.len(),
            customer_stream: names.iter().any(|name| name != EVENTING_STREAM),
            names: names.into_iter().take(NAMES_KEPT).collect(),
            consumer: false,
        }
    }
}

/// Lists the names of all streams, as the meta leader reports them.
///
/// # Errors
///
/// Fails if no server accepts the connection, or the JetStream API does not answer within 10 s.
pub async fn stream_names(address: &ServerAddr) -> Result<BTreeSet<String>, ClientError> {
    with_client(address, list).await
}

/// Lists streams and consumers, as the meta leader reports them.
///
/// # Errors
///
/// Fails if no server accepts the connection, or the JetStream API does not answer within 10 s.
pub async fn inventory(address: &ServerAddr) -> Result<AccountInventory, ClientError> {
    with_client(address, async |context| {
        let inventory = AccountInventory::of(list(context).await?);
        let consumer = !inventory.is_empty() && has_consumer(context).await?;
        Ok(AccountInventory { consumer, ..inventory })
    })
    .await
}

/// Makes the leaders of streams of [`DEFAULT_ACCOUNT`] step down: another replica that is in sync is elected.
///
/// # Errors
///
/// Requests all step-downs and returns the first error.
pub async fn step_down(address: &ServerAddr, streams: &[StreamId]) -> Result<(), ClientError> {
    with_client(address, async |context| {
        let mut result = Ok(());
        for stream in streams {
            result = result.and(step_down_one(context, stream).await);
        }
        result
    })
    .await
}

async fn step_down_one(context: &Context, stream: &StreamId) -> Result<(), ClientError> {
    let failed = |cause: String| ClientError::StepDown { stream: stream.clone(), cause };
    if stream.account != DEFAULT_ACCOUNT {
        return Err(failed("its account needs credentials".to_owned()));
    }
    let answer = context.request(format!("STREAM.LEADER.STEPDOWN.{}", stream.name), &json!({})).await;
    match answer.map_err(|error| failed(error.to_string()))? {
        Response::Ok::<Value>(_) => Ok(()),
        Response::Err { error } => Err(failed(error.to_string())),
    }
}

async fn with_client<T>(
    address: &ServerAddr,
    call: impl AsyncFnOnce(&Context) -> Result<T, ClientError>,
) -> Result<T, ClientError> {
    let answer = async {
        let client = connect(address).await?;
        let answer = call(&jetstream::new(client.clone())).await;
        // The connection ends with its last handle. Draining only makes that faster.
        let _ = client.drain().await;
        answer
    };
    timeout(LIMIT, answer).await.unwrap_or(Err(ClientError::Timeout))
}

async fn connect(address: &ServerAddr) -> Result<async_nats::Client, ClientError> {
    let connected = ConnectOptions::new()
        .name("nats-manager")
        .connection_timeout(REQUEST_LIMIT)
        .request_timeout(Some(REQUEST_LIMIT))
        .max_reconnects(1)
        .connect(address.clone())
        .await;
    connected.map_err(|cause| ClientError::Connect { address: format!("{}:{}", address.host(), address.port()), cause })
}

async fn list(context: &Context) -> Result<BTreeSet<String>, ClientError> {
    let names = context.stream_names().try_collect().await;
    names.map_err(|error| ClientError::ListStreams(error.to_string()))
}

async fn has_consumer(context: &Context) -> Result<bool, ClientError> {
    match context.get_stream(EVENTING_STREAM).await {
        Ok(stream) => Ok(stream.cached_info().state.consumer_count > 0),
        // It does not exist, or was deleted since it was listed.
        Err(error) if is_not_found(&error) => Ok(false),
        Err(error) => Err(ClientError::GetStream { stream: EVENTING_STREAM, cause: error.to_string() }),
    }
}

fn is_not_found(error: &jetstream::context::GetStreamError) -> bool {
    use jetstream::{ErrorCode, context::GetStreamErrorKind};
    matches!(error.kind(), GetStreamErrorKind::JetStream(cause) if cause.error_code() == ErrorCode::STREAM_NOT_FOUND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inventory_counts_all_streams_and_names_the_first() {
        let names = |names: &[&str]| AccountInventory::of(names.iter().map(|name| (*name).to_owned()).collect());
        let expected = AccountInventory { streams: 1, names: vec!["sap".to_owned()], ..AccountInventory::default() };
        assert_eq!(names(&["sap"]), expected);
        assert!(names(&["sap", "orders"]).customer_stream);
        assert!(names(&[]).is_empty() && !names(&[]).customer_stream);
        let many = AccountInventory::of((0..15).map(|index| format!("s{index:02}")).collect());
        assert_eq!((many.streams, many.names.len(), many.names[0].as_str()), (15, NAMES_KEPT, "s00"));
    }

    #[test]
    fn calls_can_be_spawned() {
        fn is_send<T: Send>(_: &T) {}
        let address: ServerAddr = "nats://127.0.0.1:1".parse().unwrap();
        is_send(&stream_names(&address));
        is_send(&inventory(&address));
        is_send(&step_down(&address, &[]));
    }
}
