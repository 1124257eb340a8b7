//! Model of NATS servers, their stores, the meta group and streams.
//!
//! Facts come from `docs/contributor/nats.md`. Where a fact is unknown, the model assumes the case that is worse for
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
use process::ServerConfig;
use stream::Stream;

/// Size of a message in bytes.
pub const MESSAGE: u64 = 1000;
/// Seconds for which a fault excuses actions of the manager, since a poll may not have shown the fault yet: a poll
/// shows a dead peer after up to 12 s (measured).
pub const NOTICE: u64 = 25;

/// State of all servers and streams.
#[derive(Clone, Debug)]
pub struct Nats {
    /// Names and peer ids.
    pub names: Names,
    /// Processes of running servers.
    pub processes: [Option<Process>; SERVERS],
    /// Stores on the servers' volumes.
    pub stores: [Store; SERVERS],
    /// The meta group; `None` until it is founded.
    pub meta: Option<Meta>,
    /// All streams of all servers.
    pub streams: Vec<Stream>,
    /// Servers that announced their shutdown.
    pub graceful: Group,
    /// Second until which a removed name cannot rejoin.
    pub barred: [u64; SERVERS],
    /// Second of the last fault of each server; 0 if there was none.
    pub disturbed: [u64; SERVERS],
    /// Second at which each server stopped last.
    pub stopped: [u64; SERVERS],
    /// Messages per second that a replica catches up.
    pub catch_up: u64,
    /// Seconds that a server needs to restore its streams.
    pub restore: u64,
    /// Servers whose monitoring port does not answer, and the second until which it does not.
    pub blocked_ports: (Group, u64),
    /// Violations of invariants that the model has found, by number.
    pub violations: Vec<(u8, String)>,
    /// Servers that can serve streams in this second.
    pub up: Group,
    runs: u64,
}

/// The process of a running server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    /// Identity until the server restarts (`server_id`).
    pub run: u64,
    /// Version of the server.
    pub version: Version,
    /// Mode of its configuration.
    pub kind: ServerMode,
    /// The loaded configuration.
    pub config: ServerConfig,
    /// Second of the start.
    pub started: u64,
    /// Second at which the streams are restored.
    pub restored: u64,
    /// Second since which the server has disabled JetStream.
    pub disabled: Option<u64>,
    /// The server's peer was removed while it ran: its JetStream is off.
    pub removed: bool,
    /// The server cannot read the streams in its store.
    pub unreadable: bool,
}

/// The store on the volume of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Store {
    /// Mode of the server that wrote the store; `None` is empty.
    pub kind: Option<ServerMode>,
    /// Version of the last server that wrote the store.
    pub version: Option<Version>,
    /// The store has the meta group's log.
    pub joined: bool,
    /// The volume has no room left.
    pub full: bool,
    /// Limit of the file store in bytes.
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

    /// Simulates a second.
    pub fn tick(&mut self, now: u64, random: &mut crate::random::Random) {
        self.refresh(now);
        self.tick_meta(now, random);
        self.refresh(now);
        self.drop_lost_streams(|stream| stream.is_standalone);
        for index in 0..self.streams.len() {
            self.tick_stream(index, now, random);
        }
    }

    /// Computes the servers that can serve streams.
    pub fn refresh(&mut self, now: u64) {
        let peers = self.peers();
        let serves = |server: &ServerId| {
            let Some(process) = self.processes[*server] else { return false };
            let is_in_group = process.kind == ServerMode::Standalone || peers.contains(*server);
            is_in_group && process.is_enabled() && now >= process.restored
        };
        self.up = (0..SERVERS).filter(serves).collect();
    }

    /// Returns the meta group's peers; the empty set without a meta group.
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

    /// Returns the meta leader, if one is elected.
    pub fn meta_leader(&self) -> Option<ServerId> {
        self.meta.as_ref()?.leader
    }

    /// Deletes the data of a server. Deletions by others than the manager excuse streams without a majority of complete
    /// replicas.
    pub fn destroy(&mut self, server: ServerId, by: Actor, now: u64) {
        self.stores[server].kind = None;
        self.stores[server].version = None;
        self.stores[server].joined = false;
        self.stores[server].full = false;
        self.drop_data(server, by, now, |_| true);
    }

    fn drop_data(&mut self, server: ServerId, by: Actor, now: u64, concerns: impl Fn(&Stream) -> bool) {
        let disturbed = self.disturbed;
        let stopped = self.stopped[server];
        for stream in self.streams.iter_mut().filter(|stream| concerns(stream)) {
            if stream.data[server].take().is_none() {
                continue;
            }
            let is_unnoticed = || {
                stream.peers.without(server).iter().any(|peer| disturbed[peer] > 0 && disturbed[peer] + NOTICE > now)
            };
            let is_volatile = stream.in_memory && stream.replicas == 1;
            // A stream that was created just before the server stopped may be unknown to the manager.
            let is_young = stream.replicas == 1 && stopped < stream.created + NOTICE;
            if by != Actor::Manager || is_volatile || is_young || is_unnoticed() {
                let majority = stream.peers.majority();
                stream.is_excused |= stream.complete().len() < majority;
            }
        }
    }
}

impl Process {
    /// Returns whether JetStream is enabled.
    pub fn is_enabled(&self) -> bool {
        self.disabled.is_none() && !self.removed && !self.unreadable
    }
}
