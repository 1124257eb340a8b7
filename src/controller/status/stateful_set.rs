//! The condition `StatefulSet`: all servers are as desired.

use nats_manager_api::{ConditionType, Reason};
use nats_manager_planner::actual::{PodState, StatefulSetState};

use super::{
    StatusFacts,
    phase::DeploymentPhase,
    text,
    update::{ConditionStatus, Update},
};

impl Update<'_> {
    pub(super) fn stateful_set(&mut self, facts: &StatusFacts<'_>, phase: DeploymentPhase) {
        let kind = ConditionType::StatefulSet;
        if facts.applied.is_complete {
            self.set(kind, ConditionStatus::True, Reason::Available, "StatefulSet is ready");
            return;
        }
        let old = self.old_message(kind, Reason::Pending);
        let message = match (facts.pods_not_created, pending(facts)) {
            (Some(cause), _) => text::steady(old, "", cause),
            // The servers of the first deployment become ready one after the other.
            _ if phase == DeploymentPhase::Deploying && !self.was_ready() => "StatefulSet is not ready".to_owned(),
            (None, Some(message)) => message,
            // Pods and counts are from different moments.
            (None, None) => old.unwrap_or("StatefulSet is not ready").to_owned(),
        };
        self.set(kind, ConditionStatus::False, Reason::Pending, &message);
    }
}

/// Returns the message with the servers that are not as desired. `None` if the Pods do not explain the counts.
fn pending(facts: &StatusFacts<'_>) -> Option<String> {
    let set = facts.actual.stateful_set.as_ref()?;
    let servers = || (0..facts.applied.desired).map(|ordinal| facts.actual.server(ordinal));
    let not_ready: Vec<String> = servers().filter(|server| !facts.is_serving(server)).collect();
    let counted = facts.applied.desired.saturating_sub(facts.applied.ready);
    if usize::try_from(counted) != Ok(not_ready.len()) {
        return None;
    }
    if !not_ready.is_empty() {
        return Some(format!("not ready: {}", not_ready.join(", ")));
    }
    let is_outdated = |server: &String| pod(facts, server).is_some_and(|pod| is_outdated(pod, set));
    let outdated: Vec<String> = servers().filter(is_outdated).collect();
    (!outdated.is_empty()).then(|| format!("not restarted with the newest template yet: {}", outdated.join(", ")))
}

fn pod<'a>(facts: &'a StatusFacts<'_>, server: &str) -> Option<&'a PodState> {
    facts.actual.pods.iter().find(|pod| pod.name == server)
}

fn is_outdated(pod: &PodState, set: &StatefulSetState) -> bool {
    set.update_revision.is_some() && pod.revision != set.update_revision
}
