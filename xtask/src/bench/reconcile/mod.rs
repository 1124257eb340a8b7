//! `cargo xtask bench reconcile`: cost of reconciles, beside a client that sends the same writes.

mod figures;
mod floor;
mod managed;
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
    BenchError, BenchRun, build_manager, check_limits, install, measure::Measure, page::Section,
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
/// Most writes of a rollout of three servers: 14 or 15 were recorded. The status is written once more each time that a
/// reconcile sees another number of ready servers.
const MOST_WRITES_OF_ROLLOUT: u32 = 16;
/// Most instructions of a reconcile that changes nothing: 110 % of those recorded with Rust 1.95 on x86-64.
const MOST_INSTRUCTIONS: u32 = 9_160_000;

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
    let counted =
        instructions.map(|all| Measure::count("instructions of an unchanged reconcile", count(all), MOST_INSTRUCTIONS));
    let mut measures: Vec<Measure> = counted.into_iter().collect();
    if run.quick {
        heading("counting writes on a control plane");
        let round = runtime.block_on(one(&program))?;
        measures.extend(writes(&[round]));
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
    measures.extend(writes(&pairs.iter().map(|(ours, _)| *ours).collect::<Vec<_>>()));
    check_limits(&measures)
}

/// Returns the most writes of the rounds.
fn writes(rounds: &[Round]) -> [Measure; 2] {
    let most = |of: fn(&Round) -> usize| rounds.iter().map(of).max().unwrap_or_default();
    [
        Measure::count("writes from create to Ready", most(|round| round.writes_of_create), MOST_WRITES_UNTIL_READY),
        Measure::count("writes of a rollout", most(|round| round.writes_of_rollout), MOST_WRITES_OF_ROLLOUT),
    ]
}

/// Measures one round of the manager.
async fn one(program: &Path) -> Result<Round, BenchError> {
    on_cluster(async |local| Ok(rounds::ours(local, program).await?.0)).await
}

async fn pairs(program: &Path, rounds: u32, generator: &ReviewGenerator) -> Result<(Vec<Pair>, Reviewed), BenchError> {
    on_cluster(async |local| {
        let mut pairs = Vec::new();
        for round in 1..=rounds {
            let (ours, sent) = rounds::ours(local, program).await?;
            let floor = floor::floor(local, &sent).await?;
            note(format!("round {round}: {ours:?}; floor: {floor:?}"));
            pairs.push((ours, floor));
        }
        let reviewed = rounds::under_reviews(local, program, generator).await?;
        Ok((pairs, reviewed))
    })
    .await
}

/// Runs measures on a local control plane with CRD and roles, and stops it.
async fn on_cluster<T>(measure: impl AsyncFnOnce(&Local) -> Result<T, BenchError>) -> Result<T, BenchError> {
    let mut local = Local::start(false).await?;
    let result = async {
        install(&mut local).await?;
        measure(&local).await
    }
    .await;
    local.shutdown(None).await?;
    result
}
