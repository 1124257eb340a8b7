//! Streams in the running servers.

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

/// The stream of Eventing.
pub const STREAM: &str = "sap";
pub const SUBJECT: &str = "kyma.sap";

const CLIENT_PORT: u16 = 4222;
/// So short that a server that is gone is noticed before the next one is.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

impl World<'_> {
    /// `JetStream` of the servers that are ready now. Names of the cluster do not resolve in this process, so the client
    /// knows these servers only: after a restart of all of them take a new one.
    pub async fn nats(&self) -> Context {
        eventually("a server accepts a client", SOON, || connect(&self.client)).await
    }

    /// Makes the stream, on files.
    pub async fn make_stream(&self, replicas: usize) {
        let context = self.nats().await;
        let config = || Config {
            name: STREAM.to_owned(),
            subjects: vec![SUBJECT.to_owned()],
            storage: StorageType::File,
            num_replicas: replicas,
            ..Config::default()
        };
        // Servers that just became ready may not have found each other.
        eventually("the stream is made", SOON, || async { context.create_stream(config()).await.map(|_| true) }).await;
    }

    /// The payloads of the stream, the oldest first.
    pub async fn messages(&self) -> Vec<u64> {
        eventually("the stream can be read", SOON, || async {
            let context = self.nats().await;
            read(&context).await.map(Seen::Done).map_err(|error| error.to_string())
        })
        .await
    }

    /// Waits until every replica of the stream has all of it.
    pub async fn stream_is_current(&self, replicas: usize) {
        eventually("every replica is current", SOON, || async {
            let context = self.nats().await;
            let mut stream = context.get_stream(STREAM).await.map_err(|error| error.to_string())?;
            let cluster = stream.info().await.map_err(|error| error.to_string())?.cluster.clone();
            let Some(cluster) = cluster else { return Ok(Seen::NotYet("no cluster".to_owned())) };
            let current = cluster.replicas.iter().filter(|peer| peer.current && !peer.offline).count();
            // The leader is not among the replicas.
            Ok::<_, String>(if cluster.leader.is_some() && current + 1 == replicas {
                Seen::Done(())
            } else {
                Seen::NotYet(format!("{cluster:?}"))
            })
        })
        .await;
    }
}

/// A client of the servers that are ready.
pub async fn connect(client: &Client) -> Result<Seen<Context>, String> {
    let addresses = servers::addresses(client).await.map_err(|error| error.to_string())?;
    if addresses.is_empty() {
        return Ok(Seen::NotYet("no server is ready".to_owned()));
    }
    let urls: Vec<String> = addresses.iter().map(|address| format!("nats://{address}:{CLIENT_PORT}")).collect();
    let options = ConnectOptions::new().connection_timeout(ANSWER_TIMEOUT).ignore_discovered_servers();
    let nats = options.connect(urls).await.map_err(|error| error.to_string())?;
    let mut context = jetstream::new(nats);
    context.set_timeout(ANSWER_TIMEOUT);
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
