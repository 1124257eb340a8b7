//! Model of requests of clients and of the system account.

use std::collections::BTreeSet;

use nats_manager_planner::actual::ServerMode;

use super::{
    Nats,
    stream::{Move, Stream},
};
use crate::{
    kubernetes::objects::Actor,
    servers::{FOREIGN, Group, SERVERS, ServerId},
};

/// Seconds that a removed name is barred (302 were measured).
pub const BARRED: u64 = 302;

/// Configuration of a stream that a user creates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewStream {
    /// Number of replicas.
    pub replicas: u32,
    /// The messages are kept in memory.
    pub in_memory: bool,
    /// Number of messages that are published at once.
    pub messages: u64,
    /// Number of messages a second afterwards.
    pub rate: u64,
}

impl Nats {
    /// Returns the servers on which streams can be placed.
    fn placeable(&self) -> Group {
        self.peers().and(self.up).iter().filter(|server| !self.stores[*server].full).collect()
    }

    /// Creates a stream. Returns whether there was room for it.
    pub fn create_stream(&mut self, name: &str, new: NewStream, now: u64) -> bool {
        if self.streams.iter().any(|stream| stream.id.name == name) {
            return false;
        }
        let mut peers = Group::default();
        let is_standalone = self.standalone();
        if is_standalone {
            peers.insert(0);
        } else {
            if self.meta_leader().is_none() {
                return false;
            }
            for _ in 0..new.replicas {
                match self.least_loaded(self.placeable().minus(peers)) {
                    Some(server) => peers.insert(server),
                    None => return false,
                }
            }
        }
        let replicas = if is_standalone { 1 } else { new.replicas };
        let mut stream = Stream::new(name, replicas, peers, new.messages, new.rate);
        (stream.in_memory, stream.is_standalone) = (new.in_memory, is_standalone);
        (stream.created, stream.leader_since) = (now, now);
        self.streams.push(stream);
        true
    }

    fn least_loaded(&self, servers: Group) -> Option<ServerId> {
        let load = |server: &ServerId| self.streams.iter().filter(|stream| stream.peers.contains(*server)).count();
        servers.iter().min_by_key(load)
    }

    /// Returns the names of all streams, as the API lists them.
    pub fn stream_names(&self) -> Result<BTreeSet<String>, String> {
        let is_standalone = self.standalone();
        if !is_standalone && self.meta_leader().is_none() {
            return Err("no response from JetStream".to_owned());
        }
        let shown = self.streams.iter().filter(|stream| stream.is_standalone == is_standalone);
        Ok(shown.map(|stream| stream.id.name.clone()).collect())
    }

    /// Makes the leader of a stream step down.
    pub fn step_down(&mut self, stream: &str, now: u64) -> Result<(), String> {
        let disturbed = self.disturbed;
        let stream = self.streams.iter_mut().find(|other| other.id.name == stream).ok_or("stream not found")?;
        let leader = stream.leader.ok_or("no response")?;
        let others = stream.peers.without(leader);
        let is_unnoticed = others.iter().any(|peer| disturbed[peer] > 0 && disturbed[peer] + super::NOTICE > now);
        if others.iter().any(|peer| !stream.is_complete(peer)) && !is_unnoticed {
            let text = format!("stream {}: step-down while a replica is catching up", stream.id);
            self.violations.push((1, text));
        }
        stream.lose_leader(now, 1);
        stream.stepped_down = Some(leader);
        Ok(())
    }

    /// Moves a replica off a server to one that JetStream chooses.
    pub fn move_replica(&mut self, stream: &str, leaving: ServerId, now: u64) -> Result<(), String> {
        if self.meta_leader().is_none() {
            return Err("no response".to_owned());
        }
        let index = self.streams.iter().position(|other| other.id.name == stream).ok_or("stream not found")?;
        let peers = self.streams[index].peers;
        if !peers.contains(leaving) || self.streams[index].moving.is_some() {
            return Err("stream is moving, or has no replica on the server".to_owned());
        }
        let joining = self.least_loaded(self.placeable().minus(peers).without(FOREIGN));
        let joining = joining.ok_or("no suitable peers for placement (10005)")?;
        let stream = &mut self.streams[index];
        stream.add(joining, now);
        stream.moving = Some(Move { leaving, joining, since: now });
        Ok(())
    }

    /// Removes a peer from the meta group. Its replicas are placed on other servers, or dropped where there is none. A
    /// running server loses its JetStream.
    pub fn remove_peer(&mut self, server: ServerId, by: Actor, now: u64) -> Result<(), String> {
        let Some(meta) = self.meta.as_mut().filter(|meta| meta.leader.is_some()) else {
            return Err("no response".to_owned());
        };
        if !meta.peers.contains(server) {
            return Err("peer not found (10044)".to_owned());
        }
        if meta.leader == Some(server) {
            meta.leader = None;
            meta.elect_at = now + 2;
        }
        meta.peers.remove(server);
        self.barred[server] = now + BARRED;
        self.stores[server].joined = false;
        if let Some(process) = &mut self.processes[server] {
            process.removed = true;
        }
        self.refresh(now);
        for index in 0..self.streams.len() {
            if !self.streams[index].is_standalone && self.streams[index].peers.contains(server) {
                self.replace(index, server, by, now);
            }
        }
        Ok(())
    }

    fn replace(&mut self, index: usize, server: ServerId, by: Actor, now: u64) {
        let stream = &mut self.streams[index];
        if stream.moving.is_some_and(|moving| moving.joining == server || moving.leaving == server) {
            stream.moving = None;
        }
        stream.drop_replica(server);
        if by != Actor::Manager && stream.complete().len() < stream.replicas / 2 + 1 {
            stream.is_excused = true;
        }
        if stream.leader == Some(server) {
            stream.lose_leader(now, 2);
        }
        if stream.peers.len() >= stream.replicas {
            return;
        }
        let peers = stream.peers;
        if let Some(next) = self.least_loaded(self.placeable().minus(peers)) {
            self.streams[index].add(next, now);
        }
    }

    /// Starts a foreign server, which joins over the routes.
    pub fn join_foreign(&mut self, now: u64) {
        if self.meta_leader().is_none() || self.processes[FOREIGN].is_some() {
            return;
        }
        let Some(other) =
            self.processes.iter().flatten().find(|process| process.kind == ServerMode::Clustered).copied()
        else {
            return;
        };
        self.stores[FOREIGN].limit = u64::MAX / 4;
        self.disturbed[FOREIGN] = now;
        let start = super::process::Start {
            version: other.version,
            config: other.config,
            is_excused: true,
            checks_version: false,
        };
        self.start(FOREIGN, start, now);
    }

    /// Stops the foreign server for good, and deletes its store.
    pub fn leave_foreign(&mut self, now: u64) {
        self.stop(FOREIGN, Actor::Other, false, now);
        self.destroy(FOREIGN, Actor::Other, now);
    }

    /// Deletes a stream, as a user does.
    pub fn delete_stream(&mut self, index: usize) {
        if index < self.streams.len() && self.is_serving() {
            self.streams.remove(index);
        }
    }

    /// Computes the bytes of messages in a server's file store or memory store.
    pub fn stored(&self, server: ServerId, in_memory: bool) -> u64 {
        let streams = self.streams.iter().filter(|stream| stream.in_memory == in_memory);
        streams.filter_map(|stream| stream.data[server]).map(|last| last * super::MESSAGE).sum()
    }

    /// Returns all servers that run.
    pub fn running(&self) -> Group {
        (0..SERVERS).filter(|server| self.processes[*server].is_some()).collect()
    }
}
