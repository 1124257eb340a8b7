//! The summary of JetStream for the admission webhook. It contains levels instead of figures, so that it changes
//! seldom.

use nats_manager_api::{Bytes, ConditionType, JetStreamStatus};
use nats_manager_planner::health::Inventory;

use super::{StatusFacts, storage::file_store_level, update::Update};

/// Lowest level of the memory store above 0, in bytes.
const MIN_LEVEL: u64 = 1 << 20;

impl Update<'_> {
    /// Sets the summary if the inventory of every server is known. Otherwise the old one stays.
    pub(super) fn summary(&mut self, facts: &StatusFacts<'_>) {
        let members = facts.members();
        let inventory = facts.assessment().map(|assessment| Inventory::of(&assessment.snapshot, &members));
        if let Some(inventory) = inventory.filter(|inventory| inventory.gap.is_none() && !members.is_empty()) {
            let old = self.old.jet_stream.as_ref().and_then(JetStreamStatus::memory_used);
            self.status.jet_stream = Some(JetStreamStatus {
                streams: !inventory.streams.is_empty(),
                customer_data: inventory.has_customer_stream() || inventory.has_eventing_consumer(),
                highest_replicas: inventory.highest_replicas(),
                storage: String::new(),
                memory_streams: inventory.has_memory_stream(),
                memory_used: Some(memory_level(old, inventory.memory_used).to_string().into()),
            });
        }
        let is_unknown = self.status.condition(ConditionType::Storage).is_some_and(|known| known.status == "Unknown");
        let old = self.old.jet_stream.as_ref().map_or("", |old| old.storage.as_str());
        let level = if is_unknown { Some("Unknown") } else { file_store_level(facts, old) };
        if let Some(summary) = &mut self.status.jet_stream {
            level.unwrap_or(old).clone_into(&mut summary.storage);
        }
    }
}

/// Returns the level for the bytes in memory streams: the next power of two. It is lowered only below three eighths of
/// it, or every message could change it.
fn memory_level(old: Option<Bytes>, used: u64) -> Bytes {
    let level = if used == 0 { 0 } else { used.checked_next_power_of_two().unwrap_or(u64::MAX).max(MIN_LEVEL) };
    match old.map(Bytes::get) {
        Some(old) if used > 0 && used <= old && used >= old / 8 * 3 => Bytes::new(old),
        _ => Bytes::new(level),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_level_changes_seldom() {
        const MEBI: u64 = 1 << 20;
        let mut level = None;
        for (used, expected) in [
            (0, "0"),
            (1, "1Mi"),
            (MEBI, "1Mi"),
            (MEBI + 1, "2Mi"),
            (MEBI, "2Mi"),
            (MEBI * 3 / 4, "2Mi"),
            (MEBI * 3 / 4 - 1, "1Mi"),
            (100 * MEBI, "128Mi"),
            (48 * MEBI, "128Mi"),
            (47 * MEBI, "64Mi"),
            (1000, "1Mi"),
            (0, "0"),
        ] {
            let next = memory_level(level, used);
            assert_eq!(next.to_string(), expected, "{used} after {level:?}");
            level = Some(next);
        }
        assert!(memory_level(None, u64::MAX).get() >= u64::MAX / 2);
    }
}
