//! Invariant 5: once faults end, the actual state reaches the desired one, or the plan names what blocks it.

use nats_manager_planner::actual::ServerMode;

use crate::{
    kubernetes::objects::Node,
    manager::Manager,
    servers::{Group, SERVERS},
    world::World,
};

/// Returns the first difference between actual and desired state; `None` if there is none.
pub fn difference(world: &World) -> Option<String> {
    let resource = &world.kubernetes.resource;
    let Some(set) = &world.kubernetes.set else { return Some("there is no StatefulSet".to_owned()) };
    let differs = |name: &str, actual: &dyn std::fmt::Debug| Some(format!("{name} is {actual:?}"));
    if set.replicas != resource.size {
        return differs("replicas", &set.replicas);
    }
    if set.partition != set.replicas || set.on_delete {
        return differs("partition", &set.partition);
    }
    let template = set.template;
    if (template.nats, template.image, template.edit) != (resource.nats, resource.image, resource.edit) {
        return differs("template", &template);
    }
    if set.status.current != set.status.update {
        return differs("current revision", &set.status.current);
    }
    let size = usize::try_from(set.replicas).unwrap_or(SERVERS);
    if set.volume < resource.volume {
        return differs("size of new PVCs", &set.volume);
    }
    for server in 0..SERVERS {
        let (pod, pvc) = (&world.kubernetes.pods[server], world.kubernetes.pvcs[server]);
        let is_expected = server < size;
        let is_right = match pod {
            Some(pod) => is_expected && pod.template == template && pod.ready && pod.terminating.is_none(),
            None => !is_expected,
        };
        if !is_right {
            return differs(&format!("Pod {server}"), pod);
        }
        if pvc.is_some() != is_expected || pvc.is_some_and(|pvc| pvc.terminating) {
            return differs(&format!("PVC {server}"), &pvc);
        }
        if is_expected && pvc.is_some_and(|pvc| pvc.capacity < resource.volume) {
            return differs(&format!("PVC {server}"), &pvc);
        }
        if is_expected && world.kubernetes.nodes[server] != Node::Up {
            return differs(&format!("node {server}"), &world.kubernetes.nodes[server]);
        }
    }
    nats_difference(world, size)
}

fn nats_difference(world: &World, size: usize) -> Option<String> {
    let resource = &world.kubernetes.resource;
    let is_clustered = ServerMode::of(resource.size) == ServerMode::Clustered;
    let expected: Group = (0..size).collect();
    if is_clustered && world.nats.peers() != expected {
        return Some(format!("peers are {:?}", world.nats.peers()));
    }
    if world.nats.up != expected {
        return Some(format!("servers are {:?}", world.nats.up));
    }
    let config = world.kubernetes.config;
    for server in expected.iter() {
        let loaded = world.nats.processes[server].map(|process| process.config.file);
        if loaded.is_none_or(|file| file < resource.volume / 100 * 80) || loaded != config.map(|config| config.file) {
            return Some(format!("server {server} has the file store {loaded:?}, and not that of {config:?}"));
        }
    }
    for stream in &world.nats.streams {
        let is_replicated = stream.peers.len() == stream.replicas && stream.complete() == stream.peers;
        if stream.leader.is_none() || !is_replicated || stream.moving.is_some() {
            return Some(format!("stream {} is not healthy", stream.id));
        }
    }
    if resource.members != Some(resource.size) {
        return Some(format!("members are {:?}", resource.members));
    }
    None
}

/// Returns the cause that the plan names for a difference between actual and desired state.
pub fn named(manager: &Manager) -> Option<String> {
    let plan = manager.plan.as_ref()?;
    let blocked = plan.blocked.first().map(|blocked| format!("{:?}: {}", blocked.reason, blocked.message));
    blocked.or_else(|| {
        let operation = plan.operation.as_ref()?;
        let waiting_for = operation.waiting_for.as_ref()?;
        Some(format!("{:?} {:?}: {waiting_for}", operation.kind, operation.step))
    })
}
