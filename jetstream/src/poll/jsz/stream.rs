//! Parser of streams in `/jsz`.

use nats_manager_planner::snapshot::{RaftGroup, StreamId, StreamLimits, StreamReplica};
use serde::{
    Deserialize,
    de::{Error, IgnoredAny, MapAccess, SeqAccess},
};

use super::{
    super::{
        chunks::Budget,
        object::{Array, Elements, Fields},
    },
    group::RaftGroupInfo,
};

/// A stream that is being read.
pub(super) struct Detail<'a> {
    budget: &'a Budget,
    name: Option<String>,
    cluster: Option<RaftGroupInfo>,
    config: Option<StreamConfig>,
    state: StreamState,
    /// Result. Its account is set when the account's object ends.
    replica: &'a mut Option<StreamReplica>,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
pub(super) enum Key {
    Name,
    Cluster,
    Config,
    State,
    ConsumerDetail,
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct StreamConfig {
    #[serde(default)]
    storage: String,
    #[serde(default)]
    num_replicas: u32,
    /// `old` or `new`.
    #[serde(default)]
    discard: String,
    /// -1 is no limit.
    #[serde(default)]
    max_bytes: i64,
    /// -1 is no limit.
    #[serde(default)]
    max_msgs: i64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct StreamState {
    messages: u64,
    bytes: u64,
    last_seq: u64,
    consumer_count: u64,
}

impl StreamConfig {
    /// Returns the limits at which the stream rejects new messages.
    fn limits(&self) -> StreamLimits {
        let limit = |limit: i64| u64::try_from(limit).unwrap_or(0);
        match self.discard.as_str() {
            "new" => StreamLimits { bytes: limit(self.max_bytes), messages: limit(self.max_msgs) },
            _ => StreamLimits::default(),
        }
    }
}

impl<'a> Detail<'a> {
    pub(super) fn new(budget: &'a Budget, replica: &'a mut Option<StreamReplica>) -> Self {
        Self { budget, name: None, cluster: None, config: None, state: StreamState::default(), replica }
    }
}

impl Fields for Detail<'_> {
    type Key = Key;

    fn field<'de, M: MapAccess<'de>>(&mut self, key: Key, map: &mut M) -> Result<(), M::Error> {
        match key {
            Key::Name => self.name = Some(map.next_value()?),
            Key::Cluster => self.cluster = map.next_value()?,
            Key::Config => self.config = map.next_value()?,
            Key::State => self.state = map.next_value()?,
            Key::ConsumerDetail => map.next_value_seed(Array(Consumers(self.budget)))?,
            Key::Other => _ = map.next_value::<IgnoredAny>()?,
        }
        Ok(())
    }

    fn end<E: Error>(self) -> Result<(), E> {
        let name = self.name.filter(|name| !name.is_empty()).ok_or_else(|| E::missing_field("name"))?;
        let config = self.config.ok_or_else(|| E::missing_field("config"))?;
        let replicas = config.num_replicas.max(1);
        let moving = self.cluster.as_ref().is_some_and(RaftGroupInfo::is_moving);
        // A stream with one replica has no Raft node, and is led by its server. If a stream with several replicas has
        // none, its node is not started yet.
        let group = self.cluster.filter(|cluster| cluster.has_node() || replicas == 1).map(RaftGroup::from);
        *self.replica = Some(StreamReplica {
            stream: StreamId { account: String::new(), name },
            replicas,
            in_memory: config.storage == "memory",
            bytes: self.state.bytes,
            messages: self.state.messages,
            limits: config.limits(),
            last_seq: self.state.last_seq,
            consumers: self.state.consumer_count,
            group,
            moving,
        });
        Ok(())
    }
}

/// Receiver of consumers, which are not requested, and are skipped one by one if they are present.
struct Consumers<'a>(&'a Budget);

impl Elements for Consumers<'_> {
    fn element<'de, S: SeqAccess<'de>>(&mut self, seq: &mut S) -> Result<bool, S::Error> {
        self.0.renew();
        Ok(seq.next_element::<IgnoredAny>()?.is_some())
    }
}
