//! What a deployment means for the status: whether NATS can be used, and what is to be said beside.

use nats_manager_api::{ConditionType, Reason, State};

use super::{Deployment, Health, Rollout, update::Update};

/// How far it is, seen by those who use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// All of it is as wanted.
    Ready,
    /// Servers restart or come, and JetStream goes on: no outage.
    Rolling,
    /// It cannot be used: not yet, or not now.
    Deploying,
}

/// The zones that make a cluster of three or more survive the loss of one.
const ENOUGH_ZONES: u32 = 3;

impl Phase {
    /// `was_ready`: until then its servers also have to find each other, and later nobody need wait
    /// for that again.
    fn of(deployment: &Deployment, was_ready: bool) -> Self {
        if deployment.rollout.complete && (was_ready || !deployment.jetstream.forming) {
            Self::Ready
        } else if was_ready && deployment.has_quorum() {
            Self::Rolling
        } else {
            Self::Deploying
        }
    }
}

impl Update<'_> {
    pub(super) fn deployed(&mut self, deployment: &Deployment) {
        self.greet();
        self.status.servers_started = deployment.servers_started;
        // Only a status from a backup says so of a resource that is not being deleted.
        self.status.conditions.retain(|known| known.type_ != ConditionType::Deleted.to_string());
        let was_ready = !self.old.url.is_empty();
        match Phase::of(deployment, was_ready) {
            Phase::Ready => self.ready(deployment),
            Phase::Rolling => self.rolling(deployment),
            Phase::Deploying => self.deploying(deployment, was_ready),
        }
        self.progressing(deployment);
        self.jetstream(&deployment.jetstream);
        self.policy(deployment);
    }

    fn ready(&mut self, deployment: &Deployment) {
        self.state(State::Ready);
        self.status.url.clone_from(&deployment.url);
        self.set(ConditionType::StatefulSet, true, Reason::Available, "StatefulSet is ready");
        self.zones(deployment);
        if self.available(deployment) {
            self.announce(false, Reason::Deployed, "StatefulSet is ready and NATS is deployed.");
        }
    }

    fn rolling(&mut self, deployment: &Deployment) {
        self.state(State::Ready);
        self.set(ConditionType::StatefulSet, false, Reason::Pending, &progress(deployment.rollout));
        // Pods that restart have no zone for a moment: what was said of zones stays.
        let zones = self.old.condition(ConditionType::AvailabilityZones);
        if zones.is_some_and(|zones| zones.status == "False" && zones.reason == Reason::Unknown.to_string()) {
            self.warn();
        }
        self.available(deployment);
    }

    fn deploying(&mut self, deployment: &Deployment, was_ready: bool) {
        self.state(State::Processing);
        let message = if was_ready { progress(deployment.rollout) } else { String::new() };
        self.set(ConditionType::StatefulSet, false, Reason::Pending, &message);
        self.set(ConditionType::AvailabilityZones, false, Reason::Pending, "");
        self.status.availability_zones_used = 0;
        if self.set(ConditionType::Available, false, Reason::Deploying, "") {
            self.announce(false, Reason::Deploying, "NATS is being deployed, waiting for StatefulSet to get ready.");
        }
    }

    /// Whether NATS can be used: without a majority of JetStream it cannot, whatever the pods say.
    /// That is a Warning, since nothing is being deployed. Tells whether it became usable.
    fn available(&mut self, deployment: &Deployment) -> bool {
        let lost = deployment.jetstream.trouble.as_ref().filter(|trouble| trouble.reason == Reason::QuorumLost);
        let told = self.old.condition(ConditionType::Available);
        let was_lost = told.is_some_and(|told| told.reason == Reason::QuorumLost.to_string());
        match lost {
            Some(lost) => {
                self.warn();
                self.set(ConditionType::Available, false, Reason::QuorumLost, &lost.message);
                false
            }
            // A new leader of ours has to see for itself whether it lasts.
            None if was_lost && deployment.jetstream.health == Health::Lacking => {
                self.warn();
                false
            }
            None => self.set(ConditionType::Available, true, Reason::Deployed, "NATS is deployed"),
        }
    }

    fn zones(&mut self, deployment: &Deployment) {
        let used = deployment.zones.count;
        self.status.availability_zones_used = i64::try_from(used).unwrap_or(i64::MAX);
        let enough = deployment.size.min(ENOUGH_ZONES) as usize;
        let kind = ConditionType::AvailabilityZones;
        if let Some(node) = &deployment.zones.unlabelled_node {
            // It leaves the state as it was.
            if self.old.state == State::Warning.to_string() {
                self.warn();
            }
            let cause = format!("node {node} has no label topology.kubernetes.io/zone");
            self.set(kind, false, Reason::FailedProcessing, &cause);
        } else if deployment.size < ENOUGH_ZONES {
            let message = "NATS is not configured to run in cluster mode (i.e. spec.cluster.size < 3).";
            self.set(kind, false, Reason::NotConfigured, message);
        } else if used >= enough {
            self.set(kind, true, Reason::Deployed, "NATS is deployed in different availability zones.");
        } else {
            self.warn();
            let message = format!(
                "NATS is not currently using enough availability zones (Recommended: {ENOUGH_ZONES}, current: {used})."
            );
            self.set(kind, false, Reason::Unknown, &message);
        }
    }

    fn progressing(&mut self, deployment: &Deployment) {
        let kind = ConditionType::Progressing;
        match (&deployment.held, &deployment.waiting) {
            (Some(reason), _) => {
                self.warn();
                if self.set(kind, false, Reason::Held, reason) {
                    self.announce(true, Reason::Held, reason);
                }
            }
            (None, Some(reason)) => {
                if self.set(kind, true, Reason::Waiting, reason) {
                    self.announce(false, Reason::Waiting, reason);
                }
            }
            (None, None) => self.status.conditions.retain(|condition| condition.type_ != kind.to_string()),
        }
    }

    /// Once a generation: the spec was stored before the rule was.
    fn policy(&mut self, deployment: &Deployment) {
        if self.old.observed_generation != Some(self.generation) && !deployment.policy.is_empty() {
            let all: Vec<String> = deployment.policy.iter().map(ToString::to_string).collect();
            self.announce(true, Reason::PolicyViolated, &all.join("; "));
        }
    }
}

fn progress(rollout: Rollout) -> String {
    format!("{} of {} servers are ready, {} up to date", rollout.ready, rollout.replicas, rollout.updated)
}
