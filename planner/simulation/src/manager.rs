//! The manager's loop: caches, poll, assess, plan, confirm, writes in a fixed order, the action.
//!
//! It mirrors the controller. Whatever it keeps but [`Recorded`](crate::kubernetes::objects::Resource) is lost when it
//! is killed.

mod execute;

use std::{collections::BTreeSet, sync::Arc};

use nats_manager_planner::{
    actual::{ConfigKey, Kind},
    health::Assessment,
    plan::{self, Desired, History, Input, Observation, Plan, Variant},
};

use crate::{
    kubernetes::{
        cache::{Caches, time},
        objects::{ApiError, ConfigMap, Resource, SetStatus, StatefulSet, Template},
    },
    ledger::variant,
    nats::Nats,
    random::Purpose,
    world::World,
};

/// Seconds between polls while something is in progress or wrong, and at rest.
const BUSY: u64 = 5;
const REST: u64 = 20;
/// Seconds after which servers that never answered count as unobservable.
const UNOBSERVABLE: u64 = 60;
/// The longest delay after a write that failed.
const LONGEST_BACKOFF: u64 = 30;

/// A manager process.
#[derive(Debug)]
pub struct Manager {
    /// Its caches.
    pub caches: Caches,
    /// The last assessment.
    pub assessment: Option<Assessment>,
    /// The last plan.
    pub plan: Option<Plan>,
    /// When it started.
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

/// The writes of a reconcile, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Write {
    Started,
    Config,
    StatefulSet,
    Recorded,
    Action,
}

/// What NATS' API answers when it is asked for all streams.
type Streams = Result<BTreeSet<String>, String>;

impl Manager {
    /// Starts a manager: with filled caches and empty memory.
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

    /// Lets a second pass.
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
            world.ledger.tell(now, || "the manager is killed".to_owned());
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
        let mut plan = self.plan(world, |input| plan::plan(input), None);
        if plan.needs_streams && plan.action.is_none() {
            let streams = self.ask_again(world);
            plan = self.plan(world, |input| plan::plan(input), Some(&streams));
        }
        if let Some(action) = plan.unconfirmed_action() {
            let name = variant(action);
            let streams = self.ask_again(world);
            plan = self.plan(world, |input| plan::confirm(&plan, input), Some(&streams));
            if plan.confirmed_action().is_none() {
                *world.ledger.coverage.unconfirmed.entry(name).or_default() += 1;
            }
        }
        if let Some(before) = self.plan.as_ref().filter(|_| !plan.is_settled) {
            plan.operation.clone_from(&before.operation);
            plan.blocked.clone_from(&before.blocked);
        }
        self.note(world, &plan);
        self.plan = Some(plan.clone());
        self.pending = Some((plan, Write::Started));
    }

    /// The names come first: a stream that is created in between is in the younger snapshot.
    fn ask_again(&mut self, world: &World) -> Streams {
        let streams = world.nats.stream_names();
        self.poll(world);
        streams
    }

    fn plan(&self, world: &World, plan: impl Fn(&Input<'_>) -> Plan, streams: Option<&Streams>) -> Plan {
        let resource = &self.caches.resource;
        let live = self.caches.set.as_ref();
        plan(&Input {
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
            (Some(assessment), _) if self.has_answered => Observation::Seen(assessment),
            (_, None) => Observation::Starting,
            (_, Some(since)) if now < since + UNOBSERVABLE => Observation::Pending,
            _ => Observation::Unobservable { cause: "no response".to_owned() },
        }
    }

    /// Returns whether it polled.
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

    fn note(&mut self, world: &mut World, plan: &Plan) {
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
            world.ledger.tell(world.now, || describe(plan, self.assessment.as_ref()));
        }
    }

    /// Carries out the writes that are left. While the apiserver is slow, one a second.
    fn write(&mut self, world: &mut World) {
        while let Some((plan, write)) = self.pending.take() {
            let result = match write {
                Write::Started => self.write_started(world),
                Write::Config => self.write_config(world, &plan),
                Write::StatefulSet => self.write_set(world, &plan),
                Write::Recorded => self.write_recorded(world, &plan),
                Write::Action => self.act(world, &plan),
            };
            match result {
                Ok(has_written) => {
                    self.failures = 0;
                    self.pending = write.next().map(|next| (plan, next));
                    self.is_dirty |= has_written;
                    if self.is_killed || (has_written && world.now < world.faults.slow_until) {
                        break;
                    }
                }
                Err(error) => {
                    world.ledger.tell(world.now, || format!("{write:?} fails: {error:?}"));
                    self.failures += 1;
                    self.retry_at = world.now + (1 << self.failures.min(5)).min(LONGEST_BACKOFF);
                    self.is_dirty = true;
                }
            }
        }
    }

    /// Sends a write, with the faults of the apiserver, and counts it.
    fn send<T>(
        &mut self,
        world: &mut World,
        write: impl FnOnce(&mut World) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        world.ledger.writes += 1;
        world.ledger.written_at = world.now;
        if let Some(left) = &mut world.faults.kill_after {
            self.is_killed = *left == 0;
            *left = left.saturating_sub(1);
            if self.is_killed {
                world.faults.kill_after = None;
            }
        }
        let mut random = world.random(Purpose::Api);
        match world.faults.api {
            Some((error, percent, until)) if world.now < until && random.chance(percent) => {
                if error == ApiError::LostAnswer {
                    write(world).ok();
                }
                Err(error)
            }
            _ => write(world),
        }
    }

    /// "A server has started" comes before anything else.
    fn write_started(&mut self, world: &mut World) -> Result<bool, ApiError> {
        let has_started = self.caches.actual.pods.iter().any(|pod| pod.started);
        if !has_started || self.caches.resource.servers_started {
            return Ok(false);
        }
        self.write_status(world, |resource| resource.servers_started = true)
    }

    fn write_status(&mut self, world: &mut World, change: impl Fn(&mut Resource)) -> Result<bool, ApiError> {
        let seen = self.caches.resource.version;
        let written = self.send(world, |world| {
            if world.kubernetes.resource.version != seen {
                return Err(ApiError::Conflict);
            }
            world.kubernetes.resource.version = world.kubernetes.count();
            change(&mut world.kubernetes.resource);
            Ok(world.kubernetes.resource.clone())
        })?;
        self.caches.take_resource(&written);
        Ok(true)
    }

    fn write_config(&mut self, world: &mut World, plan: &Plan) -> Result<bool, ApiError> {
        let routes = |kind| if kind == Kind::Clustered { plan.routes } else { 0 };
        if !plan.may_build {
            return Ok(false);
        }
        let wanted = ConfigMap {
            version: 0,
            main: Some(routes(plan.main_kind)),
            clustered: (plan.variant.key == ConfigKey::Clustered).then_some(plan.routes),
            memory: plan.memory_store,
        };
        let is_equal = |config: &ConfigMap| ConfigMap { version: 0, ..*config } == wanted;
        if self.caches.config.as_ref().is_some_and(is_equal) {
            return Ok(false);
        }
        let written = self.send(world, |world| {
            if !world.kubernetes.config.as_ref().is_some_and(is_equal) {
                let version = world.kubernetes.count();
                world.kubernetes.config = Some(ConfigMap { version, ..wanted });
            }
            Ok(world.kubernetes.config)
        })?;
        world.ledger.tell(world.now, || format!("wrote ConfigMap: {wanted:?}"));
        self.caches.take_config(written);
        Ok(true)
    }

    fn write_set(&mut self, world: &mut World, plan: &Plan) -> Result<bool, ApiError> {
        let live = self.caches.set;
        let memory = plan.memory_store;
        if !plan.may_build {
            return Ok(false);
        }
        let template = template(&self.caches.resource, live.as_ref(), plan.variant.key, memory);
        let (replicas, partition) = (plan.replicas, plan.partition);
        let is_equal = |set: &StatefulSet| {
            (set.replicas, set.partition, set.on_delete, set.memory) == (replicas, partition, false, memory)
                && set.template.is_applied_as(&template)
                && set.applied == Some(template)
        };
        if live.as_ref().is_some_and(is_equal) {
            return Ok(false);
        }
        let by = self.actor();
        let precondition = plan.precondition.clone();
        let knows_nothing = self.assessment.as_ref().is_none_or(|assessment| assessment.versions.is_empty());
        let written = self.send(world, |world| {
            let present = world.kubernetes.set;
            if precondition.is_some() && precondition != present.map(|set| set.version.to_string()) {
                return Err(ApiError::Conflict);
            }
            if present.is_none() {
                // Without any server it cannot know the version of the stores.
                world.kubernetes.is_changed_by_hand |= knows_nothing;
                let version = world.kubernetes.count();
                world.kubernetes.set = Some(new_set(version, replicas, partition, template, memory));
                return Ok(world.kubernetes.set);
            }
            world.kubernetes.update_set(by, world.now, |set| {
                (set.replicas, set.partition, set.on_delete, set.memory) = (replicas, partition, false, memory);
                set.template = Template { restart: set.template.restart, ..template };
                set.applied = Some(template);
            });
            Ok(world.kubernetes.set)
        })?;
        world.ledger.tell(world.now, || {
            format!("wrote StatefulSet: replicas {replicas}, partition {partition}, template {}", template.hash())
        });
        self.caches.take_set(written);
        Ok(true)
    }

    /// Membership and removals are recorded before they take effect.
    fn write_recorded(&mut self, world: &mut World, plan: &Plan) -> Result<bool, ApiError> {
        let resource = &self.caches.resource;
        let members = if plan.may_build { Some(plan.members) } else { resource.members };
        if resource.members == members && resource.removed == plan.removed {
            return Ok(false);
        }
        self.write_status(world, |resource| {
            resource.members = members;
            resource.removed.clone_from(&plan.removed);
        })
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
    let noted = live.map_or(0, |set| set.template.memory);
    let is_lowered = live.is_some_and(|set| memory < set.memory);
    Template {
        key,
        nats: resource.nats,
        image: resource.image,
        edit: resource.edit,
        memory: if is_lowered { memory } else { noted },
        restart: 0,
    }
}

fn new_set(version: u64, replicas: u32, partition: u32, template: Template, memory: u64) -> StatefulSet {
    let status = SetStatus { observed: 0, current: template, update: template, present: 0, updated: 0, ready: 0 };
    let applied = Some(template);
    StatefulSet { version, generation: 1, replicas, partition, on_delete: false, template, applied, memory, status }
}

fn desired(caches: &Caches) -> Desired {
    let resource = &caches.resource;
    Desired {
        replicas: resource.size,
        version: Some(resource.nats),
        memory_store: resource.memory,
        force_rollout: resource.force,
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
