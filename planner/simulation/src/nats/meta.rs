//! Model of the meta group: peers by id, votes, placeholders for names.

use nats_manager_planner::actual::ServerMode;

use super::Nats;
use crate::{
    random::Random,
    servers::{Group, SERVERS, ServerId},
};

/// State of the meta group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// All peers, also those that stopped.
    pub peers: Group,
    /// The leader, if one is elected.
    pub leader: Option<ServerId>,
    /// Second at which the next leader is elected.
    pub elect_at: u64,
    /// Peers whose names the leader has.
    pub named: Group,
    /// The leader that is gone, and the second until which others still name it.
    pub stale: Option<(ServerId, u64)>,
    /// Second at which the group was founded.
    pub founded: u64,
    /// Second at which each peer joined.
    pub joined: [u64; SERVERS],
}

/// Seconds after its start at which a server votes.
const CONTACT: u64 = 1;

impl Nats {
    /// Returns the servers that take part in the meta group's Raft.
    fn voters(&self, now: u64) -> Group {
        let votes = |server: &ServerId| {
            self.processes[*server].is_some_and(|process| {
                process.kind == ServerMode::Clustered && process.disabled.is_none() && now >= process.started + CONTACT
            })
        };
        (0..SERVERS).filter(votes).collect()
    }

    pub(super) fn tick_meta(&mut self, now: u64, random: &mut Random) {
        let voters = self.voters(now);
        if self.meta.is_none() {
            self.bootstrap(voters, now, random);
            return;
        }
        let has_log: Group = voters.iter().filter(|server| self.stores[*server].joined).collect();
        let any_log = (0..SERVERS).any(|server| self.stores[server].joined);
        let Some(meta) = &mut self.meta else { return };
        let live = meta.peers.and(voters);
        let has_quorum = live.len() >= meta.peers.majority();
        if let Some(leader) = meta.leader
            && (!live.contains(leader) || !has_quorum)
        {
            meta.stale = Some((leader, now + 8));
            meta.leader = None;
            meta.elect_at = now + random.between(2, 5);
        }
        if meta.leader.is_none() && has_quorum && now >= meta.elect_at {
            meta.leader = live.and(has_log).pick(random.next());
            meta.named = live;
            meta.stale = None;
        }
        if meta.leader.is_some() {
            meta.named = meta.named.iter().chain(live.iter()).collect();
            for server in live.iter() {
                self.stores[server].joined = true;
            }
            self.join(voters, now);
        } else if !any_log {
            // Every log is gone: the group starts again, without its streams.
            self.meta = None;
            for stream in self.streams.iter_mut().filter(|stream| !stream.is_standalone) {
                stream.data = [None; SERVERS];
                stream.is_excused = true;
            }
            self.drop_lost_streams(|stream| !stream.is_standalone);
        }
    }

    /// Founds the group. A new group needs the votes of all servers that it has routes to (measured with three), and of
    /// two at least (`bootstrapRaftNode` in raft.go, NATS 2.14.2).
    fn bootstrap(&mut self, voters: Group, now: u64, random: &mut Random) {
        let routes =
            voters.iter().filter_map(|server| self.processes[server]).map(|process| process.config.routes).max();
        let Some(expected) = routes.and_then(|routes| usize::try_from(routes).ok()) else { return };
        let peers: Group = (0..expected.max(2)).collect();
        if peers.minus(voters).is_empty() {
            let elect_at = now + random.between(1, 4);
            let joined = [now; SERVERS];
            self.meta = Some(Meta { peers, leader: None, elect_at, named: peers, stale: None, founded: now, joined });
            for peer in peers.iter() {
                self.stores[peer].joined = true;
            }
        }
    }

    /// Makes servers that have routes and are not barred peers. Under-replicated streams get a replica on the new peer.
    fn join(&mut self, voters: Group, now: u64) {
        for server in voters.minus(self.peers()).iter() {
            let is_new = self.processes[server].is_some_and(|process| !process.removed && now >= process.started + 2);
            let Some(meta) = self.meta.as_mut().filter(|_| is_new && self.barred[server] <= now) else { continue };
            meta.peers.insert(server);
            meta.named.insert(server);
            meta.joined[server] = now;
            self.stores[server].joined = true;
            for stream in self.streams.iter_mut().filter(|stream| !stream.is_standalone) {
                if stream.peers.len() < stream.replicas && stream.moving.is_none() {
                    stream.add(server, now);
                }
            }
        }
    }

    /// Makes the meta leader step down; another election follows.
    pub fn step_down_meta(&mut self, now: u64) {
        if let Some(meta) = &mut self.meta {
            meta.leader = None;
            meta.elect_at = now + 2;
        }
    }
}
