//! Rules on JetStream data: a change that would lose data, or that would never complete, is rejected before it begins.

use super::{
    ClusterFacts, Findings, Violation, ViolationClass,
    cluster::SIZE,
    storage::{self, MEMORY_ENABLED, MEMORY_SIZE},
};
use crate::{deployed::SMALLEST_CLUSTER, naming, spec_view::SpecView, status::JetStreamStatus};

const CLUSTERED: i64 = SMALLEST_CLUSTER as i64;

pub(super) fn check_change(
    old: SpecView<'_>,
    new: SpecView<'_>,
    cluster_facts: &ClusterFacts,
    findings: &mut Findings,
) {
    let Some(summary) = &cluster_facts.jet_stream else { return };
    check_size(old.cluster.size, new.cluster.size, summary, cluster_facts, findings);
    check_memory(old, new, summary, findings);
}

fn check_size(
    before: i64,
    after: i64,
    summary: &JetStreamStatus,
    cluster_facts: &ClusterFacts,
    findings: &mut Findings,
) {
    if after == before || after % 2 == 0 {
        return; // an even size has a violation of its own
    }
    let mut reject = |message| findings.reject(Violation::invalid(SIZE, ViolationClass::Policy, after, message));
    let deployed = || cluster_facts.deployed.as_ref().map_or(before, |deployed| deployed.size.into());
    let existing = cluster_facts.members.map_or_else(|| before.max(deployed()), i64::from);
    if existing < CLUSTERED && after >= CLUSTERED && summary.streams {
        reject(format!(
            "cannot be set to {after} while there are streams: a restart as a cluster destroys them; \
             back them up, delete them, change the size and restore them (docs/user/scaling.md)"
        ));
    }
    if after > before || after < CLUSTERED {
        return;
    }
    if after < summary.highest_replicas.into() {
        reject(format!(
            "is too small for a stream with {} replicas; first: nats stream edit STREAM --replicas {after}",
            summary.highest_replicas
        ));
    }
    if is_filling_up(summary) {
        findings.warn(SIZE, "the servers that stay take over the streams of the others, and are nearly full");
    }
}

/// Rejects a memory store that is too small for the existing memory streams. A server that restarts without the memory
/// store that they need never becomes ready again (measured with NATS 2.14.2).
fn check_memory(old: SpecView<'_>, new: SpecView<'_>, summary: &JetStreamStatus, findings: &mut Findings) {
    let store = |spec: SpecView<'_>| storage::memory_store(&spec.jet_stream.mem_storage);
    let (Ok(Some(before)), Ok(after)) = (store(old), store(new)) else { return };
    match (after, summary.memory_used()) {
        (None, _) if summary.memory_streams => {
            let message = "cannot be turned off while there are streams in memory: their servers would never be ready \
                again; first delete them (nats stream rm STREAM)";
            let violation = if new.jet_stream.mem_storage.enabled {
                Violation::invalid(MEMORY_SIZE, ViolationClass::Policy, "0", message)
            } else {
                Violation::invalid(MEMORY_ENABLED, ViolationClass::Policy, false, message)
            };
            findings.reject(violation);
        }
        (Some(after), Some(used)) if after < before && after < used => {
            let message = format!(
                "is less than streams in memory hold on one server (up to {used}); first delete or purge them \
                 (nats stream purge STREAM)"
            );
            let value = new.jet_stream.mem_storage.size.text.clone();
            findings.reject(Violation::invalid(MEMORY_SIZE, ViolationClass::Policy, value, message));
        }
        _ => {}
    }
}

fn is_filling_up(summary: &JetStreamStatus) -> bool {
    ["NearlyFull", "Full"].contains(&summary.storage.as_str())
}

/// Returns the warning about a deletion of the resource `name`; `None` if it has no data of the user. `forced` means
/// that the annotation for a forced deletion is set, so that the data is deleted as well.
pub fn deletion_warning(name: &str, summary: &JetStreamStatus, forced: bool) -> Option<String> {
    if !summary.customer_data {
        return None;
    }
    let subject = format!("NATS {name} has streams or consumers of users");
    Some(if forced {
        format!("{subject}, which are deleted with it: it has the annotation {}", naming::FORCE_DELETION)
    } else {
        format!(
            "{subject}: its deletion waits (state Warning) until they are deleted, \
             see: nats stream ls; nats consumer ls sap"
        )
    })
}
