//! How many servers a majority is of, where JetStream cannot be asked for it.

use std::sync::{Mutex, PoisonError};

use nats_manager_api::SettledCluster;

use super::status::Rollout;

/// The most servers that were ready at a time: those that are new do not count before they are
/// there, or a growing cluster would seem to have lost its majority.
#[derive(Debug, Default)]
pub(super) struct Members(Mutex<Option<i32>>);

impl Members {
    /// The servers that count. `deployed` is how many there were before this reconcile.
    pub(super) fn count(&self, deployed: Option<u32>, rollout: Rollout) -> i32 {
        let mut most = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = most.or_else(|| deployed.and_then(|size| i32::try_from(size).ok())).unwrap_or(rollout.replicas);
        let members = before.max(rollout.ready).min(rollout.replicas);
        *most = Some(members);
        // A single one has to start anew to become a part of a cluster.
        let is_clustered = u32::try_from(members).is_ok_and(|members| members >= SettledCluster::SMALLEST_CLUSTER);
        if is_clustered { members } else { rollout.replicas }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_servers_count_when_they_are_there_and_those_that_left_no_more() {
        let members = Members::default();
        for (what, deployed, replicas, ready, expected) in [
            ("they grow", Some(3), 7, 3, 3),
            ("what is deployed is the new size by now", Some(7), 7, 3, 3),
            ("one restarts meanwhile", Some(7), 7, 2, 3),
            ("new ones are ready", Some(7), 7, 5, 5),
            ("all are", Some(7), 7, 7, 7),
            ("most are lost", Some(7), 7, 3, 7),
            ("some leave", Some(7), 5, 5, 5),
        ] {
            let rollout = Rollout { replicas, ready, updated: ready, complete: false };
            assert_eq!(members.count(deployed, rollout), expected, "{what}");
        }
    }

    #[test]
    fn a_manager_that_has_just_started_counts_what_is_deployed() {
        let rollout = |replicas, ready| Rollout { replicas, ready, updated: ready, complete: false };
        for (deployed, replicas, ready, expected) in [(Some(3), 3, 1, 3), (Some(7), 7, 3, 7), (None, 3, 0, 3)] {
            assert_eq!(Members::default().count(deployed, rollout(replicas, ready)), expected);
        }
        assert_eq!(Members::default().count(Some(1), rollout(3, 1)), 3, "a single server is none of a cluster's");
    }
}
