//! Answers of the monitoring ports, as values of the planner.

use std::collections::BTreeMap;

use nats_manager_planner::{
    Time, Version,
    actual::ServerMode,
    snapshot::{
        Healthz, JetStreamSnapshot, Peer, RaftGroup, ServerSnapshot, StoreUsage, StreamLimits, StreamReplica,
        Unreachable,
    },
};

use super::{Nats, Process, stream::Stream};
use crate::servers::{Group, SERVERS, ServerId};

/// First version that reports moves as `pending`, and the meta group's peers on every server.
const PENDING: Version = Version::new(2, 15, 0);

impl Nats {
    /// Polls the servers and returns their answers.
    pub fn snapshot(&self, servers: Group, taken_at: Time, now: u64) -> JetStreamSnapshot {
        let answers: BTreeMap<_, _> =
            servers.iter().map(|server| (self.names.server[server].clone(), self.answer(server, now))).collect();
        JetStreamSnapshot { taken_at, servers: answers }
    }

    fn answer(&self, server: ServerId, now: u64) -> Result<ServerSnapshot, Unreachable> {
        let (blocked, until) = self.blocked_ports;
        if blocked.contains(server) && now < until {
            return Err(Unreachable("no response within 5 s".to_owned()));
        }
        let Some(process) = self.processes[server] else {
            return Err(Unreachable("connection refused".to_owned()));
        };
        let used = |in_memory| self.stored(server, in_memory);
        Ok(ServerSnapshot {
            id: process.run.to_string(),
            version: Some(process.version),
            disabled: !process.is_enabled() && !process.unreadable,
            healthz: match self.failure(server, process, now) {
                Some(text) => Healthz::Failing(text),
                None => Healthz::Ok,
            },
            file: StoreUsage { used: used(false), reserved: 0, limit: process.config.file },
            memory: StoreUsage { used: used(true), reserved: 0, limit: process.config.memory },
            meta: (process.kind == ServerMode::Clustered).then(|| self.meta_answer(server, process, now)),
            streams: self.stream_answers(server, process, now),
        })
    }

    fn reported_leader(&self, server: ServerId, now: u64) -> Option<ServerId> {
        let process = self.processes[server].filter(|process| now >= process.started + 3)?;
        let meta = self.meta.as_ref()?;
        let stale = meta.stale.filter(|(leader, until)| now < *until && *leader != server).map(|(leader, _)| leader);
        meta.leader.or(stale).filter(|_| process.disabled.is_none())
    }

    fn meta_answer(&self, server: ServerId, process: Process, now: u64) -> RaftGroup {
        let Some(meta) = &self.meta else {
            return RaftGroup { leader: None, size: Some(process.config.routes), peers: Vec::new() };
        };
        let leader = self.reported_leader(server, now);
        let leads = meta.leader == Some(server);
        let peers = if leads || (process.version >= PENDING && leader.is_some()) {
            meta.peers.without(server).iter().map(|peer| self.meta_peer(peer, leads, now)).collect()
        } else {
            Vec::new()
        };
        RaftGroup {
            leader: leader.map(|leader| self.names.server[leader].clone()),
            size: Some(meta.peers.len()),
            peers,
        }
    }

    fn meta_peer(&self, peer: ServerId, leads: bool, now: u64) -> Peer {
        let meta = self.meta.as_ref();
        let is_named = meta.is_some_and(|meta| meta.named.contains(peer));
        let name = if is_named { &self.names.server[peer] } else { &self.names.placeholder[peer] };
        let is_current = leads
            && self.processes[peer].is_some_and(|process| {
                process.disabled.is_none()
                    && now >= process.started + 3
                    && meta.is_some_and(|meta| now >= meta.joined[peer] + 2)
            });
        Peer {
            name: name.clone(),
            id: self.names.peer[peer].clone(),
            current: is_current,
            offline: self.graceful.contains(peer),
            lag: 0,
            pending: false,
        }
    }

    /// Returns the error text of the full `/healthz`; `None` if it is 200. A barred server reports 200 (measured).
    fn failure(&self, server: ServerId, process: Process, now: u64) -> Option<String> {
        if process.disabled.is_some() {
            return Some("JetStream not enabled (10076)".to_owned());
        }
        if process.removed {
            return None;
        }
        if now < process.restored {
            return Some("JetStream is still recovering meta layer".to_owned());
        }
        if process.kind == ServerMode::Clustered && self.reported_leader(server, now).is_none() {
            return Some("JetStream has not established contact with a meta leader".to_owned());
        }
        let up = self.up;
        let failing = |stream: &Stream| {
            let not_current =
                |cause: &str| Some(format!("JetStream stream '$G > {}' is not current{cause}", stream.id));
            if process.unreadable {
                return Some(format!("JetStream stream '$G > {}' could not be recovered", stream.id));
            }
            match stream.leader {
                _ if stream.write_errors.contains(server) => not_current(": stream write error: sequence mismatch"),
                None if stream.memory_full => not_current(": group node unhealthy"),
                None if now > stream.leader_since + 3 => not_current(""),
                Some(leader) if leader != server && up.contains(server) && !stream.is_complete(server) => {
                    not_current(": stream catching up")
                }
                _ => None,
            }
        };
        let is_on_server = |stream: &&Stream| {
            stream.data[server].is_some()
                && (stream.is_standalone || process.unreadable || stream.peers.contains(server))
        };
        self.streams.iter().filter(is_on_server).find_map(failing)
    }

    /// Returns whether the full `/healthz` is 200.
    pub fn is_healthy(&self, server: ServerId, now: u64) -> bool {
        self.processes[server].is_some_and(|process| self.failure(server, process, now).is_none())
    }

    fn stream_answers(&self, server: ServerId, process: Process, now: u64) -> Vec<StreamReplica> {
        if now < process.restored || !process.is_enabled() {
            return Vec::new();
        }
        let is_shown = |stream: &&Stream| {
            stream.is_standalone == (process.kind == ServerMode::Standalone)
                && stream.data[server].is_some()
                && (stream.is_standalone || (stream.peers.contains(server) && self.peers().contains(server)))
        };
        let replica = |stream: &Stream| {
            let is_started = now > process.restored && now > stream.added[server];
            let last = stream.data[server].unwrap_or(0);
            StreamReplica {
                stream: stream.id.clone(),
                replicas: stream.replicas,
                in_memory: stream.in_memory,
                bytes: last * super::MESSAGE,
                messages: last,
                limits: StreamLimits::default(),
                last_seq: last,
                consumers: stream.consumers,
                group: (!stream.is_standalone && is_started).then(|| self.group(stream, server, process, now)),
                moving: process.version >= PENDING && stream.moving.is_some(),
            }
        };
        self.streams.iter().filter(is_shown).map(replica).collect()
    }

    /// Builds the group that a server reports. Only the leader reports the progress of the others. Followers report
    /// each other as not current.
    fn group(&self, stream: &Stream, server: ServerId, process: Process, now: u64) -> RaftGroup {
        let is_stale = |(leader, until): &(ServerId, u64)| now < *until && *leader != server;
        let stale = stream.stale.filter(is_stale).map(|(leader, _)| leader);
        let leader = stream.leader.or(stale);
        let leads = stream.leader == Some(server);
        let peer = |peer: ServerId| {
            let is_pending = stream.moving.is_some_and(|moving| peer == moving.leaving || peer == moving.joining);
            Peer {
                name: self.names.server[peer].clone(),
                id: self.names.peer[peer].clone(),
                current: leads && stream.is_current(peer, self.up, now) || (stream.leader == Some(peer)),
                offline: self.graceful.contains(peer),
                lag: 0,
                pending: process.version >= PENDING && is_pending,
            }
        };
        let peers = stream.peers.without(server).iter().map(peer).collect();
        RaftGroup { leader: leader.map(|leader| self.names.server[leader].clone()), size: None, peers }
    }

    /// Returns the servers that the manager polls: those with Pods, and those that should have one.
    pub fn addressable(replicas: u32, has_pod: impl Fn(ServerId) -> bool) -> Group {
        let expected = usize::try_from(replicas).unwrap_or(SERVERS);
        (0..SERVERS).filter(|server| *server < expected || has_pod(*server)).collect()
    }
}
