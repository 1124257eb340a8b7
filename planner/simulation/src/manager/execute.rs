//! Execution of the action of a plan.

use nats_manager_planner::plan::{Action, Plan};

use super::{Manager, write::new_set};
use crate::{
    invariants,
    kubernetes::{
        cache::time,
        objects::{Actor, ApiError, StatefulSet},
    },
    ledger::variant,
    servers::ServerId,
    world::World,
};

impl Manager {
    /// Carries out the action of the plan, if it is confirmed. Returns whether there was one.
    pub(super) fn act(&mut self, world: &mut World, plan: &Plan) -> Result<bool, ApiError> {
        let Some(action) = &plan.action else { return Ok(false) };
        if action.is_disruptive() && !plan.is_confirmed {
            return Ok(false);
        }
        // An action that fails may have been carried out in part.
        self.history.record(time(world.now), action);
        *world.ledger.coverage.actions.entry(variant(action)).or_default() += 1;
        match action {
            // These actions are fields of the StatefulSet, which is written already.
            Action::OpenPartition { .. } | Action::StopServers { .. } => {}
            Action::ExpandPvcs { pvcs, size } => {
                for pvc in pvcs {
                    let ordinal = usize::try_from(pvc.ordinal).map_err(|_| ApiError::NotFound)?;
                    let expanded = self.send(world, |world| world.kubernetes.expand_pvc(ordinal, &pvc.uid, *size));
                    ignore_missing(expanded)?;
                }
            }
            Action::RecreateStatefulSet { .. } => self.recreate_set(world)?,
            Action::Evacuate { server, step_down, moves } => {
                let leaving = by_name(world, server)?;
                for stream in step_down {
                    invariants::requests::step_down(world, &stream.name);
                    self.request(world, |world| world.nats.step_down(&stream.name, world.now))?;
                }
                for stream in moves {
                    self.request(world, |world| world.nats.move_replica(&stream.name, leaving, world.now))?;
                }
            }
            Action::JoinCluster { server, uid } | Action::RestartServer { server, uid, .. } => {
                self.delete_pod(world, server, uid)?;
            }
            Action::ReplacePods { pods } => {
                for pod in pods {
                    self.delete_pod(world, &pod.name, &pod.uid)?;
                }
            }
            Action::RemovePeers { peers } => {
                for peer in peers {
                    let server = world.nats.names.by_peer(&peer.id).ok_or(ApiError::NotFound)?;
                    invariants::requests::remove_peer(world, server, self.actor());
                    self.request(world, |world| world.nats.remove_peer(server, Actor::Manager, world.now))?;
                }
            }
            Action::DeletePvcs { pvcs } => {
                for pvc in pvcs {
                    let ordinal = usize::try_from(pvc.ordinal).map_err(|_| ApiError::NotFound)?;
                    invariants::requests::delete_pvc(world, ordinal, self.actor());
                    world.ledger.pvc_deleted[ordinal] = self.actor();
                    let deleted = self.send(world, |world| world.kubernetes.delete_pvc(ordinal, Some(&pvc.uid)));
                    ignore_missing(deleted)?;
                }
            }
            Action::ReplaceServer { server, pvc, pod, .. } => {
                let ordinal = by_name(world, server)?;
                invariants::requests::replace_server(world, ordinal, &pvc.uid);
                match self.send(world, |world| world.kubernetes.delete_pvc(ordinal, Some(&pvc.uid))) {
                    Err(ApiError::NotFound | ApiError::Conflict) => return Ok(true),
                    deleted => deleted?,
                }
                if let Some(uid) = pod.as_ref().filter(|_| !self.is_killed) {
                    self.delete_pod(world, server, uid)?;
                }
            }
            Action::Reload { servers } => {
                for server in servers {
                    self.request(world, |world| reload(world, &server.name, &server.id))?;
                }
            }
        }
        Ok(true)
    }

    /// Deletes the StatefulSet without its Pods, and creates it again with another size of new PVCs.
    fn recreate_set(&mut self, world: &mut World) -> Result<(), ApiError> {
        let cached = self.caches.set;
        let Some(before) = cached else { return Ok(()) };
        let deleted = self.send(world, |world| {
            if world.kubernetes.set != cached {
                return Err(ApiError::Conflict);
            }
            world.kubernetes.set = None;
            Ok(())
        });
        self.caches.take_set(None);
        deleted?;
        if self.is_killed {
            return Ok(());
        }
        let volume = self.desired.volume_size.unwrap_or_default();
        let created = self.send(world, |world| {
            let version = world.kubernetes.count();
            world.kubernetes.set = Some(StatefulSet { volume, ..new_set(version, &before) });
            Ok(world.kubernetes.set)
        })?;
        world.ledger.log(world.now, || format!("recreated the StatefulSet for volumes of {volume} bytes"));
        self.caches.take_set(created);
        Ok(())
    }

    /// Returns the actor of the manager's writes.
    pub(super) fn actor(&self) -> Actor {
        if self.caches.resource.force { Actor::Forced } else { Actor::Manager }
    }

    /// Sends a request to NATS. A later plan repeats a request that fails.
    fn request(
        &mut self,
        world: &mut World,
        request: impl FnOnce(&mut World) -> Result<(), String>,
    ) -> Result<(), ApiError> {
        self.send(world, |world| {
            request(world).map_err(|error| {
                world.ledger.log(world.now, || format!("request to NATS fails: {error}"));
                ApiError::Server
            })
        })
    }

    fn delete_pod(&mut self, world: &mut World, name: &str, uid: &str) -> Result<(), ApiError> {
        let ordinal = by_name(world, name)?;
        let by = self.actor();
        let deleted = self.send(world, |world| {
            let pod = world.kubernetes.pods[ordinal].as_ref();
            let is_this = pod.is_some_and(|pod| pod.uid.to_string() == uid && pod.terminating.is_none());
            world.kubernetes.delete_pod(ordinal, uid, world.now)?;
            if is_this {
                invariants::disruption::take_away(world, ordinal, by, false);
            }
            Ok(())
        });
        ignore_missing(deleted)
    }
}

fn by_name(world: &World, name: &str) -> Result<ServerId, ApiError> {
    world.nats.names.by_name(name).ok_or(ApiError::NotFound)
}

/// Ignores errors for objects that are gone already or were replaced.
fn ignore_missing(result: Result<(), ApiError>) -> Result<(), ApiError> {
    match result {
        Err(ApiError::NotFound | ApiError::Conflict) => Ok(()),
        result => result,
    }
}

/// Reloads the configuration in a server's volume.
fn reload(world: &mut World, name: &str, run: &str) -> Result<(), String> {
    let server = world.nats.names.by_name(name).ok_or("no response")?;
    let process = world.nats.processes[server].filter(|process| process.run.to_string() == run).ok_or("no response")?;
    let mounted = world.kubernetes.pods[server].as_ref().and_then(|pod| {
        let config = pod.mounted?;
        crate::kubernetes::kubelet::server_config(pod, &config)
    });
    world.nats.reload(server, mounted.unwrap_or(process.config), world.now);
    Ok(())
}
