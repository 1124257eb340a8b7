//! `cargo xtask bench scale`: memory and CPU against the size of what is watched and polled.
//!
//! Apiserver and monitoring ports are stand-ins, so any size takes seconds. The manager is the program of the image in
//! a process of its own.

mod picture;
mod size;

use std::{path::Path, time::Duration};

use nats_manager_harness::{ResidentMemory, monitoring::MonitoredCluster};
use nats_manager_planner::snapshot::PeerId;
use tokio::{process::Command, time::sleep};

use self::size::{Axis, Size};
use super::{
    BenchError, BenchRun, build_manager, check_limits,
    measure::{Measure, megabytes},
    page::Section,
    stand_in::StandIn,
};
use crate::{
    local::{NAME, NAMESPACE},
    table::Table,
    terminal::{heading, note},
};

/// Options of the benchmark of this part.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ScaleOptions {
    /// Seconds for which each cluster is observed at rest: a multiple of 15, the interval of polls
    #[arg(long, value_name = "N", default_value_t = SECONDS, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
}

const SECONDS: u64 = 30;

/// Size whose poll is counted, and most bytes of its answer: 110 % of those recorded.
const COUNTED: Size = Size { streams: 100, consumers: 50_000, ..Size::BASE };
const MOST_BYTES: u32 = 107_500;

impl Default for ScaleOptions {
    fn default() -> Self {
        Self { seconds: SECONDS }
    }
}

/// Cost of the manager on a cluster of a size.
#[derive(Clone, Copy)]
struct Cost {
    size: Size,
    memory: ResidentMemory,
    /// CPU time from exec to ready.
    start: Duration,
    /// CPU time at rest, per minute.
    rest: Duration,
    /// Longest answer to a poll of `/jsz`, in bytes.
    polled: usize,
}

/// Takes the measures, prints them, and records them if asked.
pub(super) fn run(options: &ScaleOptions, run: BenchRun) -> Result<(), BenchError> {
    let program = build_manager()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if run.quick {
        heading("counting the bytes of a poll");
        let polled = runtime.block_on(cost(&program, COUNTED, Duration::from_secs(2)))?.polled;
        let name = "bytes of a poll: 100 streams, 50,000 consumers";
        return check_limits(&[Measure::count(name, polled, MOST_BYTES)]);
    }
    heading("measuring clusters of different sizes");
    let time = Duration::from_secs(options.seconds);
    let base = runtime.block_on(cost(&program, Size::BASE, time))?;
    let mut all = Vec::new();
    for axis in Axis::ALL {
        let mut costs = Vec::new();
        for size in axis.sizes() {
            let cost = if size == base.size { base } else { runtime.block_on(cost(&program, size, time))? };
            note(format!("{axis} {}: {:.1} MB", axis.of(&size), megabytes(cost.memory.total)));
            costs.push(cost);
        }
        all.push((axis, costs));
    }
    let (costs, slopes) = (costs_table(&all), slopes_table(&all));
    costs.print();
    slopes.print();
    if run.record {
        let lines: Vec<_> = all
            .iter()
            .map(|(axis, costs)| (axis.to_string(), costs.iter().map(|cost| point(*axis, cost)).collect()))
            .collect();
        let base = Size::BASE;
        let body = format!(
            "One size differs in each row. The others are those of the first row of the table: {base}. The rows of \
             consumers have 50 streams.\n\n{}\n\n\
             Growth from the first to the last row of each size:\n\n{}",
            costs.markdown(),
            slopes.markdown()
        );
        let pictures = vec![picture::memory(&lines)?];
        Section {
            name: "scale",
            command: format!("cargo xtask bench scale --seconds {}", options.seconds),
            body,
            pictures,
        }
        .record()?;
    }
    Ok(())
}

/// Runs a manager on a cluster of a size, and measures it at rest.
async fn cost(program: &Path, size: Size, time: Duration) -> Result<Cost, BenchError> {
    let stand_in = StandIn::start().await?;
    stand_in.apiserver.put_nodes(size.nodes);
    stand_in.apiserver.put_other_pods(NAMESPACE, size.other_pods);
    let monitored = MonitoredCluster {
        servers: (0..size.servers).map(|ordinal| format!("{NAME}-{ordinal}")).collect(),
        streams: size.streams,
        consumers: size.consumers,
        peer_id: |name| PeerId::of(name).0,
    };
    let ports = monitored.serve().await?;
    stand_in.run_cluster(program, &[], size.servers, |server| MonitoredCluster::address(server).into()).await?;
    let manager = stand_in.ready_manager(Command::new(program)).await?;
    let start = manager.cpu_time().unwrap_or_default();
    // The first polls and the first reconcile are not rest.
    sleep(time / 2).await;
    let before = manager.cpu_time().unwrap_or_default();
    sleep(time).await;
    let rest = manager.cpu_time().unwrap_or_default().saturating_sub(before);
    let memory = manager.memory().ok_or(BenchError::NoMemory)?;
    manager.terminate().await?;
    let polled = ports.longest_answer();
    ports.close().await;
    if polled == 0 {
        return Err(BenchError::Counts("the servers were not polled".to_owned()));
    }
    Ok(Cost { size, memory, start, rest: rest.mul_f64(60.0 / time.as_secs_f64()), polled })
}

/// Returns size and anonymous memory in MB.
fn point(axis: Axis, cost: &Cost) -> (f64, f64) {
    (f64::from(u32::try_from(axis.of(&cost.size)).unwrap_or(u32::MAX)), megabytes(cost.memory.anonymous))
}

fn costs_table(all: &[(Axis, Vec<Cost>)]) -> Table {
    let mut table = Table::new(&[
        "SIZE",
        "NUMBER",
        "RESIDENT",
        "ANONYMOUS",
        "PEAK",
        "CPU UNTIL READY",
        "CPU AT REST",
        "ANSWER TO A POLL",
    ]);
    for (axis, costs) in all {
        for cost in costs {
            table.row([
                axis.to_string(),
                axis.of(&cost.size).to_string(),
                format!("{:.1} MB", megabytes(cost.memory.total)),
                format!("{:.1} MB", megabytes(cost.memory.anonymous)),
                format!("{:.1} MB", megabytes(cost.memory.peak)),
                format!("{:.1} ms", 1e3 * cost.start.as_secs_f64()),
                format!("{:.1} ms/min", 1e3 * cost.rest.as_secs_f64()),
                format!("{} KB", cost.polled / 1000),
            ]);
        }
    }
    table
}

fn slopes_table(all: &[(Axis, Vec<Cost>)]) -> Table {
    let mut table = Table::new(&["FOR EACH", "ANONYMOUS (BYTES)", "PEAK (BYTES)", "CPU AT REST"]);
    for (axis, costs) in all {
        let (Some(first), Some(last)) = (costs.first(), costs.last()) else { continue };
        let distance = point(*axis, last).0 - point(*axis, first).0;
        let bytes = |of: fn(&ResidentMemory) -> u32| {
            let bytes = 1024.0 * (f64::from(of(&last.memory)) - f64::from(of(&first.memory))) / distance;
            format!("{:.0}", unsigned_zero(bytes.round()))
        };
        let rest = (last.rest.as_secs_f64() - first.rest.as_secs_f64()) * 1e6 / distance;
        table.row([
            axis.unit().to_owned(),
            bytes(|memory| memory.anonymous),
            bytes(|memory| memory.peak),
            format!("{:.1} us/min", unsigned_zero((rest * 10.0).round() / 10.0)),
        ]);
    }
    table
}

/// Returns 0 for -0, which a slope that rounds to zero from below is.
fn unsigned_zero(value: f64) -> f64 {
    value + 0.0
}
