//! Invariant 1: voluntary disruptions. The manager takes no server away that the others need.

use crate::{
    kubernetes::objects::Actor,
    nats::stream::Stream,
    servers::{Group, SERVERS, ServerId},
    world::World,
};

/// Seconds since its creation in which a stream may be unknown to the decision.
const YOUNG: u64 = 15;

/// Records that a server is taken away, and checks that it may be. `is_condemned` if it stays away for good.
pub fn take_away(world: &mut World, server: ServerId, by: Actor, is_condemned: bool) {
    let is_up = world.nats.up.contains(server);
    if by == Actor::Manager && is_up {
        check(world, server, is_condemned);
    }
    // A server that does not serve is not made unavailable.
    let by = if is_up { by } else { Actor::Other };
    if by == Actor::Other {
        world.nats.disturbed[server] = world.now;
    }
    world.ledger.away[server] = world.ledger.away[server].or(Some(by));
    world.ledger.condemned[server] = is_condemned;
}

fn check(world: &mut World, server: ServerId, is_condemned: bool) {
    let now = world.now;
    let name = world.nats.names.server[server].clone();
    for text in violations(world, server, is_condemned) {
        world.ledger.violate(1, now, format!("{name} is taken away: {text}"));
    }
}

fn violations(world: &World, server: ServerId, is_condemned: bool) -> Vec<String> {
    let mut texts = Vec::new();
    // A server that started a moment ago does not count: no poll can have shown it.
    let started = world.nats.processes[server].map_or(0, |process| process.started);
    let has_replica = world.nats.streams.iter().any(|stream| stream.peers.contains(server));
    if world.now < started + crate::nats::NOTICE && !(is_condemned && has_replica) {
        return texts;
    }
    // A server that was evacuated and stopped counts in the meta group only.
    let is_empty = |other: ServerId| {
        world.ledger.condemned[other] && !world.nats.streams.iter().any(|stream| stream.peers.contains(other))
    };
    let is_away =
        |other: &ServerId| *other != server && world.ledger.away[*other] == Some(Actor::Manager) && !is_empty(*other);
    // A group that was founded a moment ago has no streams.
    let founded = world.nats.meta.as_ref().map_or(world.now, |meta| meta.founded);
    let is_new = world.nats.streams.is_empty() && world.now < founded + 60;
    // Standalone servers that were added by hand serve nothing together.
    let is_new = is_new || world.nats.meta.is_none();
    if let Some(other) = (0..SERVERS).find(is_away).filter(|_| !is_new) {
        texts.push(format!("{} is away because of the manager too", world.nats.names.server[other]));
    }
    // Faults that no poll can have shown do not count.
    let unnoticed = world.unnoticed();
    let up: Group = world.nats.up.iter().chain(unnoticed.iter()).collect();
    let left = up.without(server);
    let peers = world.nats.peers();
    if world.nats.meta_leader().is_some() && peers.len() > 2 && left.and(peers).len() < peers.majority() {
        texts.push("the meta group loses its quorum".to_owned());
    }
    // A StatefulSet controller that was stopped carries out earlier decisions late.
    let young = if world.now < world.faults.controller_until + 10 { 6 * YOUNG } else { YOUNG };
    let is_old = |stream: &&Stream| !is_condemned || world.now > stream.created + young;
    let concerned = world.nats.streams.iter().filter(|stream| stream.peers.contains(server) && !stream.is_excused);
    for stream in concerned.filter(is_old) {
        if let Some(text) = stream_violation(stream, server, left, unnoticed, is_condemned) {
            texts.push(format!("stream {} {text}", stream.id));
        }
    }
    texts
}

fn stream_violation(
    stream: &Stream,
    server: ServerId,
    left: Group,
    unnoticed: Group,
    is_condemned: bool,
) -> Option<&'static str> {
    if is_condemned {
        return Some("has a replica on it");
    }
    if stream.peers.len() < 2 {
        return (stream.in_memory && stream.replicas > 1).then_some("loses its only replica, which is in memory");
    }
    let complete: Group = stream.complete().iter().chain(unnoticed.and(stream.peers).iter()).collect();
    if complete.without(server).is_empty() {
        return Some("has no other complete replica");
    }
    let loses_quorum =
        stream.leader.is_some() && stream.peers.len() > 2 && left.and(stream.peers).len() < stream.peers.majority();
    loses_quorum.then_some("loses its quorum")
}
