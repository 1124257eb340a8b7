//! Parser of `/jsz`, which reads the answer while it arrives. Only small values are kept, so that memory does not
//! depend on the answer's size.
//!
//! Source: `JSInfo` in `server/monitor.go` of nats-server 2.14.2, 2.14.10 and 2.15.3. Fields that are false, empty or 0
//! are mostly absent.

mod group;
mod stream;

use std::io::Read;

use nats_manager_planner::snapshot::{RaftGroup, ServerSnapshot, StoreUsage, StreamReplica};
use serde::{
    Deserialize,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess},
};

use super::{
    chunks::{Budget, Budgeted},
    error::PollError,
    object::{Array, Elements, Fields, JsonObject},
};
use group::RaftGroupInfo;
use stream::Detail;

/// Longest element (a stream without its consumers, a consumer) in bytes. A stream has some 2 KB, and a create request
/// is limited to 1 MB by default.
const LONGEST_ELEMENT: usize = 4 << 20;
/// Highest number of stream replicas on a server.
const MOST_STREAMS: usize = 20_000;

/// Parses the answer to `/jsz`.
///
/// # Errors
///
/// Fails if the body is not JSON, exceeds a limit, or contradicts itself.
pub(super) fn parse(body: impl Read) -> Result<ServerSnapshot, PollError> {
    let budget = Budget::new(LONGEST_ELEMENT);
    let mut deserializer = serde_json::Deserializer::from_reader(Budgeted::new(body, budget.clone()));
    let mut answer = JszAnswer::new(budget);
    JsonObject(&mut answer).deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(answer.into_snapshot())
}

/// The part of an answer that is kept.
struct JszAnswer {
    budget: Budget,
    id: Option<String>,
    disabled: bool,
    config: StoreConfig,
    memory: u64,
    reserved_memory: u64,
    storage: u64,
    reserved_storage: u64,
    meta: Option<RaftGroup>,
    /// Counts of streams and accounts that the server reports.
    counted: Counted,
    /// Number of accounts that the answer lists.
    listed_accounts: u64,
    streams: Vec<StreamReplica>,
}

#[derive(Default)]
struct Counted {
    streams: u64,
    accounts: u64,
}

/// Limits of the stores in bytes. -1 is no limit.
#[derive(Default, Deserialize)]
#[serde(default)]
struct StoreConfig {
    max_memory: i64,
    max_storage: i64,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum AnswerKey {
    ServerId,
    Disabled,
    Config,
    Memory,
    ReservedMemory,
    Storage,
    ReservedStorage,
    MetaCluster,
    Streams,
    Total,
    AccountDetails,
    #[serde(other)]
    Other,
}

impl JszAnswer {
    fn new(budget: Budget) -> Self {
        Self {
            budget,
            id: None,
            disabled: false,
            config: StoreConfig::default(),
            memory: 0,
            reserved_memory: 0,
            storage: 0,
            reserved_storage: 0,
            meta: None,
            counted: Counted::default(),
            listed_accounts: 0,
            streams: Vec::new(),
        }
    }

    /// Returns the first contradiction in the answer. Such an answer must not count as that of an empty server.
    fn contradiction(&self) -> Option<&'static str> {
        let twice = self.streams.windows(2).any(|pair| pair[0].stream == pair[1].stream);
        if self.id.as_ref().is_none_or(String::is_empty) {
            Some("it has no server_id")
        } else if self.disabled && !self.streams.is_empty() {
            Some("JetStream is disabled and has streams")
        } else if self.listed_accounts < self.counted.accounts {
            Some("it does not list all accounts")
        } else if self.streams.is_empty() && self.counted.streams > 0 {
            Some("it counts streams and lists none")
        } else if twice {
            Some("it lists a stream twice")
        } else {
            None
        }
    }

    fn into_snapshot(self) -> ServerSnapshot {
        let store = |used, reserved, limit| StoreUsage { used, reserved, limit: u64::try_from(limit).unwrap_or(0) };
        ServerSnapshot {
            id: self.id.unwrap_or_default(),
            disabled: self.disabled,
            file: store(self.storage, self.reserved_storage, self.config.max_storage),
            memory: store(self.memory, self.reserved_memory, self.config.max_memory),
            meta: self.meta,
            streams: self.streams,
            ..ServerSnapshot::default()
        }
    }
}

impl Fields for &mut JszAnswer {
    type Key = AnswerKey;

    fn field<'de, M: MapAccess<'de>>(&mut self, key: AnswerKey, map: &mut M) -> Result<(), M::Error> {
        match key {
            AnswerKey::ServerId => self.id = Some(map.next_value()?),
            AnswerKey::Disabled => self.disabled = map.next_value()?,
            AnswerKey::Config => self.config = map.next_value()?,
            AnswerKey::Memory => self.memory = map.next_value()?,
            AnswerKey::ReservedMemory => self.reserved_memory = map.next_value()?,
            AnswerKey::Storage => self.storage = map.next_value()?,
            AnswerKey::ReservedStorage => self.reserved_storage = map.next_value()?,
            AnswerKey::MetaCluster => self.meta = map.next_value::<Option<RaftGroupInfo>>()?.map(RaftGroup::from),
            AnswerKey::Streams => self.counted.streams = map.next_value()?,
            AnswerKey::Total => self.counted.accounts = map.next_value()?,
            AnswerKey::AccountDetails => map.next_value_seed(Array(Accounts(self)))?,
            AnswerKey::Other => _ = map.next_value::<IgnoredAny>()?,
        }
        Ok(())
    }

    fn end<E: Error>(self) -> Result<(), E> {
        if self.meta.is_none() {
            // A standalone server reports a group with itself as leader for every stream.
            self.streams.iter_mut().for_each(|replica| replica.group = None);
        }
        self.streams.sort_unstable_by(|one, other| one.stream.cmp(&other.stream));
        self.contradiction().map_or(Ok(()), |text| Err(Error::custom(text)))
    }
}

struct Accounts<'a>(&'a mut JszAnswer);

impl Elements for Accounts<'_> {
    fn element<'de, S: SeqAccess<'de>>(&mut self, seq: &mut S) -> Result<bool, S::Error> {
        self.0.budget.renew();
        let account = Account { first: self.0.streams.len(), answer: &mut *self.0, name: None, id: None };
        Ok(seq.next_element_seed(JsonObject(account))?.is_some())
    }
}

/// An account that is being read. Its streams are those from index `first` on.
struct Account<'a> {
    answer: &'a mut JszAnswer,
    first: usize,
    name: Option<String>,
    id: Option<String>,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum AccountKey {
    Name,
    Id,
    StreamDetail,
    #[serde(other)]
    Other,
}

impl Fields for Account<'_> {
    type Key = AccountKey;

    fn field<'de, M: MapAccess<'de>>(&mut self, key: AccountKey, map: &mut M) -> Result<(), M::Error> {
        match key {
            AccountKey::Name => self.name = Some(map.next_value()?),
            AccountKey::Id => self.id = Some(map.next_value()?),
            AccountKey::StreamDetail => map.next_value_seed(Array(StreamList(self.answer)))?,
            AccountKey::Other => _ = map.next_value::<IgnoredAny>()?,
        }
        Ok(())
    }

    fn end<E: Error>(self) -> Result<(), E> {
        // `name` may be a tag for people; requests name an account by its `id`.
        let id = self.id.filter(|id| !id.is_empty()).or(self.name).ok_or_else(|| E::missing_field("name"))?;
        self.answer.listed_accounts += 1;
        for replica in self.answer.streams.iter_mut().skip(self.first) {
            replica.stream.account.clone_from(&id);
        }
        Ok(())
    }
}

struct StreamList<'a>(&'a mut JszAnswer);

impl Elements for StreamList<'_> {
    fn element<'de, S: SeqAccess<'de>>(&mut self, seq: &mut S) -> Result<bool, S::Error> {
        self.0.budget.renew();
        let mut replica = None;
        let detail = Detail::new(&self.0.budget, &mut replica);
        if seq.next_element_seed(JsonObject(detail))?.is_none() {
            return Ok(false);
        }
        if self.0.streams.len() == MOST_STREAMS {
            return Err(S::Error::custom(format!("it has more than {MOST_STREAMS} streams")));
        }
        self.0.streams.extend(replica);
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
