//! Messages of the condition `Storage`: the limit, what it stops, and what to do.

use nats_manager_planner::{
    health::{StreamSummary, is_eventing},
    snapshot::{StreamId, StreamLimits, percent},
};

use super::{
    fill::{Fill, FullestStore, Store},
    level::LimitKind,
};

/// Maximum number of streams in a message.
const MAX_NAMED_STREAMS: usize = 3;

const PAGE: &str = "see docs/user/storage.md";

/// Returns the message for a cluster without a shortage.
pub(super) fn healthy() -> &'static str {
    "The stores, streams and reservations have room."
}

/// Returns the message about the limit of a kind.
pub(super) fn shortage(kind: LimitKind, fill: &Fill<'_>) -> String {
    match kind {
        LimitKind::Volume => format!(
            "{} has disabled JetStream, mostly because its volume is full. It is enabled again when there is room; {PAGE}.",
            fill.disabled_server().unwrap_or_default()
        ),
        LimitKind::FileStore => fill.fullest(Store::File).map(|fullest| file_store(fill, &fullest)).unwrap_or_default(),
        LimitKind::MemoryStore => {
            fill.fullest(Store::Memory).map(|fullest| memory_store(fill, &fullest)).unwrap_or_default()
        }
        LimitKind::Stream => streams(fill),
        LimitKind::Reservation => fill.most_reserved().map(|fullest| reservation(fill, &fullest)).unwrap_or_default(),
    }
}

fn file_store(fill: &Fill<'_>, fullest: &FullestStore<'_>) -> String {
    let largest = largest(fill, false);
    format!(
        "The file store of {} is {}.{}{} {}.",
        fullest.server,
        fullness(fullest.usage.used, fullest.usage.limit),
        names("Largest streams", &largest),
        remedy(&largest, "limit the streams (nats stream edit --max-bytes)"),
        capitalized(PAGE)
    )
}

fn memory_store(fill: &Fill<'_>, fullest: &FullestStore<'_>) -> String {
    let largest = largest(fill, true);
    format!(
        "The memory store of {} is {}.{}{} {}.",
        fullest.server,
        fullness(fullest.usage.used, fullest.usage.limit),
        names("Largest streams in memory", &largest),
        remedy(&largest, "raise spec.jetStream.memStorage.size and spec.resources.limits.memory"),
        capitalized(PAGE)
    )
}

fn streams(fill: &Fill<'_>) -> String {
    let near = |(_, stream): &(&StreamId, &StreamSummary)| {
        LimitKind::Stream.level(stream.percent().unwrap_or(0), None).is_some()
    };
    let mut all = fill.streams();
    // At least the first one is reported: its level may be due to hysteresis.
    let count = all.iter().filter(|stream| near(stream)).count().clamp(1, MAX_NAMED_STREAMS);
    all.truncate(count);
    let named: Vec<String> = all.iter().map(|(id, stream)| format!("{id} is {}", used(stream))).collect();
    let others = all
        .iter()
        .find(|(id, _)| !is_eventing(id))
        .map(|(id, _)| format!(" Raise the limit (nats stream edit {} --max-bytes, or --max-msgs).", id.name));
    format!(
        "Streams that reject new messages at their limit (error 10077, in Eventing 507): {}. Find consumers that do not \
         keep up (nats consumer report).{}{} {}.",
        named.join(", "),
        others.unwrap_or_default(),
        eventing_note(all.iter().map(|(id, _)| *id)),
        capitalized(PAGE)
    )
}

fn reservation(fill: &Fill<'_>, fullest: &FullestStore<'_>) -> String {
    let (store, code) = match fullest.store {
        Store::File => ("file", 10047),
        Store::Memory => ("memory", 10028),
    };
    format!(
        "Streams have reserved {} % of the {store} store of {} ({} of {}). Streams that need more cannot be created \
         (error {code}). Lower max_bytes of streams (nats stream report, nats stream edit --max-bytes).{} {}.",
        fullest.usage.reserved_percent(),
        fullest.server,
        rounded(fullest.usage.reserved),
        rounded(fullest.usage.limit),
        eventing_note(fill.streams().iter().map(|(id, _)| *id)),
        capitalized(PAGE)
    )
}

/// Returns how to make room in a full store, depending on who owns its largest streams. A purge of Eventing's stream
/// deletes events that were not delivered.
fn remedy(largest: &[(&StreamId, u64)], alternative: &str) -> String {
    let is_eventing_only = !largest.is_empty() && largest.iter().all(|(id, _)| is_eventing(id));
    let room = if is_eventing_only {
        " Find consumers that do not keep up (nats consumer report sap), and do not purge sap.".to_owned()
    } else {
        format!(" Make room (nats stream purge), or {alternative}.")
    };
    room + &eventing_note(largest.iter().map(|(id, _)| *id))
}

/// Returns the use of the limit of a stream that is reached first.
fn used(stream: &StreamSummary) -> String {
    let StreamLimits { bytes, messages } = stream.limits;
    if percent(stream.messages, messages) > percent(stream.bytes, bytes) {
        format!("{} % full ({} of {messages} messages)", percent(stream.messages, messages), stream.messages)
    } else {
        fullness(stream.bytes, bytes)
    }
}

/// Returns how to change the limits of Eventing's stream, if it is named. Its controller reverts `nats stream edit`.
fn eventing_note<'a>(mut named: impl Iterator<Item = &'a StreamId>) -> String {
    let note =
        "The limits of sap are set in the Eventing CR: spec.backend.config.natsStreamMaxSize and natsMaxMsgsPerTopic.";
    if named.any(is_eventing) { format!(" {note}") } else { String::new() }
}

fn largest<'a>(fill: &'a Fill<'_>, in_memory: bool) -> Vec<(&'a StreamId, u64)> {
    fill.inventory.largest_streams(MAX_NAMED_STREAMS, in_memory)
}

fn names(title: &str, streams: &[(&StreamId, u64)]) -> String {
    let named: Vec<String> = streams.iter().map(|(id, bytes)| format!("{} {}", id.name, rounded(*bytes))).collect();
    if named.is_empty() { String::new() } else { format!(" {title}: {}.", named.join(", ")) }
}

fn fullness(used: u64, limit: u64) -> String {
    format!("{} % full ({} of {})", percent(used, limit), rounded(used), rounded(limit))
}

fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

fn rounded(bytes: u64) -> String {
    const MEBI: u64 = 1 << 20;
    if bytes >= MEBI { format!("{}Mi", bytes / MEBI) } else { format!("{}Ki", bytes >> 10) }
}
