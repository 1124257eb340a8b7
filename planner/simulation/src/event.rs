//! Events of a scenario: actions of users, and faults.

use nats_manager_planner::{
    Version,
    actual::{Replacement, ServerMode},
};

use crate::{
    invariants::disruption,
    kubernetes::{
        cache::{Caches, Watch},
        objects::{Actor, ApiError, Image, Node},
        volumes::Driver,
    },
    nats::requests::NewStream,
    servers::{Group, SERVERS, ServerId},
    world::World,
};

/// An event. Servers and streams are given by number. An event for one that does not exist has no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A user edits the resource, in one patch.
    Edit(Edit),
    /// A user sets the StatefulSet's replicas.
    ScaleByHand(u32),
    /// A user sets the StatefulSet's partition.
    PartitionByHand(u32),
    /// A user sets the update strategy to `OnDelete`.
    OnDelete,
    /// A user runs `kubectl rollout restart statefulset`.
    RestartRollout,
    /// A user deletes a Pod, or it is evicted.
    DeletePod(ServerId),
    /// A user runs `kubectl delete pod --force` for a Pod that is terminating.
    ForceDeletePod(ServerId),
    /// A user deletes a PVC.
    DeletePvc(ServerId),
    /// A user requests the replacement of a server, by an annotation on its PVC.
    ReplaceServer(ServerId, Replacement),
    /// A user deletes the StatefulSet.
    DeleteStatefulSet,
    /// A user deletes the ConfigMap.
    DeleteConfigMap,
    /// The resource is deleted with all its objects, and created again.
    Recreate(u32),
    /// The predecessor writes the ConfigMap for the size that the spec asks for.
    OverwriteConfig,
    /// A user creates a stream.
    CreateStream(NewStream),
    /// A user deletes a stream.
    DeleteStream(usize),
    /// The manager is killed after so many more writes.
    KillManager(u32),
    /// No manager runs for so many seconds.
    ManagerDown(u64),
    /// A watch receives no events for so many seconds.
    StallWatch(Watch, u64),
    /// The apiserver answers writes with an error: percentage of all writes, seconds.
    ApiErrors(ApiError, u64, u64),
    /// Each write takes a second, for so many seconds.
    SlowApi(u64),
    /// The StatefulSet controller is stopped for so many seconds.
    ControllerDown(u64),
    /// A node does not answer for so many seconds.
    LoseNode(ServerId, u64),
    /// A node and its volume are gone for good.
    DestroyNode(ServerId),
    /// A volume has no room left.
    FillVolume(ServerId),
    /// A volume has room again.
    FreeVolume(ServerId),
    /// A replica of a stream has a write error: server, stream.
    WriteError(ServerId, usize),
    /// The NATS container of a server exits.
    CrashContainer(ServerId),
    /// The volume driver behaves in another way.
    SetDriver(Driver),
    /// A user raises the size that a PVC requests, in bytes.
    ExpandPvcByHand(ServerId, u64),
    /// Pods cannot be created for so many seconds.
    Quota(u64),
    /// The monitoring ports of all servers, or of one, do not answer for so many seconds.
    BlockPorts(Option<ServerId>, u64),
    /// A foreign server joins.
    JoinForeign,
    /// The foreign server leaves for good.
    LeaveForeign,
    /// The meta leader steps down.
    StepDownMeta,
    /// The leader of a stream steps down.
    StepDownStream(usize),
    /// The memory store has no room for a stream.
    FillMemory(usize),
    /// Replicas catch up with so many messages a second.
    CatchUp(u64),
}

/// An edit of the resource's spec. `None` leaves a field as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Edit {
    /// `spec.cluster.size`.
    pub size: Option<u32>,
    /// Behaviour of Pods with the new image.
    pub image: Option<Image>,
    /// Version of the NATS image.
    pub version: Option<Version>,
    /// Another field of the Pod template changes.
    pub template: bool,
    /// `spec.jetStream.memStorage.size` in bytes; 0 is off.
    pub memory: Option<u64>,
    /// `spec.jetStream.fileStorage.size` in bytes.
    pub volume: Option<u64>,
    /// The annotation `force-rollout`.
    pub force: Option<bool>,
}

impl Event {
    /// Applies the event to the world and to the manager's caches.
    pub fn apply(self, world: &mut World, caches: &mut Caches) {
        let now = world.now;
        match self {
            Self::Edit(edit) => edit.apply(world),
            Self::ScaleByHand(replicas) => {
                world.kubernetes.update_set(Actor::Other, now, |set| set.replicas = replicas);
                world.kubernetes.is_changed_by_hand = true;
            }
            Self::PartitionByHand(partition) => {
                world.kubernetes.update_set(Actor::Other, now, |set| set.partition = partition);
                world.kubernetes.is_changed_by_hand = true;
            }
            Self::OnDelete => world.kubernetes.update_set(Actor::Other, now, |set| set.on_delete = true),
            Self::RestartRollout => {
                world.kubernetes.update_set(Actor::Other, now, |set| set.template.restart += 1);
            }
            Self::DeletePod(server) => delete_pod(world, server),
            Self::ForceDeletePod(server) => {
                if world.kubernetes.pods[server].as_ref().is_some_and(|pod| pod.terminating.is_some()) {
                    world.nats.stop(server, Actor::Other, false, now);
                    world.kubernetes.pods[server] = None;
                    world.kubernetes.pods_version += 1;
                }
            }
            Self::DeletePvc(server) => _ = world.kubernetes.delete_pvc(server, None),
            Self::ReplaceServer(server, replacement) => {
                if let Some(pvc) = &mut world.kubernetes.pvcs[server] {
                    pvc.replacement = Some(replacement);
                    world.kubernetes.pvcs_version += 1;
                }
            }
            Self::DeleteStatefulSet => {
                world.kubernetes.set = None;
                (0..SERVERS).for_each(|server| delete_pod(world, server));
            }
            Self::DeleteConfigMap => world.kubernetes.config = None,
            Self::Recreate(size) => {
                recreate(world, size);
                // The manager itself deleted the PVCs before it removed its finalizer.
                let stalled = caches.stalled;
                *caches = Caches::new(&world.kubernetes, &world.nats.names);
                caches.stalled = stalled;
            }
            Self::OverwriteConfig => overwrite(world),
            Self::StallWatch(watch, seconds) => caches.stalled[watch as usize] = now + seconds,
            Self::ManagerDown(seconds) => world.faults.down_until = now + seconds,
            Self::KillManager(writes) => world.faults.kill_after = Some(writes),
            Self::ApiErrors(error, percent, seconds) => world.faults.api = Some((error, percent, now + seconds)),
            Self::SlowApi(seconds) => world.faults.slow_until = now + seconds,
            Self::ControllerDown(seconds) => world.faults.controller_until = now + seconds,
            Self::SetDriver(driver) => world.kubernetes.driver = driver,
            Self::ExpandPvcByHand(server, size) => {
                let uid = world.kubernetes.pvcs[server].map(|pvc| pvc.uid.to_string());
                uid.map(|uid| world.kubernetes.expand_pvc(server, &uid, size));
            }
            Self::Quota(seconds) => world.kubernetes.quota_until = now + seconds,
            _ => self.apply_to_nats(world),
        }
    }

    fn apply_to_nats(self, world: &mut World) {
        let now = world.now;
        let nats = &mut world.nats;
        match self {
            Self::CreateStream(new) => {
                let name = format!("s{now}");
                nats.create_stream(&name, new, now);
            }
            Self::DeleteStream(index) => nats.delete_stream(index),
            Self::LoseNode(server, seconds) => {
                lose_node(world, server, Node::Lost { since: now, until: now + seconds });
            }
            Self::DestroyNode(server) => {
                nats.stores[server].gone = true;
                nats.stop(server, Actor::Other, false, now);
                nats.destroy(server, Actor::Other, now);
                lose_node(world, server, Node::Gone { since: now });
            }
            Self::FillVolume(server) => {
                nats.fill(server, now);
                blame(world, server);
            }
            Self::FreeVolume(server) => nats.stores[server].full = false,
            Self::WriteError(server, index) => write_error(world, server, index),
            Self::CrashContainer(server) => {
                nats.stop(server, Actor::Other, false, now);
                if let Some(pod) = &mut world.kubernetes.pods[server] {
                    pod.start_at = now + 2;
                }
                blame(world, server);
            }
            Self::BlockPorts(server, seconds) => {
                let servers: Group = server.map_or((0..SERVERS).collect(), |server| [server].into_iter().collect());
                nats.blocked_ports = (servers, now + seconds);
            }
            Self::JoinForeign => nats.join_foreign(now),
            Self::LeaveForeign => nats.leave_foreign(now),
            Self::StepDownMeta => nats.step_down_meta(now),
            Self::StepDownStream(index) => {
                if let Some(stream) = nats.streams.get_mut(index) {
                    stream.lose_leader(now, 4);
                }
            }
            Self::FillMemory(index) => {
                if let Some(stream) = nats.streams.get_mut(index).filter(|stream| stream.in_memory) {
                    stream.memory_full = !stream.is_standalone && stream.leader.is_some();
                }
            }
            Self::CatchUp(rate) => nats.catch_up = rate,
            _ => {}
        }
    }
}

impl Edit {
    fn apply(self, world: &mut World) {
        let version = world.kubernetes.count();
        let resource = &mut world.kubernetes.resource;
        // Admission allows one server only until the first one has joined the cluster.
        let is_allowed =
            |size: &u32| *size > 1 || resource.size == 1 || resource.members.is_none_or(|members| members == 1);
        if let Some(size) = self.size.filter(is_allowed) {
            resource.size = size;
        }
        // Admission allows no memory store below the usage of memory streams in the status.
        let used = (0..SERVERS).map(|server| world.nats.stored(server, true)).max().unwrap_or(0);
        if let Some(memory) = self.memory.filter(|memory| *memory >= used) {
            resource.memory = memory;
        }
        // Admission allows no smaller volumes.
        resource.volume = self.volume.unwrap_or(0).max(resource.volume);
        resource.nats = self.version.unwrap_or(resource.nats);
        resource.image = self.image.unwrap_or(resource.image);
        resource.edit += u32::from(self.template);
        resource.force = self.force.unwrap_or(resource.force);
        resource.version = version;
    }
}

/// Attributes a server that is away to the fault, whatever took it away: it stays away because of the fault.
fn blame(world: &mut World, server: ServerId) {
    world.ledger.away[server] = world.ledger.away[server].and(Some(Actor::Other));
}

fn delete_pod(world: &mut World, server: ServerId) {
    if world.kubernetes.pods[server].as_ref().is_some_and(|pod| pod.terminating.is_none()) {
        world.kubernetes.terminate(server, world.now);
        disruption::take_away(world, server, Actor::Other, false);
    }
}

fn lose_node(world: &mut World, server: ServerId, node: Node) {
    world.kubernetes.nodes[server] = node;
    // The server stays away because of the fault, whatever took it away.
    world.ledger.away[server] = Some(Actor::Other);
    world.nats.disturbed[server] = world.now;
}

fn write_error(world: &mut World, server: ServerId, index: usize) {
    let now = world.now;
    let Some(stream) = world.nats.streams.get_mut(index) else { return };
    if stream.is_standalone || !stream.peers.contains(server) || !world.nats.up.contains(server) {
        return;
    }
    stream.write_errors.insert(server);
    if stream.leader == Some(server) {
        stream.lose_leader(now, 2);
    }
    world.nats.disturbed[server] = now;
}

/// Deletes all objects and creates the resource again. PVCs wait for their Pods.
fn recreate(world: &mut World, size: u32) {
    (world.kubernetes.set, world.kubernetes.config) = (None, None);
    world.nats.leave_foreign(world.now);
    for server in 0..SERVERS {
        delete_pod(world, server);
        world.kubernetes.delete_pvc(server, None).ok();
    }
    let version = world.kubernetes.count();
    let resource = &mut world.kubernetes.resource;
    resource.version = version;
    resource.size = size;
    (resource.members, resource.servers_started, resource.was_reached) = (None, false, false);
    resource.removed.clear();
}

fn overwrite(world: &mut World) {
    let size = world.kubernetes.resource.size;
    let version = world.kubernetes.count();
    let Some(config) = &mut world.kubernetes.config else { return };
    config.main = Some(if ServerMode::of(size) == ServerMode::Clustered { size } else { 0 });
    config.clustered = None;
    config.version = version;
    world.faults.overwritten_until = world.now + 100;
}
