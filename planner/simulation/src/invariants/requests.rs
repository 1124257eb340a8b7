//! Invariants 1 and 2: requests that cannot be reverted.

use nats_manager_planner::actual::Replacement;

use crate::{
    kubernetes::objects::Actor,
    nats::stream::Stream,
    servers::{Group, ServerId},
    world::World,
};

/// Highest number of requests for another leader of one stream within [`WINDOW`].
const STEP_DOWNS: usize = 6;
/// Seconds for which requests are counted.
const WINDOW: u64 = 300;

/// Checks a request for another leader: requests for the same stream need a backoff.
pub fn step_down(world: &mut World, stream: &str) {
    let now = world.now;
    let asked = world.ledger.step_downs.entry(stream.to_owned()).or_default();
    asked.retain(|at| at + WINDOW > now);
    let is_too_soon = asked.last().is_some_and(|last| last + 3 > now) || asked.len() >= STEP_DOWNS;
    asked.push(now);
    if is_too_soon {
        world.ledger.violate(1, now, format!("stream {stream} is asked for another leader again and again"));
    }
}

/// Checks the removal of a peer: its server is gone, and every stream is complete without it.
pub fn remove_peer(world: &mut World, server: ServerId, by: Actor) {
    let now = world.now;
    let name = world.nats.names.server[server].clone();
    if world.nats.processes[server].is_some() && world.nats.peers().contains(server) {
        world.ledger.violate(1, now, format!("peer {name} is removed while it runs"));
    }
    if by == Actor::Manager
        && let Some(stream) = incomplete_without(world, server, |_| true)
    {
        world.ledger.violate(2, now, format!("peer {name} is removed while stream {stream} needs it"));
    }
}

/// Checks the deletion of a PVC: the peer is gone, and every stream is complete without it.
pub fn delete_pvc(world: &mut World, server: ServerId, by: Actor) {
    let now = world.now;
    if by == Actor::Forced {
        return;
    }
    let name = world.nats.names.server[server].clone();
    if world.nats.peers().contains(server) {
        world.ledger.violate(2, now, format!("the PVC of {name} is deleted while it is a peer"));
    }
    if let Some(stream) = incomplete_without(world, server, |_| true) {
        world.ledger.violate(2, now, format!("the PVC of {name} is deleted while stream {stream} needs it"));
    }
}

/// Returns a concerned stream that has no majority of complete replicas without this server, and would have one with it.
fn incomplete_without(world: &World, server: ServerId, concerns: impl Fn(&Stream) -> bool) -> Option<String> {
    let unnoticed = world.unnoticed();
    let needs_server = |stream: &&Stream| {
        let complete: Group = stream.complete().iter().chain(unnoticed.and(stream.peers).iter()).collect();
        let majority = stream.replicas.min(stream.peers.len()) / 2 + 1;
        let has_data = stream.data[server].is_some_and(|last| last > 0);
        has_data && concerns(stream) && !stream.is_excused && complete.without(server).len() < majority
    };
    world.nats.streams.iter().find(needs_server).map(|stream| stream.id.to_string())
}

/// Checks the replacement of a server: every stream is complete without it, but for those whose loss the user accepted.
pub fn replace_server(world: &mut World, server: ServerId, uid: &str) {
    let Some(pvc) = world.kubernetes.pvcs[server].filter(|pvc| pvc.uid.to_string() == uid) else { return };
    let now = world.now;
    let name = world.nats.names.server[server].clone();
    let needed = incomplete_without(world, server, |stream| match pvc.replacement {
        // A stream that was created a moment ago may be unknown to the manager.
        Some(Replacement::KeepStreams) => stream.replicas > 1 || now > stream.created + crate::nats::NOTICE,
        Some(Replacement::LoseStreams) => stream.replicas > 1,
        None => true,
    });
    if let Some(stream) = needed {
        world.ledger.violate(2, now, format!("{name} is replaced while stream {stream} needs it"));
    }
    let by = if pvc.replacement == Some(Replacement::LoseStreams) { Actor::Other } else { Actor::Manager };
    world.ledger.pvc_deleted[server] = by;
}
