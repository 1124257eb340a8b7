//! Tests of the status: tables of facts and expected conditions and events.

mod contract;
mod deletion;
mod health;
mod operation;
mod outage;
mod paused;
mod predecessor;

use std::sync::Arc;

use nats_manager_api::{ClusterDomain, ConditionType, NamespacedName, NatsStatus, rules::Violation};
use nats_manager_planner::{
    actual::{ActualState, PodState, StatefulSetState},
    health::{Assessment, MissingStreams},
    plan::{Observation, Operation, OperationKind, OperationStep, Plan},
    snapshot::JetStreamSnapshot,
    testing::{at, healthy_cluster, name, stream},
};

use super::{Announcement, AppliedCounts, Reconciled, StatusFacts, Unapplied, ZonesUsed, next};

const URL: &str = "nats://n.kyma-system.svc.cluster.local:4222";

/// Observation of the servers.
enum Seen {
    Off,
    Starting,
    Pending,
    Unobservable(&'static str),
    Polls(Vec<JetStreamSnapshot>),
}

/// Facts of a status, with builders for test cases.
struct World {
    id: NamespacedName,
    generation: i64,
    size: u32,
    applied: AppliedCounts,
    counted_servers: u32,
    zones: ZonesUsed,
    actual: ActualState,
    seen: Seen,
    plan: Plan,
    missing_streams: MissingStreams,
    policy: Vec<Violation>,
    pods_not_created: Option<&'static str>,
    action_failure: Option<&'static str>,
    reload_notice: Option<&'static str>,
    unapplied: Option<Unapplied<'static>>,
    notices: Vec<Announcement>,
    is_rollout_forced: bool,
    is_paused: bool,
}

/// Returns polls every ten seconds from second `from` through `to`, of servers with the stream `sap` on all of them. They
/// are healthy before the change.
fn polls(from: i64, to: i64, servers: u32, change: impl Fn(&mut JetStreamSnapshot)) -> Vec<JetStreamSnapshot> {
    let healthy = healthy_cluster(servers).with_stream(&stream("sap"));
    (from..=to).step_by(10).map(|second| healthy.clone().at(second).with(&change)).collect()
}

impl World {
    /// Returns a healthy cluster that has been ready since second 0.
    fn healthy(servers: u32) -> Self {
        let pod = |ordinal| PodState {
            name: name(ordinal),
            uid: format!("uid-{ordinal}"),
            ordinal: Some(ordinal),
            node: Some(format!("node-{ordinal}")),
            revision: Some("new".to_owned()),
            started: true,
            running: true,
            ready: true,
            ready_changed: Some(at(0)),
            ..PodState::default()
        };
        let set = StatefulSetState {
            replicas: servers,
            partition: servers,
            is_observed: true,
            current_revision: Some("new".to_owned()),
            update_revision: Some("new".to_owned()),
            ..StatefulSetState::default()
        };
        Self {
            id: NamespacedName::new("kyma-system", "n"),
            generation: 1,
            size: servers,
            applied: AppliedCounts { desired: servers, ready: servers, is_complete: true },
            counted_servers: servers,
            zones: ZonesUsed { count: servers as usize, unlabelled_node: None, is_complete: true },
            actual: ActualState {
                name: "n".to_owned(),
                stateful_set: Some(set),
                pods: (0..servers).map(pod).collect(),
                servers_started: Some(true),
                ..ActualState::default()
            },
            seen: Seen::Polls(polls(80, 100, servers, |_| ())),
            plan: Plan::fresh(servers, 0, None),
            missing_streams: MissingStreams::default(),
            policy: Vec::new(),
            pods_not_created: None,
            action_failure: None,
            reload_notice: None,
            unapplied: None,
            notices: Vec::new(),
            is_rollout_forced: false,
            is_paused: false,
        }
    }

    /// Makes the Pods of these servers not ready.
    fn not_ready(mut self, servers: &[u32], since: i64) -> Self {
        for ordinal in servers {
            let pod = self.actual.pods.iter_mut().find(|pod| pod.ordinal == Some(*ordinal)).unwrap();
            (pod.ready, pod.ready_changed) = (false, Some(at(since)));
        }
        let ready = self.actual.pods.iter().filter(|pod| pod.ready).count();
        self.applied.ready = u32::try_from(ready).unwrap();
        self.applied.is_complete = false;
        self
    }

    fn seen(self, polls: Vec<JetStreamSnapshot>) -> Self {
        Self { seen: Seen::Polls(polls), ..self }
    }

    fn operation(mut self, operation: Operation) -> Self {
        self.plan.operation = Some(operation);
        self
    }

    /// Returns the status after `old`, and the reasons of the events.
    fn after(&self, old: &NatsStatus, second: i64) -> (NatsStatus, Vec<String>) {
        let (status, events) = self.announced(old, second);
        (status, events.iter().map(|event| event.reason.to_string()).collect())
    }

    fn announced(&self, old: &NatsStatus, second: i64) -> (NatsStatus, Vec<Announcement>) {
        let assessment = match &self.seen {
            Seen::Polls(polls) => polls.iter().fold(None, |before: Option<Assessment>, poll| {
                Some(Assessment::next(before.as_ref(), Arc::new(poll.clone()), &self.actual))
            }),
            _ => None,
        };
        let observation = match (&self.seen, &assessment) {
            (_, Some(assessment)) => Observation::Seen(assessment),
            (Seen::Starting, _) => Observation::Starting,
            (Seen::Pending, _) => Observation::Pending,
            (Seen::Unobservable(cause), _) => Observation::Unobservable { cause: (*cause).to_owned() },
            (Seen::Off | Seen::Polls(_), None) => Observation::Off,
        };
        let facts = StatusFacts {
            id: &self.id,
            domain: &ClusterDomain::default(),
            size: self.size,
            applied: self.applied,
            counted_servers: self.counted_servers,
            zones: self.zones.clone(),
            actual: &self.actual,
            observation: &observation,
            plan: &self.plan,
            missing_streams: &self.missing_streams,
            policy: &self.policy,
            pods_not_created: self.pods_not_created,
            action_failure: self.action_failure,
            reload_notice: self.reload_notice,
            unapplied: self.unapplied,
            notices: &self.notices,
            is_rollout_forced: self.is_rollout_forced,
        };
        let facts = Box::new(facts);
        let outcome = if self.is_paused { Reconciled::Paused(facts) } else { Reconciled::Deployed(facts) };
        let (status, events) = next(old, self.generation, &outcome, at(second));
        assert_sound(&status, self.generation);
        (status, events)
    }
}

/// Returns the status of a healthy cluster of three servers.
fn ready() -> NatsStatus {
    World::healthy(3).after(&NatsStatus::default(), 100).0
}

/// Checks the invariants of every status.
fn assert_sound(status: &NatsStatus, generation: i64) {
    for condition in &status.conditions {
        assert_eq!(condition.observed_generation, Some(generation), "{condition:?}");
        assert!(!condition.message.is_empty() && !condition.reason.is_empty(), "{condition:?}");
    }
    for kind in
        ["Ready", "Available", "Reconciling", "Stalled", "StatefulSet", "AvailabilityZones", "Storage", "JetStream"]
    {
        assert!(status.conditions.iter().any(|condition| condition.type_ == kind), "{kind} is missing");
    }
}

/// Returns status, reason and message of a condition.
fn condition(status: &NatsStatus, kind: ConditionType) -> (String, String, String) {
    let condition = status.condition(kind).unwrap();
    (condition.status.clone(), condition.reason.clone(), condition.message.clone())
}

/// Returns status and reason of a condition.
fn brief(status: &NatsStatus, kind: ConditionType) -> String {
    let (truth, reason, _) = condition(status, kind);
    format!("{truth} {reason}")
}

fn message(status: &NatsStatus, kind: ConditionType) -> String {
    condition(status, kind).2
}

/// Change of a poll that makes it unhealthy.
type Fault = fn(&mut JetStreamSnapshot);

fn busy(world: World) -> World {
    world.operation(Operation::new(OperationKind::RollingUpdate, OperationStep::Restart).at("n-2"))
}

/// Returns a cluster with a fault from second 200 through `until`.
fn faulty(fault: Fault, until: i64) -> World {
    World::healthy(3).seen(polls(200, until, 3, fault))
}
