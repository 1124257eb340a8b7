//! Rules on what JetStream holds: a change that would lose data, or never come to an end, is
//! refused before it begins.

use super::{Class, Findings, Surroundings, Violation, cluster::SIZE};
use crate::{
    naming,
    resource::NatsSpec,
    settle::SettledCluster,
    status::{JetStreamStatus, Reason},
};

const CLUSTERED: i64 = SettledCluster::SMALLEST_CLUSTER as i64;

pub(super) fn check_change(old: &NatsSpec, new: &NatsSpec, surroundings: &Surroundings, findings: &mut Findings) {
    let Some(held) = &surroundings.jet_stream else { return };
    let (before, after) = (old.cluster.size, new.cluster.size);
    if after % 2 == 0 {
        return; // refused for itself
    }
    let deployed = surroundings.deployed.as_ref().map_or(before, |deployed| deployed.size.into());
    let mut refuse = |message| findings.refuse(Violation::invalid(SIZE, Class::Policy, after, message));
    if before.max(deployed) < CLUSTERED && after >= CLUSTERED && held.streams {
        refuse(format!(
            "cannot be set to {after} while there are streams: a restart as a cluster destroys them; \
             back them up, delete them, change the size and restore them (docs/user/scaling.md)"
        ));
    }
    if after >= before || after < CLUSTERED {
        return;
    }
    if after < held.highest_replicas.into() {
        refuse(format!(
            "is too small for a stream with {} replicas; first: nats stream edit STREAM --replicas {after}",
            held.highest_replicas
        ));
    }
    if is_filling_up(held) {
        findings.warn(SIZE, "the servers that stay take over the streams of the others, and are nearly full");
    }
}

fn is_filling_up(held: &JetStreamStatus) -> bool {
    [Reason::NearlyFull, Reason::Full].iter().any(|reason| held.storage == reason.to_string())
}

/// What to tell somebody who deletes the resource of this name; `forced`: by the annotation the
/// data goes with it.
pub fn deletion_warning(name: &str, held: &JetStreamStatus, forced: bool) -> Option<String> {
    if !held.customer_data {
        return None;
    }
    let what = format!("NATS {name} has streams or consumers of yours");
    Some(if forced {
        format!("{what}, which are deleted with it: it has the annotation {}", naming::FORCE_DELETION)
    } else {
        format!(
            "{what}: its deletion waits (state Warning) until they are deleted, \
             see: nats stream ls; nats consumer ls sap"
        )
    })
}
