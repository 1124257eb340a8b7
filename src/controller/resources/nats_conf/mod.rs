//! The text of `nats.conf`, and the hash of the part that a reload cannot apply.
//!
//! The config reloader sends SIGHUP when the file has changed. Of what changes in the life of a
//! cluster NATS 2.14.2 then applies `debug`, `trace`, `routes` and a raised `max_memory_store`
//! (measured; `server/reload.go`). It rejects the whole file for `server_name`, the ports,
//! `store_dir`, `lame_duck_*`, a cluster block that comes or goes, and a lowered limit. It would
//! take a few more (`pid_file`, `connect_retries`, the cluster's name, a raised `max_file_store`),
//! which change with a restart only, if ever.
//!
//! A lowered `max_memory_store` needs a restart too; the pod template has an annotation of its own
//! for that, or raising it would restart the servers as well.
//!
//! With `max_file_store: 0` a single server refuses streams on files (10047); a cluster makes them
//! and refuses their second message (10023). Measured.

mod digest;

use std::fmt::{Display, Write};

use nats_manager_api::{Bytes, FileStore, ResolvedCluster};
use nats_manager_planner::actual::ConfigKey;

use super::{metadata, secret::RESOLVER_KEY};

pub(crate) use digest::of as digest;

/// The key of the ConfigMap that fresh clusters read, and the predecessor's. Also the name of the file.
const MAIN_FILE: &str = "nats.conf";
/// The key of a cluster that was formed from a standalone server.
const CLUSTERED_FILE: &str = "nats-cluster.conf";
/// Where the ConfigMap is mounted.
pub(crate) const FOLDER: &str = "/etc/nats-config";
/// The folder of [`RESOLVER_KEY`] below [`FOLDER`].
pub(super) const ACCOUNTS: &str = "accounts";
/// Where the server keeps its pid file, for the config reloader.
pub(super) const RUN_FOLDER: &str = "/var/run/nats";
/// The pid file.
pub(super) const PID_FILE: &str = "/var/run/nats/nats.pid";
/// Where JetStream keeps its files.
pub(super) const STORE_FOLDER: &str = "/data";

pub(crate) const CLIENT_PORT: u16 = 4222;
pub(super) const CLUSTER_PORT: u16 = 6222;
pub(crate) const MONITOR_PORT: u16 = 8222;

/// What the plan decides about a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// The number of servers in the cluster block; 0 is standalone, without that block.
    pub(crate) routes: u32,
    /// The memory store of each server, in bytes; 0 is off.
    pub(crate) memory_store: u64,
}

/// Returns the name of the file, and key of the ConfigMap.
pub(crate) const fn file(key: ConfigKey) -> &'static str {
    match key {
        ConfigKey::Main => MAIN_FILE,
        ConfigKey::Clustered => CLUSTERED_FILE,
    }
}

/// Returns the number of routes in the cluster block of a configuration; 0 without that block.
pub(crate) fn routes_in(config: &str) -> u32 {
    let is_block = |line: &str| {
        let rest = line.trim_start().strip_prefix("cluster");
        rest.is_some_and(|rest| rest.trim_start_matches([' ', ':', '=']).starts_with('{'))
    };
    if !config.lines().any(is_block) {
        return 0;
    }
    let routes = config
        .split("nats://")
        .skip(1)
        .filter(|rest| rest.split(['"', '\n']).next().is_some_and(|route| route.ends_with(":6222")));
    u32::try_from(routes.count()).unwrap_or(u32::MAX).max(1)
}

/// The whole configuration of a server.
struct NatsConf {
    top: Vec<Setting>,
    jet_stream: Vec<Setting>,
    /// Only where servers form a cluster: a single one with this block never finds a leader.
    cluster: Option<Vec<Setting>>,
}

struct Setting {
    key: &'static str,
    /// As it is written.
    value: String,
    change: ChangeEffect,
}

/// What it takes to change a setting of a running server.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ChangeEffect {
    Reload,
    Restart,
}

/// The configuration that the servers of `cluster` read.
pub(super) fn text(cluster: &ResolvedCluster, layout: Layout) -> String {
    let config = NatsConf::of(cluster, layout);
    let mut text = format!("# Made by nats-manager from the NATS resource {}; edits are undone.\n", cluster.id);
    write_settings(&mut text, "", &config.top);
    write_block(&mut text, "jetstream", &config.jet_stream);
    if let Some(cluster) = &config.cluster {
        write_block(&mut text, "cluster", cluster);
    }
    // Writing to a String cannot fail.
    let _ = write!(text, "\nresolver: MEMORY\ninclude {ACCOUNTS}/{RESOLVER_KEY}\n");
    text
}

/// The hash over what only a restart can change.
pub(super) fn restart_hash(cluster: &ResolvedCluster, layout: Layout) -> String {
    let config = NatsConf::of(cluster, layout);
    let blocks =
        [("", Some(&config.top)), ("jetstream.", Some(&config.jet_stream)), ("cluster.", config.cluster.as_ref())];
    let mut lines = String::new();
    for (block, settings) in blocks {
        for Setting { key, value, .. } in settings.into_iter().flatten().filter(|s| s.change == ChangeEffect::Restart) {
            let _ = writeln!(lines, "{block}{key}={value}");
        }
    }
    metadata::hash(lines.as_bytes())
}

impl NatsConf {
    fn of(cluster: &ResolvedCluster, layout: Layout) -> Self {
        Self {
            top: top(cluster),
            jet_stream: jet_stream(cluster, layout.memory_store),
            cluster: (layout.routes > 0).then(|| routing(cluster, layout.routes)),
        }
    }
}

fn top(cluster: &ResolvedCluster) -> Vec<Setting> {
    let mut settings = vec![
        restart("server_name", "$SERVER_NAME"),
        restart("port", CLIENT_PORT),
        restart("http_port", MONITOR_PORT),
        restart("pid_file", quoted(PID_FILE)),
        // How long a server that is stopped keeps its clients, after which they are moved away
        // one by one; the pod's termination grace period covers both.
        restart("lame_duck_grace_period", quoted("10s")),
        restart("lame_duck_duration", quoted("120s")),
    ];
    settings.extend(cluster.logging.debug.then(|| reload("debug", true)));
    settings.extend(cluster.logging.trace.then(|| reload("trace", true)));
    settings
}

fn jet_stream(cluster: &ResolvedCluster, memory_store: u64) -> Vec<Setting> {
    let file_store = match &cluster.file_store {
        FileStore::Volume { size, .. } => *size,
        FileStore::MemoryOnly => Bytes::default(),
    };
    vec![
        restart("store_dir", quoted(STORE_FOLDER)),
        // 0 is off. Left out it would be most of the memory, or of the disk.
        reload("max_memory_store", Bytes::new(memory_store)),
        restart("max_file_store", file_store),
    ]
}

fn routing(cluster: &ResolvedCluster, servers: u32) -> Vec<Setting> {
    let id = &cluster.id;
    let routes: Vec<String> = (0..servers)
        .map(|ordinal| quoted(&format!("nats://{}.{}:{CLUSTER_PORT}", id.server(ordinal), id.host())))
        .collect();
    vec![
        restart("name", quoted(&id.name)),
        restart("port", CLUSTER_PORT),
        restart("cluster_advertise", "$CLUSTER_ADVERTISE"),
        restart("connect_retries", 120),
        reload("routes", format!("[\n    {}\n  ]", routes.join("\n    "))),
    ]
}

/// Text in quotes is never taken for a number, a size, a boolean or a variable.
fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

fn restart(key: &'static str, value: impl Display) -> Setting {
    Setting { key, value: format!("{value}"), change: ChangeEffect::Restart }
}

fn reload(key: &'static str, value: impl Display) -> Setting {
    Setting { key, value: format!("{value}"), change: ChangeEffect::Reload }
}

fn write_block(text: &mut String, name: &str, settings: &[Setting]) {
    let _ = writeln!(text, "\n{name} {{");
    write_settings(text, "  ", settings);
    text.push_str("}\n");
}

fn write_settings(text: &mut String, indent: &str, settings: &[Setting]) {
    for Setting { key, value, .. } in settings {
        let _ = writeln!(text, "{indent}{key}: {value}");
    }
}
