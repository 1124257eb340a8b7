//! Model of starts, stops and reloads of servers.

use nats_manager_planner::{Version, actual::ServerMode};

use super::{Nats, Process};
use crate::{kubernetes::objects::Actor, servers::ServerId};

/// The configuration of a server at its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// Version of the image.
    pub version: Version,
    /// Configuration in the Pod's volume.
    pub config: ServerConfig,
    /// A fault has just overwritten the configuration.
    pub is_excused: bool,
    /// The manager can know the versions of the other servers, so an incompatible one is a violation.
    pub checks_version: bool,
}

/// The configuration of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// The number of servers that it has routes to; 0 without a cluster block.
    pub routes: u32,
    /// `max_memory_store` in bytes.
    pub memory: u64,
    /// `max_file_store` in bytes.
    pub file: u64,
}

impl Nats {
    /// Starts a server. Returns whether it runs: a clustered server exits on a full disk.
    pub fn start(&mut self, server: ServerId, start: Start, now: u64) -> bool {
        let kind = if start.config.routes == 0 { ServerMode::Standalone } else { ServerMode::Clustered };
        if self.stores[server].full && kind == ServerMode::Clustered {
            return false;
        }
        let mut unreadable = false;
        match (self.stores[server].kind, kind) {
            (Some(ServerMode::Standalone), ServerMode::Clustered) => {
                self.start_clustered(server, start, now);
                self.stores[server].kind = Some(kind);
            }
            (Some(ServerMode::Clustered), ServerMode::Standalone) => {
                unreadable = self.streams.iter().any(|stream| stream.data[server].is_some());
            }
            _ => self.stores[server].kind = Some(kind),
        }
        let stored = self.stores[server].version;
        let mut running = self.processes.iter().flatten().map(|process| process.version).chain(stored);
        let blocked = running.find_map(|version| version.blocks_change(start.version));
        if let Some(text) = blocked.filter(|_| start.checks_version) {
            self.violations.push((7, format!("{} starts with another version: {text}", self.names.server[server])));
        }
        self.stores[server].version = Some(start.version);
        self.runs += 1;
        self.graceful.remove(server);
        self.processes[server] = Some(Process {
            run: self.runs,
            version: start.version,
            kind,
            config: start.config,
            started: now,
            restored: now + self.restore,
            disabled: None,
            removed: false,
            unreadable,
        });
        for stream in &mut self.streams {
            stream.write_errors.remove(server);
        }
        true
    }

    /// Starts a standalone store with a cluster block: its streams answer 404 at once, and are deleted after 30 s
    /// (measured).
    fn start_clustered(&mut self, server: ServerId, start: Start, now: u64) {
        // A stream that was created just before the server stopped may be unknown to the manager.
        let stopped = self.stopped[server];
        let is_lost = |stream: &super::stream::Stream| {
            stream.is_standalone && stream.data[server].is_some() && stopped > stream.created + super::NOTICE
        };
        if !start.is_excused && self.streams.iter().any(is_lost) {
            let name = &self.names.server[server];
            self.violations.push((3, format!("standalone store of {name} started with a cluster block")));
        }
        self.drop_data(server, Actor::Other, now, |stream| stream.is_standalone);
        self.streams.retain(|stream| !stream.is_standalone);
    }

    /// Stops a server. Its data in memory is lost.
    pub fn stop(&mut self, server: ServerId, by: Actor, is_graceful: bool, now: u64) {
        if self.processes[server].take().is_none() {
            return;
        }
        self.stopped[server] = now;
        if by != Actor::Manager {
            self.disturbed[server] = now;
        }
        if is_graceful {
            self.graceful.insert(server);
        }
        self.up.remove(server);
        self.drop_data(server, by, now, |stream| stream.in_memory);
        for stream in self.streams.iter_mut().filter(|stream| stream.memory_full) {
            stream.memory_full = stream.data.iter().any(Option::is_some);
        }
    }

    /// Reloads the configuration of a server: raised limits and routes take effect, a lowered limit rejects the file.
    pub fn reload(&mut self, server: ServerId, config: ServerConfig, now: u64) {
        let is_full = self.stores[server].full;
        let restore = self.restore;
        let Some(process) = &mut self.processes[server] else { return };
        let is_switched = (process.kind == ServerMode::Standalone) != (config.routes == 0);
        let before = process.config;
        if config.memory < before.memory || config.file < before.file || is_switched {
            return;
        }
        if config.memory > before.memory {
            for stream in self.streams.iter_mut().filter(|stream| stream.in_memory) {
                stream.memory_full = false;
            }
        }
        process.config = config;
        if process.disabled.is_some() && !is_full && process.kind == ServerMode::Clustered {
            process.disabled = None;
            process.restored = now + restore;
        }
    }

    /// Fills the volume of a server: a clustered server disables JetStream.
    pub fn fill(&mut self, server: ServerId, now: u64) {
        self.stores[server].full = true;
        self.disturbed[server] = now;
        if let Some(process) = self.processes[server].as_mut().filter(|process| process.kind == ServerMode::Clustered) {
            process.disabled = process.disabled.or(Some(now));
        }
    }
}
