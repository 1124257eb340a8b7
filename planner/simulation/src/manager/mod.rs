//! Model of the manager's loop: caches, poll, assess, plan, confirm, writes in a fixed order, the action.
//!
//! The loop mirrors the controller. A manager that is killed loses everything that is not in the resource.

mod execute;
mod write;

use std::{collections::BTreeSet, sync::Arc};

use nats_manager_planner::{
    actual::ConfigKey,
    health::Assessment,
    plan::{self, Desired, History, Observation, Plan, PlanInput, Variant},
};

use crate::{
    kubernetes::{
        cache::{Caches, time},
        objects::{Resource, StatefulSet, Template},
    },
    ledger::variant,
    nats::Nats,
    random::Purpose,
    world::World,
};

/// Seconds between polls while a change is in progress or an issue exists.
const BUSY: u64 = 5;
/// Seconds between polls at rest.
const REST: u64 = 20;
/// Seconds after which servers that never answered count as unobservable.
const UNOBSERVABLE: u64 = 60;
/// Longest delay after a write that failed, in seconds.
const LONGEST_BACKOFF: u64 = 30;

/// A manager process.
#[derive(Debug)]
pub struct Manager {
    /// Watch caches.
    pub caches: Caches,
    /// Assessment of the last poll.
    pub assessment: Option<Assessment>,
    /// Last plan.
    pub plan: Option<Plan>,
    /// Second of the start.
    pub started: u64,
    history: History,
    desired: Desired,
    polled_at: Option<u64>,
    has_answered: bool,
    ready_since: Option<u64>,
    planned_at: u64,
    is_dirty: bool,
    pending: Option<(Plan, Write)>,
    failures: u32,
    retry_at: u64,
    is_killed: bool,
}

/// Writes of a reconcile, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Write {
    Started,
    Config,
    StatefulSet,
    Recorded,
    Action,
}

/// Answer of the JetStream API to a request for the names of all streams.
type Streams = Result<BTreeSet<String>, String>;

impl Manager {
    /// Builds a manager with filled caches and empty memory.
    pub fn new(world: &World) -> Self {
        let caches = Caches::new(&world.kubernetes, &world.nats.names);
        Self {
            desired: desired(&caches),
            history: History { removed: caches.resource.removed.clone(), ..History::default() },
            caches,
            assessment: None,
            plan: None,
            started: world.now,
            polled_at: None,
            has_answered: false,
            ready_since: None,
            planned_at: 0,
            is_dirty: true,
            pending: None,
            failures: 0,
            retry_at: 0,
            is_killed: false,
        }
    }

    /// Simulates a second.
    pub fn tick(&mut self, world: &mut World) {
        let mut random = world.random(Purpose::Cache);
        let now = world.now;
        if self.caches.tick(&world.kubernetes, &world.nats.names, now, &mut random) {
            self.desired = desired(&self.caches);
            self.is_dirty = true;
        }
        if self.pending.is_none() && now >= self.retry_at {
            self.reconcile(world);
        }
        self.write(world);
        if self.is_killed {
            *self = Self::new(world);
            world.ledger.log(now, || "the manager is killed".to_owned());
            world.faults.down_until = now + 3;
        }
    }

    fn reconcile(&mut self, world: &mut World) {
        self.is_dirty |= self.poll_when_due(world);
        let is_due = self.plan.as_ref().and_then(|plan| plan.until).is_some_and(|until| time(world.now) >= until);
        if !self.is_dirty && !is_due && world.now < self.planned_at + 10 {
            return;
        }
        (self.is_dirty, self.planned_at) = (false, world.now);
        self.history.observe_growth(&self.caches.actual, time(world.now));
        let mut plan = self.plan(world, plan::plan, None);
        if plan.needs_streams && plan.action.is_none() {
            let streams = self.list_streams_and_poll(world);
            plan = self.plan(world, plan::plan, Some(&streams));
        }
        if let Some(action) = plan.unconfirmed_action() {
            let name = variant(action);
            let streams = self.list_streams_and_poll(world);
            plan = self.plan(world, |input| plan::confirm(&plan, input), Some(&streams));
            if plan.confirmed_action().is_none() {
                *world.ledger.coverage.unconfirmed.entry(name).or_default() += 1;
            }
        }
        if let Some(before) = self.plan.as_ref().filter(|_| !plan.is_consistent) {
            plan.operation.clone_from(&before.operation);
            plan.blocked.clone_from(&before.blocked);
        }
        self.history.end_replacements(&plan);
        self.record(world, &plan);
        self.plan = Some(plan.clone());
        self.pending = Some((plan, Write::Started));
    }

    /// Lists the streams and polls after that: a stream that is created in between is in the newer snapshot.
    fn list_streams_and_poll(&mut self, world: &World) -> Streams {
        let streams = world.nats.stream_names();
        self.poll(world);
        streams
    }

    fn plan(&self, world: &World, plan: impl Fn(&PlanInput<'_>) -> Plan, streams: Option<&Streams>) -> Plan {
        let resource = &self.caches.resource;
        let live = self.caches.set.as_ref();
        plan(&PlanInput {
            now: time(world.now),
            desired: &self.desired,
            template: &|variant: Variant, memory| template(resource, live, variant.key, memory).hash(),
            actual: &self.caches.actual,
            observation: &self.observation(world.now),
            streams,
            has_default_account_only: true,
            late_reloads: &[],
            history: &self.history,
        })
    }

    fn observation(&self, now: u64) -> Observation<'_> {
        match (&self.assessment, self.ready_since) {
            (Some(assessment), _) if self.has_answered || self.caches.resource.was_reached => {
                Observation::Seen(assessment)
            }
            (_, None) => Observation::Starting,
            (_, Some(since)) if now < since + UNOBSERVABLE => Observation::Pending,
            _ => Observation::Unobservable { cause: "no response".to_owned() },
        }
    }

    /// Polls if a poll is due. Returns whether it was.
    fn poll_when_due(&mut self, world: &World) -> bool {
        let is_ready = self.caches.actual.pods.iter().any(|pod| pod.ready);
        self.ready_since = if is_ready { self.ready_since.or(Some(world.now)) } else { None };
        let is_quiet = self.plan.as_ref().is_some_and(|plan| plan.operation.is_none() && plan.action.is_none())
            && self.assessment.as_ref().is_some_and(|assessment| assessment.issues.is_empty());
        let interval = if is_quiet { REST } else { BUSY };
        let is_due = self.polled_at.is_none_or(|at| world.now >= at + interval);
        if is_due {
            self.poll(world);
            return true;
        }
        false
    }

    fn poll(&mut self, world: &World) {
        self.polled_at = Some(world.now);
        let replicas = self.caches.set.map_or(0, |set| set.replicas);
        let has_pod = |server| self.caches.actual.pods.iter().any(|pod| pod.name == world.nats.names.server[server]);
        let servers = Nats::addressable(replicas, has_pod);
        let snapshot = world.nats.snapshot(servers, time(world.now), world.now);
        self.has_answered |= snapshot.answers().next().is_some();
        let next = Assessment::next(self.assessment.as_ref(), Arc::new(snapshot), &self.caches.actual);
        self.assessment = Some(next);
    }

    fn record(&mut self, world: &mut World, plan: &Plan) {
        let coverage = &mut world.ledger.coverage;
        for blocked in &plan.blocked {
            *coverage.blocked.entry(blocked.reason).or_default() += 1;
        }
        if let Some(operation) = &plan.operation {
            *coverage.steps.entry((operation.kind, operation.step)).or_default() += 1;
        }
        let is_same = self.plan.as_ref().is_some_and(|before| {
            (&before.action, &before.operation, &before.blocked) == (&plan.action, &plan.operation, &plan.blocked)
                && (before.replicas, before.partition) == (plan.replicas, plan.partition)
        });
        if !is_same {
            world.ledger.log(world.now, || describe(plan, self.assessment.as_ref()));
        }
    }
}

impl Write {
    fn next(self) -> Option<Self> {
        match self {
            Self::Started => Some(Self::Config),
            Self::Config => Some(Self::StatefulSet),
            Self::StatefulSet => Some(Self::Recorded),
            Self::Recorded => Some(Self::Action),
            Self::Action => None,
        }
    }
}

fn template(resource: &Resource, live: Option<&StatefulSet>, key: ConfigKey, memory: u64) -> Template {
    let recorded = live.and_then(|set| set.template.memory);
    let is_lowered = live.is_some_and(|set| memory < set.memory);
    Template {
        key,
        nats: resource.nats,
        image: resource.image,
        edit: resource.edit,
        memory: if is_lowered { Some(memory) } else { recorded },
        restart: 0,
    }
}

fn desired(caches: &Caches) -> Desired {
    let resource = &caches.resource;
    let live = caches.set.map(|set| set.volume);
    // The volumes never shrink.
    let volume = resource.volume.max(live.unwrap_or(0));
    Desired {
        replicas: resource.size,
        version: Some(resource.nats),
        memory_store: resource.memory,
        volume_size: Some(volume),
        force_rollout: resource.force,
        recreate_stateful_set: live.is_some_and(|live| live < volume),
    }
}

fn describe(plan: &Plan, assessment: Option<&Assessment>) -> String {
    let Plan { replicas, partition, members, variant, .. } = plan;
    let action = plan.action.as_ref().map(|action| format!("{action:?} (confirmed: {})", plan.is_confirmed));
    let operation = plan.operation.as_ref().map(|operation| format!("{operation:?}"));
    let blocked: Vec<&str> = plan.blocked.iter().map(|blocked| blocked.message.as_str()).collect();
    let issues = assessment
        .map(|assessment| assessment.issues.iter().map(|issue| issue.kind.to_string()).collect::<Vec<_>>().join("; "));
    format!(
        "plan: replicas {replicas}, partition {partition}, members {members}, {:?}; action {}; {}; blocked {blocked:?}; issues: {}",
        variant.key,
        action.unwrap_or_default(),
        operation.unwrap_or_default(),
        issues.unwrap_or_default()
    )
}
