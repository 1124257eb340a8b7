//! Lower bound of the memory store: the usage of memory streams.
//!
//! Without a memory store a server with memory streams never becomes ready again (stream write error 10023, measured
//! with NATS 2.14.2).

use super::{Blocked, BlockedReason, PlanInput};

/// Returns the memory store to configure, in bytes, and the blocked change if it is not the desired one. `live` is the
/// configured memory store.
pub(super) fn memory_store(input: &PlanInput<'_>, live: Option<u64>) -> (u64, Option<Blocked>) {
    let desired = input.desired.memory_store;
    let Some(live) = live.filter(|live| desired < *live) else { return (desired, None) };
    let Some(assessment) = input.assessment() else { return (desired, None) };
    let used = assessment.snapshot.answers().map(|(_, server)| server.memory.used).max().unwrap_or(0);
    let has_streams = assessment.snapshot.replicas().any(|(_, replica)| replica.in_memory);
    if used <= desired && !(has_streams && desired == 0) {
        return (desired, None);
    }
    let message = "cannot lower spec.jetStream.memStorage below what memory streams hold. Delete or purge them first \
                   (nats stream ls), or restore the value";
    (live, Some(Blocked::new(BlockedReason::MemoryStoreBlocked, message)))
}
