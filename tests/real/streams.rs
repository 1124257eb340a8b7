//! Streams on the running servers.

use std::time::Duration;

use async_nats::{
    ConnectOptions,
    jetstream::{
        self,
        consumer::{DeliverPolicy, pull},
        context::Context,
        stream::{Config, StorageType},
    },
};
use futures::{StreamExt, TryStreamExt};
use kube::Client;
use nats_manager_harness::{Seen, eventually};

use crate::{
    servers,
    world::{SOON, World},
};

/// Name of the stream of Eventing.
pub const STREAM: &str = "sap";
/// Subject of the stream of Eventing.
pub const SUBJECT: &str = "kyma.sap";

const CLIENT_PORT: u16 = 4222;
/// Timeout of a request, short enough to detect an unreachable server before the next one stops.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

impl World<'_> {
    /// Returns a `JetStream` client of the servers that are ready now. Names of the cluster do not resolve in this
    /// process, so the client uses the addresses of these servers only. Create another client after all of them have
    /// restarted.
    pub async fn nats(&self) -> Context {
        eventually("a server accepts a client", SOON, || connect(&self.client)).await
    }

    /// Creates the stream of Eventing, with file storage.
    pub async fn make_stream(&self, replicas: usize) {
        let context = self.nats().await;
        let config = || Config {
            name: STREAM.to_owned(),
            subjects: vec![SUBJECT.to_owned()],
            storage: StorageType::File,
            num_replicas: replicas,
            ..Config::default()
        };
        // Servers that have just become ready may not have formed a meta group yet.
        eventually("the stream is created", SOON, || async { context.create_stream(config()).await.map(|_| true) })
            .await;
    }

    /// Returns the payloads of the stream, the oldest first.
    pub async fn messages(&self) -> Vec<u64> {
        eventually("the stream can be read", SOON, || async {
            let context = self.nats().await;
            read(&context).await.map(Seen::Done).map_err(|error| error.to_string())
        })
        .await
    }

    /// Waits until the stream has a leader and `replicas` replicas in sync, the leader included.
    pub async fn stream_is_in_sync(&self, replicas: usize) {
        eventually("every replica is in sync", SOON, || async {
            let context = self.nats().await;
            let mut stream = context.get_stream(STREAM).await.map_err(|error| error.to_string())?;
            let cluster = stream.info().await.map_err(|error| error.to_string())?.cluster.clone();
            let Some(cluster) = cluster else { return Ok(Seen::NotYet("no cluster".to_owned())) };
            let in_sync = cluster.replicas.iter().filter(|peer| peer.current && !peer.offline).count();
            // The leader is not among the replicas.
            Ok::<_, String>(if cluster.leader.is_some() && in_sync + 1 == replicas {
                Seen::Done(())
            } else {
                Seen::NotYet(format!("{cluster:?}"))
            })
        })
        .await;
    }
}

/// Connects to the servers that are ready.
pub async fn connect(client: &Client) -> Result<Seen<Context>, String> {
    let addresses = servers::addresses(client).await.map_err(|error| error.to_string())?;
    if addresses.is_empty() {
        return Ok(Seen::NotYet("no server is ready".to_owned()));
    }
    let urls: Vec<String> = addresses.iter().map(|address| format!("nats://{address}:{CLIENT_PORT}")).collect();
    let options = ConnectOptions::new().connection_timeout(REQUEST_TIMEOUT).ignore_discovered_servers();
    let nats = options.connect(urls).await.map_err(|error| error.to_string())?;
    let mut context = jetstream::new(nats);
    context.set_timeout(REQUEST_TIMEOUT);
    Ok(Seen::Done(context))
}

async fn read(context: &Context) -> Result<Vec<u64>, Box<dyn std::error::Error + Send + Sync>> {
    let mut stream = context.get_stream(STREAM).await?;
    let count = usize::try_from(stream.info().await?.state.messages)?;
    let config = pull::OrderedConfig { deliver_policy: DeliverPolicy::All, ..pull::OrderedConfig::default() };
    let messages = stream.create_consumer(config).await?.messages().await?.take(count);
    let payloads: Vec<_> = messages.map_ok(|message| message.payload.clone()).try_collect().await?;
    payloads.iter().map(|payload| Ok(std::str::from_utf8(payload)?.parse()?)).collect()
}
