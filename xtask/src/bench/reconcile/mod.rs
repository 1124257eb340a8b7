//! `cargo xtask bench reconcile`: cost of reconciles, beside a client that sends the same writes.

mod figures;
mod memory;
mod reviews;
mod rounds;
mod unchanged;

use std::path::Path;

use self::{
    figures::Figures,
    reviews::ReviewGenerator,
    rounds::{Reviewed, Round},
};
use super::{
    BenchError, BenchRun, build_manager, check_limits,
    measure::{Measure, median},
    page::Section,
    requests::MOST_WRITES_UNTIL_READY,
};
use crate::{
    local::Local,
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
    let mut figures = Figures::of_unchanged(&allocations, instructions);
    let count = |count| usize::try_from(count).unwrap_or(usize::MAX);
    let counted = instructions
        .map(|all| Measure::count("instructions of an unchanged reconcile", count(all), MOST_INSTRUCTIONS, None));
    let mut measures: Vec<Measure> = counted.into_iter().collect();
    if run.quick {
        figures.table().print();
        return check_limits(&measures);
    }
    heading("measuring rounds on a control plane");
    let generator = ReviewGenerator::build()?;
    let (pairs, reviewed) = runtime.block_on(pairs(&program, options.rounds, &generator))?;
    figures.add_rounds(&pairs);
    figures.add_reviewed(&reviewed);
    figures.table().print();
    if run.record {
        let rounds = format!(
            "Times are medians of {} alternating rounds. The rollout with reviews is a single one.",
            pairs.len()
        );
        let body = format!("{rounds}\n\n{}", figures.table().markdown());
        let command = format!("cargo xtask bench reconcile --rounds {}", options.rounds);
        Section { name: "reconcile", command, body, pictures: vec![reviewed.course.picture()?] }.record()?;
    }
    let writes = pairs.iter().map(|(ours, _)| ours.writes_of_create).max().unwrap_or_default();
    measures.push(Measure::count("writes from create to Ready", writes, MOST_WRITES_UNTIL_READY, None));
    check_limits(&measures)
}

async fn pairs(program: &Path, rounds: u32, generator: &ReviewGenerator) -> Result<(Vec<Pair>, Reviewed), BenchError> {
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
        let reviewed = rounds::under_reviews(&local, program, generator, time).await?;
        Ok((pairs, reviewed))
    }
    .await;
    local.shutdown(None).await?;
    result
}
