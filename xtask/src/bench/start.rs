//! `cargo xtask bench start`: time from exec to ready with filled caches, and its parts.
//!
//! The apiserver is a stand-in that answers at once, so the time is that of the manager. Everything that the first
//! manager of an installation creates exists already.

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant},
};

use nats_manager_harness::{MemoryApiserver, memory_apiserver::ReceivedRequest};
use tokio::process::Command;

use super::{
    BenchError, BenchRun, build_manager, check_limits,
    idle::START_LIMIT,
    measure::{Measure, median},
    page::Section,
    stand_in::StandIn,
    wait::{POLL, until},
};
use crate::{
    local::LocalError,
    table::Table,
    terminal::{heading, note},
};

/// Options of the benchmark of this part.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct StartOptions {
    /// Number of starts, of which the medians are shown
    #[arg(long, value_name = "N", default_value_t = STARTS, value_parser = clap::value_parser!(u32).range(1..))]
    starts: u32,
}

const STARTS: u32 = 9;
/// Requests until the manager is ready and leads: a list and a watch of 19 resources, a read and a write of the Lease.
const MOST_REQUESTS: u32 = 40;
const GOAL_MILLIS: f64 = 60.0;
/// Factor for shared machines.
const TOLERANCE: f64 = 5.0;

impl Default for StartOptions {
    fn default() -> Self {
        Self { starts: STARTS }
    }
}

/// Times of one start, each since exec.
struct Start {
    /// First connection, which the process opens when it has read its configuration.
    first_connection: Duration,
    /// First request, after the TLS handshake.
    first_request: Duration,
    /// Last of the lists that fill the caches.
    last_list: Duration,
    /// Last watch, which follows the answer to its list.
    last_watch: Duration,
    ready: Duration,
    /// CPU time of the process until it was ready.
    cpu: Duration,
    /// Number of connections, each with a TLS handshake.
    connections: usize,
    requests: Vec<ReceivedRequest>,
}

/// Takes the measures, prints them, and records them if asked.
pub(super) fn run(options: &StartOptions, run: BenchRun) -> Result<(), BenchError> {
    let program = build_manager()?;
    // The stand-in has a thread of its own, as an apiserver has.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let count = if run.quick { 1 } else { options.starts };
    heading("measuring starts");
    let starts = runtime.block_on(starts(&program, count))?;
    let Some(first) = starts.first() else { return Ok(()) };
    let requests = requests(&first.requests);
    requests.print();
    let most = starts.iter().map(|start| start.requests.len()).max().unwrap_or_default();
    let mut measures = vec![Measure::count("requests from exec to ready and leading", most, MOST_REQUESTS)];
    if !run.quick {
        let parts = parts(&starts);
        parts.print();
        measures.push(Measure {
            name: "from exec to ready, stand-in (median)",
            value: millis(median(starts.iter().map(|start| start.ready))),
            unit: "ms",
            goal: GOAL_MILLIS,
            tolerance: TOLERANCE,
        });
        if run.record {
            let body = format!(
                "Times since exec, medians of {} starts. The apiserver is a stand-in in memory with TLS.\n\n{}\n\n\
                 Requests of a start, in their order:\n\n{}",
                starts.len(),
                parts.markdown(),
                requests.markdown()
            );
            let command = format!("cargo xtask bench start --starts {count}");
            Section { name: "start", command, body, pictures: Vec::new() }.record()?;
        }
    }
    check_limits(&measures)
}

async fn starts(program: &Path, count: u32) -> Result<Vec<Start>, BenchError> {
    let stand_in = StandIn::start().await?;
    stand_in.prepare(program).await?;
    let mut starts = Vec::new();
    for _ in 0..count {
        starts.push(start(&stand_in, program).await?);
    }
    Ok(starts)
}

async fn start(stand_in: &StandIn, program: &Path) -> Result<Start, BenchError> {
    stand_in.apiserver.clear_received();
    let mut manager = stand_in.manager(Command::new(program))?;
    let ready = manager.wait_until_ready(START_LIMIT).await.map_err(LocalError::from)?;
    let cpu = manager.cpu_time().unwrap_or_default();
    wait_until_leading(&stand_in.apiserver).await?;
    let (exec, requests, accepted) = (manager.started(), stand_in.apiserver.received(), stand_in.apiserver.accepted());
    manager.terminate().await?;
    // Leader election lists and watches the Lease when it follows, which is no part of the readiness.
    let of_caches = || requests.iter().filter(|request| request.resource != "leases");
    let last = |verb: &str| of_caches().filter(|request| request.verb == verb).map(|request| request.at).max();
    let since = |at: Option<Instant>| at.map(|at| at - exec).unwrap_or_default();
    Ok(Start {
        first_connection: since(accepted.first().copied()),
        connections: accepted.len(),
        first_request: since(requests.first().map(|request| request.at)),
        last_list: since(last("list")),
        last_watch: since(last("watch")),
        ready,
        cpu,
        requests,
    })
}

/// Waits until the manager has written the Lease, with which its start ends.
async fn wait_until_leading(apiserver: &MemoryApiserver) -> Result<(), BenchError> {
    let is_write = |request: &ReceivedRequest| request.resource == "leases" && request.verb == "update";
    until("the manager leads", POLL, async || Ok(apiserver.received().iter().any(is_write))).await
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn parts(starts: &[Start]) -> Table {
    let mut table = Table::new(&["UNTIL", "MEDIAN", "MINIMUM", "MAXIMUM"]);
    let mut row = |name: &str, time: &dyn Fn(&Start) -> Duration| {
        let all = || starts.iter().map(time);
        let cells = [Some(median(all())), all().min(), all().max()];
        let cells = cells.map(|time| format!("{:.1} ms", millis(time.unwrap_or_default())));
        table.row([name.to_owned()].into_iter().chain(cells));
    };
    row("first connection (process, configuration)", &|start| start.first_connection);
    row("first request (TLS handshake)", &|start| start.first_request);
    row("last list of a cache is requested", &|start| start.last_list);
    row("last watch of a cache is requested (all lists are answered)", &|start| start.last_watch);
    row("`/readyz` answers 200 (certificate is served)", &|start| start.ready);
    row("CPU time of the process until ready", &|start| start.cpu);
    let connections = || starts.iter().map(|start| start.connections);
    let range = [connections().min(), connections().max()].map(|count| count.unwrap_or_default().to_string());
    table.row(["number of connections, each with a TLS handshake".to_owned(), String::new()].into_iter().chain(range));
    table
}

/// Lists each resource with the positions of its requests in the start.
fn requests(received: &[ReceivedRequest]) -> Table {
    let mut all: BTreeMap<usize, (String, Vec<String>)> = BTreeMap::new();
    for (index, request) in received.iter().enumerate() {
        let name = format!("{} {}", request.resource, request.selected).trim_end().to_owned();
        let known = all.values_mut().find(|(known, _)| *known == name);
        let position = format!("{} ({})", request.verb, index + 1);
        match known {
            Some((_, positions)) => positions.push(position),
            None => _ = all.insert(index, (name, vec![position])),
        }
    }
    note(format!("{} requests", received.len()));
    let mut table = Table::new(&["RESOURCE", "REQUESTS (POSITION)"]);
    for (name, positions) in all.into_values() {
        table.row([name, positions.join(", ")]);
    }
    table
}
