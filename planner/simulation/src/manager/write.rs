//! Writes of a reconcile, in a fixed order, each with its precondition.

use nats_manager_planner::{
    actual::{ConfigKey, ServerMode},
    plan::Plan,
};

use super::{LONGEST_BACKOFF, Manager, Write, template};
use crate::{
    kubernetes::objects::{ApiError, ConfigMap, Resource, SetStatus, StatefulSet, Template},
    random::Purpose,
    world::World,
};

impl Manager {
    /// Carries out the pending writes. While the apiserver is slow, only one a second.
    pub(super) fn write(&mut self, world: &mut World) {
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
                    world.ledger.log(world.now, || format!("{write:?} fails: {error:?}"));
                    self.failures += 1;
                    self.retry_at = world.now + (1 << self.failures.min(5)).min(LONGEST_BACKOFF);
                    self.is_dirty = true;
                }
            }
        }
    }

    /// Sends a write, with the faults of the apiserver, and counts it.
    pub(super) fn send<T>(
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

    /// Records that a server has started, before all other writes.
    fn write_started(&mut self, world: &mut World) -> Result<bool, ApiError> {
        let has_started = self.caches.actual.pods.iter().any(|pod| pod.started);
        if !has_started || self.caches.resource.servers_started {
            return Ok(false);
        }
        self.write_status(world, |resource| resource.servers_started = true)
    }

    fn write_status(&mut self, world: &mut World, change: impl Fn(&mut Resource)) -> Result<bool, ApiError> {
        let cached = self.caches.resource.version;
        let written = self.send(world, |world| {
            if world.kubernetes.resource.version != cached {
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
        let routes = |kind| if kind == ServerMode::Clustered { plan.routes } else { 0 };
        if !plan.may_build {
            return Ok(false);
        }
        let desired = ConfigMap {
            version: 0,
            main: Some(routes(plan.main_kind)),
            clustered: (plan.variant.key == ConfigKey::Clustered).then_some(plan.routes),
            memory: plan.memory_store,
            file: plan.file_store,
        };
        let is_equal = |config: &ConfigMap| ConfigMap { version: 0, ..*config } == desired;
        if self.caches.config.as_ref().is_some_and(is_equal) {
            return Ok(false);
        }
        let written = self.send(world, |world| {
            if !world.kubernetes.config.as_ref().is_some_and(is_equal) {
                let version = world.kubernetes.count();
                world.kubernetes.config = Some(ConfigMap { version, ..desired });
            }
            Ok(world.kubernetes.config)
        })?;
        world.ledger.log(world.now, || format!("wrote ConfigMap: {desired:?}"));
        self.caches.take_config(written);
        Ok(true)
    }

    fn write_set(&mut self, world: &mut World, plan: &Plan) -> Result<bool, ApiError> {
        let live = self.caches.set;
        let (memory, file) = (plan.memory_store, plan.file_store);
        if !plan.may_build {
            return Ok(false);
        }
        let template = template(&self.caches.resource, live.as_ref(), plan.variant.key, memory);
        let (replicas, partition) = (plan.replicas, plan.partition);
        let is_equal = |set: &StatefulSet| {
            (set.replicas, set.partition, set.on_delete) == (replicas, partition, false)
                && (set.memory, set.file) == (memory, file)
                && set.template.is_applied_as(&template)
                && set.applied == Some(template)
        };
        if live.as_ref().is_some_and(is_equal) {
            return Ok(false);
        }
        let desired = StatefulSet {
            version: 0,
            generation: 1,
            replicas,
            partition,
            on_delete: false,
            template,
            applied: Some(template),
            memory,
            file,
            volume: self.desired.volume_size.unwrap_or_default(),
            status: SetStatus { observed: 0, current: template, update: template, present: 0, updated: 0, ready: 0 },
        };
        let by = self.actor();
        let precondition = plan.precondition.clone();
        let has_no_versions = self.assessment.as_ref().is_none_or(|assessment| assessment.versions.is_empty());
        let written = self.send(world, |world| {
            let present = world.kubernetes.set;
            if precondition.is_some() && precondition != present.map(|set| set.version.to_string()) {
                return Err(ApiError::Conflict);
            }
            if present.is_none() {
                // Without any server the version of the stores is unknown.
                world.kubernetes.is_changed_by_hand |= has_no_versions;
                let version = world.kubernetes.count();
                world.kubernetes.set = Some(new_set(version, &desired));
                return Ok(world.kubernetes.set);
            }
            world.kubernetes.update_set(by, world.now, |set| {
                (set.replicas, set.partition, set.on_delete) = (replicas, partition, false);
                (set.memory, set.file) = (memory, file);
                set.template = Template { restart: set.template.restart, ..template };
                set.applied = Some(template);
            });
            Ok(world.kubernetes.set)
        })?;
        world.ledger.log(world.now, || {
            format!("wrote StatefulSet: replicas {replicas}, partition {partition}, template {}", template.hash())
        });
        self.caches.take_set(written);
        Ok(true)
    }

    /// Records membership and removals before they take effect, and that servers were reached.
    fn write_recorded(&mut self, world: &mut World, plan: &Plan) -> Result<bool, ApiError> {
        let resource = &self.caches.resource;
        let members = if plan.may_build { Some(plan.members) } else { resource.members };
        let was_reached = resource.was_reached || self.has_answered;
        if resource.members == members && resource.removed == plan.removed && resource.was_reached == was_reached {
            return Ok(false);
        }
        self.write_status(world, |resource| {
            resource.members = members;
            resource.was_reached = was_reached;
            resource.removed.clone_from(&plan.removed);
        })
    }
}

/// Builds a StatefulSet with the spec of another, as the apiserver creates it.
pub(super) fn new_set(version: u64, spec: &StatefulSet) -> StatefulSet {
    let template = spec.template;
    let status = SetStatus { observed: 0, current: template, update: template, present: 0, updated: 0, ready: 0 };
    StatefulSet { version, generation: 1, on_delete: false, status, ..*spec }
}
