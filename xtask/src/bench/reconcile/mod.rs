//! `cargo xtask bench reconcile`: cost of reconciles, beside a client that sends the same writes.

mod reviews;
mod rounds;
mod unchanged;

use std::{path::Path, time::Duration};

use nats_manager_harness::ResidentMemory;

use self::{reviews::ReviewGenerator, rounds::Round};
use super::{
    BenchError, BenchRun,
    admission::Measured,
    build_manager, callgrind, check_limits,
    measure::{Measure, Series, mebibytes, median},
    page::Section,
};
use crate::{
    local::Local,
    table::Table,
    terminal::{heading, note},
};

/// Options of the benchmark of this part.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ReconcileOptions {
    /// Number of alternating rounds
    #[arg(long, value_name = "N", default_value_t = ROUNDS, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
}

const ROUNDS: u32 = 5;
/// Most writes of one round: from creation to Ready.
const MOST_WRITES: u32 = 12;
/// Most instructions of a reconcile that changes nothing: 110 % of those recorded with Rust 1.95 on x86-64.
const MOST_INSTRUCTIONS: u32 = 9_630_000;

impl Default for ReconcileOptions {
    fn default() -> Self {
        Self { rounds: ROUNDS }
    }
}

/// A round of the manager, and the next one of the floor.
type Pair = (Round, Round);

/// Takes the measures, prints them, and records them if asked.
pub(super) fn run(options: &ReconcileOptions, run: BenchRun) -> Result<(), BenchError> {
    heading("counting allocations of a reconcile that changes nothing");
    let allocations = unchanged::allocations()?;
    let program = build_manager()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    heading("counting instructions of a reconcile that changes nothing");
    let instructions = runtime.block_on(unchanged::instructions(&program))?;
    let mut counts = Table::new(&["RECONCILE THAT CHANGES NOTHING", "COUNT"]);
    for (contents, count) in allocations {
        counts.row([format!("allocations, 3 servers, {contents}"), count.to_string()]);
    }
    let text = instructions.map_or_else(|| callgrind::MISSING.to_owned(), |count| count.to_string());
    counts.row(["instructions, with its watch event (callgrind, program of the image)".to_owned(), text]);
    counts.print();
    let count = |count| usize::try_from(count).unwrap_or(usize::MAX);
    let counted = instructions
        .map(|all| Measure::count("instructions of an unchanged reconcile", count(all), MOST_INSTRUCTIONS, None));
    let mut measures: Vec<Measure> = counted.into_iter().collect();
    if run.quick {
        return check_limits(&measures);
    }
    heading("measuring rounds on a control plane");
    let generator = ReviewGenerator::build()?;
    let (pairs, loaded) = runtime.block_on(pairs(&program, options.rounds, &generator))?;
    let (table, reviewed) = (table(&pairs), reviewed(&loaded));
    table.print();
    reviewed.print();
    if run.record {
        let body = format!(
            "{}\n\nMedians of {} alternating rounds on a local control plane with simulated nodes:\n\n{}\n\n\
             One more rollout, while the webhook of the same process answers reviews at a fixed rate:\n\n{}",
            counts.markdown(),
            pairs.len(),
            table.markdown(),
            reviewed.markdown()
        );
        let command = format!("cargo xtask bench reconcile --rounds {}", options.rounds);
        Section { name: "reconcile", command, body, pictures: Vec::new() }.record()?;
    }
    let writes = pairs.iter().map(|(ours, _)| ours.writes[0]).max().unwrap_or_default();
    measures.push(Measure::count("writes from create to Ready", writes, MOST_WRITES, None));
    check_limits(&measures)
}

/// Rollout while reviews are answered: its time, the reviews, and memory at the end.
type Loaded = (Duration, Measured, ResidentMemory);

async fn pairs(program: &Path, rounds: u32, generator: &ReviewGenerator) -> Result<(Vec<Pair>, Loaded), BenchError> {
    let mut local = Local::start(false).await?;
    if local.is_existing() {
        return Err(BenchError::Existing);
    }
    let result = async {
        local.install(|_, _| {}).await?;
        let mut pairs = Vec::new();
        for round in 1..=rounds {
            let (ours, sent) = rounds::ours(&local, program).await?;
            let floor = rounds::floor(&local, &sent).await?;
            note(format!("round {round}: {ours:?}; floor: {floor:?}"));
            pairs.push((ours, floor));
        }
        let time = median(pairs.iter().map(|(ours, _)| ours.rollout));
        let loaded = rounds::under_reviews(&local, program, generator, time).await?;
        Ok((pairs, loaded))
    }
    .await;
    local.shutdown(None).await?;
    result
}

fn table(pairs: &[Pair]) -> Table {
    let mut table = Table::new(&["", "MANAGER", "FLOOR", "RATIO", "SPREAD OF RATIOS", "WRITES", "WRITES OF FLOOR"]);
    let mut row = |name: &str, time: fn(&Round) -> Duration, index: usize| {
        let ratio = |(ours, floor): &Pair| time(ours).as_secs_f64() / time(floor).as_secs_f64();
        let ratios = Series(pairs.iter().map(ratio).collect());
        let (smallest, largest) = ratios.spread();
        let writes =
            |side: fn(&Pair) -> &Round| pairs.iter().map(|pair| side(pair).writes[index]).max().unwrap_or_default();
        table.row([
            name.to_owned(),
            format!("{:.2} s", median(pairs.iter().map(|(ours, _)| time(ours))).as_secs_f64()),
            format!("{:.2} s", median(pairs.iter().map(|(_, floor)| time(floor))).as_secs_f64()),
            format!("{:.2}", ratios.median()),
            format!("{smallest:.2} to {largest:.2}"),
            writes(|(ours, _)| ours).to_string(),
            writes(|(_, floor)| floor).to_string(),
        ]);
    };
    row("create to Ready, three servers", |round| round.create, 0);
    row("rollout of three servers", |round| round.rollout, 1);
    table
}

fn reviewed((rollout, reviewed, memory): &Loaded) -> Table {
    let mut table =
        Table::new(&["ROLLOUT", "REVIEWS", "P50", "P99", "CPU PER REVIEW, WITH THE ROLLOUT", "PEAK MEMORY"]);
    table.row([
        format!("{:.2} s", rollout.as_secs_f64()),
        format!("{:.0} /s", reviewed.rate()),
        format!("{:.2} ms", reviewed.latency(0.5)),
        format!("{:.2} ms", reviewed.latency(0.99)),
        format!("{:.0} us", reviewed.cpu()),
        format!("{:.1} MiB", mebibytes(memory.peak)),
    ]);
    table
}
