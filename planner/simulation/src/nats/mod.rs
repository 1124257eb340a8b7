//! NATS servers, their stores, the meta group and streams.
//!
//! Facts come from `docs/contributor/nats.md`. Where a fact is not known, the model takes the case that is worse for
//! messages.

pub mod answers;
pub mod meta;
pub mod process;
pub mod requests;
pub mod stream;

use nats_manager_planner::{Version, actual::ServerMode};

use crate::{
    kubernetes::objects::Actor,
    servers::{Group, Names, SERVERS, ServerId},
};
use meta::Meta;
use stream::Stream;

/// Bytes of a message.
pub const MESSAGE: u64 = 1000;
/// A fault that the manager cannot have noticed yet excuses what it did, for so many seconds: a poll shows a dead
/// peer after up to 12 s (measured).
pub const NOTICE: u64 = 25;

/// All servers and streams.
#[derive(Clone, Debug)]
pub struct Nats {
    /// Names and peer ids.
    pub names: Names,
    /// Running servers.
    pub processes: [Option<Process>; SERVERS],
    /// Volumes.
    pub stores: [Store; SERVERS],
    /// The meta group, once it exists.
    pub meta: Option<Meta>,
    /// Streams.
    pub streams: Vec<Stream>,
    /// Servers that announced their shutdown.
    pub graceful: Group,
    /// Until when a removed name cannot rejoin.
    pub barred: [u64; SERVERS],
    /// When a fault last hit a server.
    pub disturbed: [u64; SERVERS],
    /// When each server last stopped.
    pub stopped: [u64; SERVERS],
    /// Messages per second that a replica catches up.
    pub catch_up: u64,
    /// Seconds that a server needs to restore its streams.
    pub restore: u64,
    /// Servers whose monitoring port does not answer, and until when.
    pub blocked_ports: (Group, u64),
    /// Violations that were seen where they happened.
    pub violations: Vec<(u8, String)>,
    /// Servers that can serve streams now.
    pub up: Group,
    runs: u64,
}

/// A running server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its identity until it restarts.
    pub run: u64,
    /// Its version.
    pub version: Version,
    /// Whether it has a cluster block.
    pub kind: ServerMode,
    /// The servers that it has routes to.
    pub routes: u32,
    /// `max_memory_store`.
    pub memory: u64,
    /// When it started.
    pub started: u64,
    /// When its streams are restored.
    pub restored: u64,
    /// Since when it has disabled JetStream.
    pub disabled: Option<u64>,
    /// Its peer was removed while it ran: its JetStream is off.
    pub removed: bool,
    /// It cannot read what its store holds.
    pub unreadable: bool,
}

/// The volume of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Store {
    /// The kind of server that wrote it; `None` is empty.
    pub kind: Option<ServerMode>,
    /// The version of the last server that wrote it.
    pub version: Option<Version>,
    /// It has the meta group's log.
    pub joined: bool,
    /// The volume has no room left.
    pub full: bool,
    /// Bytes.
    pub limit: u64,
    /// The volume cannot be attached any more.
    pub gone: bool,
}

impl Nats {
    /// Builds an empty network.
    pub fn new(catch_up: u64, restore: u64) -> Self {
        Self {
            names: Names::new(),
            processes: [None; SERVERS],
            stores: [Store::default(); SERVERS],
            meta: None,
            streams: Vec::new(),
            graceful: Group::default(),
            barred: [0; SERVERS],
            disturbed: [0; SERVERS],
            stopped: [0; SERVERS],
            catch_up,
            restore,
            blocked_ports: (Group::default(), 0),
            violations: Vec::new(),
            up: Group::default(),
            runs: 0,
        }
    }

    /// Lets a second pass.
    pub fn tick(&mut self, now: u64, random: &mut crate::random::Random) {
        self.refresh(now);
        self.tick_meta(now, random);
        self.refresh(now);
        self.drop_lost_streams(|stream| stream.is_standalone);
        for index in 0..self.streams.len() {
            self.tick_stream(index, now, random);
        }
    }

    /// Computes which servers can serve streams.
    pub fn refresh(&mut self, now: u64) {
        let peers = self.peers();
        let serves = |server: &ServerId| {
            let Some(process) = self.processes[*server] else { return false };
            let is_in_group = process.kind == ServerMode::Standalone || peers.contains(*server);
            is_in_group && process.is_enabled() && now >= process.restored
        };
        self.up = (0..SERVERS).filter(serves).collect();
    }

    /// Returns the meta group's peers.
    pub fn peers(&self) -> Group {
        self.meta.as_ref().map_or(Group::default(), |meta| meta.peers)
    }

    /// Returns whether the cluster serves: a meta leader, or the standalone server.
    pub fn is_serving(&self) -> bool {
        self.meta_leader().is_some() || self.standalone()
    }

    /// Returns whether the standalone server is up.
    pub fn standalone(&self) -> bool {
        self.up.contains(0) && self.processes[0].is_some_and(|process| process.kind == ServerMode::Standalone)
    }

    /// Returns the meta leader.
    pub fn meta_leader(&self) -> Option<ServerId> {
        self.meta.as_ref()?.leader
    }

    /// Empties the data of a server. What others did is excused where it left no majority of complete replicas.
    pub fn destroy(&mut self, server: ServerId, by: Actor, now: u64) {
        self.stores[server].kind = None;
        self.stores[server].version = None;
        self.stores[server].joined = false;
        self.stores[server].full = false;
        self.drop_data(server, by, now, |_| true);
    }

    fn drop_data(&mut self, server: ServerId, by: Actor, now: u64, concerns: impl Fn(&Stream) -> bool) {
        let disturbed = self.disturbed;
        for stream in self.streams.iter_mut().filter(|stream| concerns(stream)) {
            if stream.data[server].take().is_none() {
                continue;
            }
            let is_unnoticed = || {
                stream.peers.without(server).iter().any(|peer| disturbed[peer] > 0 && disturbed[peer] + NOTICE > now)
            };
            let is_volatile = stream.in_memory && stream.replicas == 1;
            if by != Actor::Manager || is_volatile || is_unnoticed() {
                let majority = stream.peers.majority();
                stream.is_excused |= stream.complete().len() < majority;
            }
        }
    }
}

impl Process {
    /// Returns whether its JetStream is on.
    pub fn is_enabled(&self) -> bool {
        self.disabled.is_none() && !self.removed && !self.unreadable
    }
}
