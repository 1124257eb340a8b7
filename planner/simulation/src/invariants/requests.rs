//! Invariants 1 and 2: requests that cannot be reverted.

use crate::{
    kubernetes::objects::Actor,
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
        && let Some(stream) = incomplete_without(world, server)
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
    if let Some(stream) = incomplete_without(world, server) {
        world.ledger.violate(2, now, format!("the PVC of {name} is deleted while stream {stream} needs it"));
    }
}

/// Returns a stream that has no majority of complete replicas without this server, and would have one with it.
fn incomplete_without(world: &World, server: ServerId) -> Option<String> {
    let unnoticed = world.unnoticed();
    let needs_server = |stream: &&crate::nats::stream::Stream| {
        let complete: Group = stream.complete().iter().chain(unnoticed.and(stream.peers).iter()).collect();
        let majority = stream.replicas.min(stream.peers.len()) / 2 + 1;
        let has_data = stream.data[server].is_some_and(|last| last > 0);
        has_data && !stream.is_excused && complete.without(server).len() < majority
    };
    world.nats.streams.iter().find(needs_server).map(|stream| stream.id.to_string())
}
