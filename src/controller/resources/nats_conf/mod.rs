//! The text of `nats.conf`, and the hash of the part that a reload cannot apply.
//!
//! The config reloader sends SIGHUP when the file has changed. Of the settings that change in the life of a cluster,
//! NATS 2.14.2 then applies `debug`, `trace`, `routes`, and a raised `max_memory_store` or `max_file_store` (measured, and
//! `server/reload.go`). It rejects the complete file for a change of `server_name`, the ports, `store_dir` or
//! `lame_duck_*`, for a cluster block that is added or removed, and for a lowered limit. It would apply a few more
//! (`pid_file`, `connect_retries`, the cluster's name), which NATS Manager changes only with a restart.
//!
//! A lowered `max_memory_store` needs a restart too. The Pod template has a separate annotation for it, or a raised
//! value would restart the servers as well. `max_file_store` is never lowered.
//!
//! With `max_file_store: 0` a standalone server rejects streams on files (10047). A cluster creates them and rejects
//! their second message (10023). Both are measured.

mod digest;

use std::fmt::{Display, Write};

use nats_manager_api::{Amount, Bytes, ResolvedCluster};
use nats_manager_planner::actual::ConfigKey;

use super::{metadata, ports, secret::RESOLVER_KEY};

pub(crate) use digest::of as digest;

/// ConfigMap key, and name of the mounted file, that fresh clusters and those of the predecessor read.
const MAIN_FILE: &str = "nats.conf";
/// ConfigMap key that a cluster reads after it was formed from a standalone server.
const CLUSTERED_FILE: &str = "nats-cluster.conf";
/// Mount path of the ConfigMap.
pub(crate) const FOLDER: &str = "/etc/nats-config";
/// Folder of [`RESOLVER_KEY`] below [`FOLDER`].
pub(super) const ACCOUNTS: &str = "accounts";
/// Folder of the server's pid file, which the config reloader reads.
pub(super) const RUN_FOLDER: &str = "/var/run/nats";
pub(super) const PID_FILE: &str = "/var/run/nats/nats.pid";
/// Folder of JetStream's files.
pub(super) const STORE_FOLDER: &str = "/data";

/// Settings of a configuration that the plan decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Number of servers in the cluster block. 0 for a standalone server, without that block.
    pub(crate) routes: u32,
    /// Memory store of each server in bytes. 0 for none.
    pub(crate) memory_store: u64,
    /// File store of each server in bytes. 0 for none.
    pub(crate) file_store: u64,
}

/// Returns the ConfigMap key, which is also the name of the mounted file.
pub(crate) const fn file(key: ConfigKey) -> &'static str {
    match key {
        ConfigKey::Main => MAIN_FILE,
        ConfigKey::Clustered => CLUSTERED_FILE,
    }
}

/// Counts the routes in the cluster block of a configuration: 0 without that block, otherwise at least 1.
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

/// Returns the limit of the file store in a configuration, in bytes. `None` where it has none that can be read.
pub(crate) fn file_store_in(config: &str) -> Option<u64> {
    let setting = config.lines().find_map(|line| line.trim_start().strip_prefix("max_file_store"))?;
    let value = setting.trim_start_matches([' ', ':', '=']).trim_end().trim_end_matches(['B', 'b']);
    Some(Amount::parse(value).ok()?.bytes()?.get())
}

/// All settings of a server.
struct NatsConf {
    top_level: Vec<Setting>,
    jet_stream: Vec<Setting>,
    /// Present only where servers form a cluster: a single server with this block never elects a leader.
    cluster: Option<Vec<Setting>>,
}

struct Setting {
    key: &'static str,
    /// Value in the syntax of the file.
    value: String,
    change: ChangeEffect,
}

/// Requirement for a change of a setting of a running server.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ChangeEffect {
    Reload,
    Restart,
}

/// Returns the configuration that the servers of `cluster` read.
pub(super) fn text(cluster: &ResolvedCluster, layout: Layout) -> String {
    let config = NatsConf::of(cluster, layout);
    let mut text = format!("# Made by nats-manager from the NATS resource {}; edits are undone.\n", cluster.id);
    write_settings(&mut text, "", &config.top_level);
    write_block(&mut text, "jetstream", &config.jet_stream);
    if let Some(cluster) = &config.cluster {
        write_block(&mut text, "cluster", cluster);
    }
    // Writing to a String cannot fail.
    let _ = write!(text, "\nresolver: MEMORY\ninclude {ACCOUNTS}/{RESOLVER_KEY}\n");
    text
}

/// Returns the hash of the settings that only a restart can change.
pub(super) fn restart_hash(cluster: &ResolvedCluster, layout: Layout) -> String {
    let config = NatsConf::of(cluster, layout);
    let blocks = [
        ("", Some(&config.top_level)),
        ("jetstream.", Some(&config.jet_stream)),
        ("cluster.", config.cluster.as_ref()),
    ];
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
            top_level: top_level(cluster),
            jet_stream: jet_stream(layout),
            cluster: (layout.routes > 0).then(|| routing(cluster, layout.routes)),
        }
    }
}

fn top_level(cluster: &ResolvedCluster) -> Vec<Setting> {
    let mut settings = vec![
        restart("server_name", "$SERVER_NAME"),
        restart("port", ports::CLIENT),
        restart("http_port", ports::MONITOR),
        restart("pid_file", quoted(PID_FILE)),
        // Time for which a server that is stopped keeps its clients, and then the time in which they are moved away
        // one by one. The termination grace period of the Pod covers both.
        restart("lame_duck_grace_period", quoted("10s")),
        restart("lame_duck_duration", quoted("120s")),
    ];
    settings.extend(cluster.logging.debug.then(|| reload("debug", true)));
    settings.extend(cluster.logging.trace.then(|| reload("trace", true)));
    settings
}

fn jet_stream(layout: Layout) -> Vec<Setting> {
    vec![
        restart("store_dir", quoted(STORE_FOLDER)),
        // 0 turns it off. Without the setting, JetStream would use most of the memory, or of the disk.
        reload("max_memory_store", Bytes::new(layout.memory_store)),
        reload("max_file_store", Bytes::new(layout.file_store)),
    ]
}

fn routing(cluster: &ResolvedCluster, servers: u32) -> Vec<Setting> {
    let id = &cluster.id;
    let routes: Vec<String> = (0..servers)
        .map(|ordinal| quoted(&format!("nats://{}.{}:{}", id.server(ordinal), cluster.host(), ports::CLUSTER)))
        .collect();
    vec![
        restart("name", quoted(&id.name)),
        restart("port", ports::CLUSTER),
        restart("cluster_advertise", "$CLUSTER_ADVERTISE"),
        restart("connect_retries", 120),
        reload("routes", format!("[\n    {}\n  ]", routes.join("\n    "))),
    ]
}

/// Quotes a text, so that NATS does not parse it as a number, a size, a boolean or a variable.
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
