//! Which streams and consumers there are.

use std::{collections::BTreeSet, time::Duration};

use async_nats::{
    ConnectOptions, ServerAddr,
    jetstream::{self, context::Context},
};
use futures::TryStreamExt;
use tokio::time::timeout;

/// The stream that Eventing makes: empty of consumers, it is no customer's data.
pub(super) const EVENTING_STREAM: &str = "sap";

/// How long one question may take, connecting included.
const LIMIT: Duration = Duration::from_secs(10);
const REQUEST_LIMIT: Duration = Duration::from_secs(4);

/// Names beyond these are counted, not kept.
const NAMES_KEPT: usize = 10;

/// What JetStream holds in the account that clients without credentials use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// How many streams there are.
    pub streams: usize,
    /// The first names, for messages.
    pub names: Vec<String>,
    /// Whether a stream other than `sap` exists.
    pub customer_stream: bool,
    /// Whether `sap` has a consumer.
    pub consumer: bool,
}

/// JetStream could not be asked: it may hold anything.
#[derive(Debug, thiserror::Error)]
pub enum Unreachable {
    /// No connection to a server.
    #[error("cannot connect to {address}: {cause}")]
    Connect {
        /// Where it was tried.
        address: String,
        /// Why not.
        cause: async_nats::ConnectError,
    },
    /// A server answers, but not for JetStream.
    #[error("JetStream does not answer: {0}")]
    Request(String),
    /// No answer in time.
    #[error("JetStream did not answer within {} s", LIMIT.as_secs())]
    Timeout,
}

impl Contents {
    /// Whether there is any stream at all.
    pub fn is_empty(&self) -> bool {
        self.streams == 0
    }

    fn add(&mut self, name: String) {
        self.streams += 1;
        self.customer_stream |= name != EVENTING_STREAM;
        if self.names.len() < NAMES_KEPT {
            self.names.push(name);
        }
    }
}

/// Asks the server at `address`.
pub async fn ask(address: &ServerAddr) -> Result<Contents, Unreachable> {
    timeout(LIMIT, contents(address)).await.unwrap_or(Err(Unreachable::Timeout))
}

/// A connection without credentials.
pub(super) async fn connect(address: &ServerAddr) -> Result<async_nats::Client, Unreachable> {
    let connected = ConnectOptions::new()
        .name("nats-manager")
        .connection_timeout(REQUEST_LIMIT)
        .request_timeout(Some(REQUEST_LIMIT))
        .max_reconnects(1)
        .connect(address.clone())
        .await;
    connected.map_err(|cause| Unreachable::Connect { address: format!("{}:{}", address.host(), address.port()), cause })
}

/// Asks the server at `address` for the names of all streams, as the meta leader knows them.
pub async fn stream_names(address: &ServerAddr) -> Result<BTreeSet<String>, Unreachable> {
    let names = with_client(address, async |context| list(context).await);
    timeout(LIMIT, names).await.unwrap_or(Err(Unreachable::Timeout))
}

async fn contents(address: &ServerAddr) -> Result<Contents, Unreachable> {
    with_client(address, async |context| {
        let mut contents = Contents::default();
        list(context).await?.into_iter().for_each(|name| contents.add(name));
        contents.consumer = !contents.is_empty() && has_consumer(context).await?;
        Ok(contents)
    })
    .await
}

async fn with_client<T>(
    address: &ServerAddr,
    ask: impl AsyncFnOnce(&Context) -> Result<T, Unreachable>,
) -> Result<T, Unreachable> {
    let client = connect(address).await?;
    let answer = ask(&jetstream::new(client.clone())).await;
    // The connection goes with its last handle; draining only speeds that up.
    let _ = client.drain().await;
    answer
}

async fn list(context: &Context) -> Result<BTreeSet<String>, Unreachable> {
    let names = context.stream_names().try_collect().await;
    names.map_err(|error| Unreachable::Request(error.to_string()))
}

async fn has_consumer(context: &Context) -> Result<bool, Unreachable> {
    match context.get_stream(EVENTING_STREAM).await {
        Ok(stream) => Ok(stream.cached_info().state.consumer_count > 0),
        // Gone since it was listed, or never there.
        Err(error) if is_not_found(&error) => Ok(false),
        Err(error) => Err(Unreachable::Request(error.to_string())),
    }
}

fn is_not_found(error: &jetstream::context::GetStreamError) -> bool {
    use jetstream::{ErrorCode, context::GetStreamErrorKind};
    matches!(error.kind(), GetStreamErrorKind::JetStream(cause) if cause.error_code() == ErrorCode::STREAM_NOT_FOUND)
}
