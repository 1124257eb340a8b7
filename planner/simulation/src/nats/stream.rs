//! Model of streams: leaders, replicas that catch up, moves, and a publisher whose messages are acknowledged.

use nats_manager_planner::snapshot::StreamId;

use super::{NOTICE, Nats};
use crate::{
    random::Random,
    servers::{Group, SERVERS, ServerId},
};

/// State of a stream.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// Identity of the stream.
    pub id: StreamId,
    /// The configured number of replicas.
    pub replicas: u32,
    /// The messages are kept in memory.
    pub in_memory: bool,
    /// Second of the creation.
    pub created: u64,
    /// Number of consumers.
    pub consumers: u64,
    /// The stream belongs to a standalone server's store.
    pub is_standalone: bool,
    /// Servers with a replica.
    pub peers: Group,
    /// The leader, if one is elected.
    pub leader: Option<ServerId>,
    /// Second since which the stream has its leader, or none.
    pub leader_since: u64,
    /// Second at which the next leader is elected.
    pub elect_at: u64,
    /// The last leader, and the second until which others still name it.
    pub stale: Option<(ServerId, u64)>,
    /// The server that stepped down: another leader is preferred.
    pub stepped_down: Option<ServerId>,
    /// The last acknowledged message. Messages up to it count as acknowledged.
    pub acknowledged: u64,
    /// Number of messages published a second.
    pub rate: u64,
    /// The last message of each replica.
    pub data: [Option<u64>; SERVERS],
    /// Second at which each replica was added: its log is persisted a second later.
    pub added: [u64; SERVERS],
    /// Replicas that have stopped writing.
    pub write_errors: Group,
    /// The memory store has no room for it.
    pub memory_full: bool,
    /// A move in progress.
    pub moving: Option<Move>,
    /// The scenario itself destroyed too many replicas.
    pub is_excused: bool,
}

/// A move of one replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// Server that the replica leaves.
    pub leaving: ServerId,
    /// Server that the replica moves to.
    pub joining: ServerId,
    /// Second of the request.
    pub since: u64,
}

/// Seconds without any complete replica after which an incomplete one leads.
const PATIENCE: u64 = 60;

impl Stream {
    /// Builds a stream with complete replicas.
    pub fn new(name: &str, replicas: u32, peers: Group, messages: u64, rate: u64) -> Self {
        let mut data = [None; SERVERS];
        peers.iter().for_each(|peer| data[peer] = Some(messages));
        Self {
            id: StreamId::new(nats_manager_planner::snapshot::DEFAULT_ACCOUNT, name),
            replicas,
            in_memory: false,
            created: 0,
            consumers: 1,
            is_standalone: false,
            peers,
            leader: None,
            leader_since: 0,
            elect_at: 0,
            stale: None,
            stepped_down: None,
            acknowledged: messages,
            rate,
            data,
            added: [0; SERVERS],
            write_errors: Group::default(),
            memory_full: false,
            moving: None,
            is_excused: false,
        }
    }

    /// Returns whether a replica has every acknowledged message.
    pub fn is_complete(&self, server: ServerId) -> bool {
        self.data[server].is_some_and(|last| last >= self.acknowledged)
    }

    /// Returns the complete replicas of its group.
    pub fn complete(&self) -> Group {
        self.peers.iter().filter(|peer| self.is_complete(*peer)).collect()
    }

    /// Adds an empty replica.
    pub fn add(&mut self, server: ServerId, now: u64) {
        self.peers.insert(server);
        self.data[server] = Some(0);
        self.added[server] = now;
        self.write_errors.remove(server);
    }

    /// Drops a replica and its messages.
    pub fn drop_replica(&mut self, server: ServerId) {
        self.peers.remove(server);
        self.data[server] = None;
    }

    /// Removes the leader. A new one is elected after so many seconds.
    pub fn lose_leader(&mut self, now: u64, after: u64) {
        if let Some(leader) = self.leader.take() {
            self.stale = Some((leader, now + 8));
            self.leader_since = now;
        }
        self.elect_at = now + after;
    }

    /// Returns whether NATS reports a replica as current: its log is persisted, and no write has failed (measured).
    pub fn is_current(&self, server: ServerId, up: Group, now: u64) -> bool {
        up.contains(server) && now > self.added[server] && !self.write_errors.contains(server)
    }

    fn set_leader(&mut self, leader: ServerId, now: u64) {
        (self.leader, self.leader_since) = (Some(leader), now);
        (self.stale, self.stepped_down) = (None, None);
    }
}

impl Nats {
    pub(super) fn tick_stream(&mut self, index: usize, now: u64, random: &mut Random) {
        let (up, catch_up) = (self.up, self.catch_up);
        let is_standalone = self.standalone();
        let stream = &mut self.streams[index];
        if stream.is_standalone {
            let leads = is_standalone && !stream.write_errors.contains(0) && stream.data[0].is_some();
            match stream.leader {
                None if leads => stream.set_leader(0, now),
                Some(_) if !leads => stream.lose_leader(now, 0),
                _ => {}
            }
        } else {
            let live = stream.peers.and(up);
            for peer in live.iter().filter(|peer| stream.data[*peer].is_none()).collect::<Group>().iter() {
                stream.data[peer] = Some(0);
            }
            let has_quorum = live.len() >= stream.peers.majority() && !stream.memory_full;
            if stream.leader.is_some_and(|leader| !live.contains(leader) || !has_quorum) {
                stream.lose_leader(now, random.between(2, 5));
            }
            if stream.leader.is_none() && has_quorum && now >= stream.elect_at {
                self.elect(index, live, now, random);
            }
        }
        let stream = &mut self.streams[index];
        let Some(leader) = stream.leader else { return };
        let followers = stream.peers.and(up).without(leader).minus(stream.write_errors);
        let complete = stream.complete();
        stream.acknowledged += stream.rate;
        for follower in followers.iter() {
            let last = stream.data[follower].unwrap_or(0);
            let next = if complete.contains(follower) { stream.acknowledged } else { last + catch_up };
            stream.data[follower] = Some(next.min(stream.acknowledged));
        }
        stream.data[leader] = Some(stream.acknowledged);
        if stream.is_excused && stream.complete().len() >= stream.peers.majority() {
            stream.is_excused = false;
        }
        self.tick_move(index, now, random);
    }

    /// Elects a leader. Replicas that catch up, or have a write error, vote and are no candidates.
    fn elect(&mut self, index: usize, live: Group, now: u64, random: &mut Random) {
        let stream = &mut self.streams[index];
        let candidates = stream.complete().and(live).minus(stream.write_errors);
        let preferred = stream.stepped_down.map_or(candidates, |server| candidates.without(server));
        let pick = random.next();
        if let Some(leader) = preferred.pick(pick) {
            return stream.set_leader(leader, now);
        }
        if let Some(leader) = candidates.pick(pick).filter(|_| now > stream.elect_at + 4) {
            return stream.set_leader(leader, now);
        }
        let others = stream.complete().minus(stream.write_errors);
        if others.is_empty() && now > stream.elect_at + PATIENCE {
            let best = live.iter().max_by_key(|server| stream.data[*server].unwrap_or(0));
            if let Some(leader) = best {
                self.lead_incomplete(index, leader, now);
            }
        }
    }

    /// Makes a server without all messages the leader: the others drop the messages that it does not have.
    fn lead_incomplete(&mut self, index: usize, leader: ServerId, now: u64) {
        let stream = &mut self.streams[index];
        let last = stream.data[leader].unwrap_or(0);
        if last < stream.acknowledged && !stream.is_excused {
            let name = &self.names.server[leader];
            let text = format!("stream {}: {name} leads with {last} of {} messages", stream.id, stream.acknowledged);
            self.violations.push((4, text));
        }
        stream.acknowledged = last;
        for data in stream.data.iter_mut().flatten() {
            *data = (*data).min(last);
        }
        stream.set_leader(leader, now);
    }

    /// Continues a move. A leader that stays drops the leaving replica half a second after the new one is current. A
    /// leader that leaves hands over to any replica that is current.
    fn tick_move(&mut self, index: usize, now: u64, random: &mut Random) {
        let up = self.up;
        let stream = &mut self.streams[index];
        let (Some(moving), Some(leader)) = (stream.moving, stream.leader) else { return };
        if !stream.is_current(moving.joining, up, now) {
            return;
        }
        if leader == moving.leaving {
            let current = stream.peers.without(leader).iter().filter(|peer| stream.is_current(*peer, up, now));
            let Some(next) = current.collect::<Group>().pick(random.next()) else { return };
            let is_disturbed = self.is_disturbed(index, moving.since);
            self.streams[index].is_excused |= is_disturbed;
            self.lead_incomplete(index, next, now);
        }
        let is_disturbed = self.is_disturbed(index, moving.since);
        let stream = &mut self.streams[index];
        stream.moving = None;
        stream.drop_replica(moving.leaving);
        let majority = stream.replicas / 2 + 1;
        let is_excused = stream.is_excused || is_disturbed;
        if stream.complete().len() < majority && !is_excused {
            let text = format!(
                "stream {}: moved off {} with {} complete replicas of {}",
                stream.id,
                self.names.server[moving.leaving],
                stream.complete().len(),
                stream.replicas
            );
            self.violations.push((1, text));
        }
    }

    /// Returns whether a fault hit a replica after `since`, or up to [`NOTICE`] seconds before.
    fn is_disturbed(&self, index: usize, since: u64) -> bool {
        let hit = |peer: ServerId| self.disturbed[peer] > 0 && self.disturbed[peer] + NOTICE > since;
        self.streams[index].peers.iter().any(hit)
    }

    /// Removes streams without any replica, and records the loss.
    pub(super) fn drop_lost_streams(&mut self, concerns: impl Fn(&Stream) -> bool) {
        let is_lost = |stream: &Stream| concerns(stream) && stream.data.iter().all(Option::is_none);
        for stream in self.streams.iter().filter(|stream| is_lost(stream)) {
            if stream.acknowledged > 0 && !stream.is_excused {
                self.violations.push((4, format!("stream {} is lost", stream.id)));
            }
        }
        self.streams.retain(|stream| !is_lost(stream));
    }
}
