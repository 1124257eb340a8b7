//! `cargo xtask simulate`: random scenarios against the planner, up to a number of steps.

use std::time::Instant;

use clap::Args;
use nats_manager_simulation::{
    ledger::{Coverage, VARIANTS},
    scenario::Scenario,
    simulation::{self, End, RunOutcome},
};

use crate::{
    table::Table,
    terminal::{duration, heading, note, output},
};

/// Run the planner against a model of Kubernetes, NATS, users and faults.
#[derive(Debug, Clone, Args)]
pub(crate) struct SimulateOptions {
    /// Seconds to simulate in all
    #[arg(long, value_name = "N", default_value_t = STEPS, value_parser = clap::value_parser!(u64).range(1..))]
    steps: u64,
    /// The first seed; each scenario takes the next one
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    seed: u64,
    /// Run the scenario of the seed only, and print its story
    #[arg(long)]
    story: bool,
    /// Continue after a failure, and list the seeds that failed
    #[arg(long, conflicts_with = "story")]
    keep_going: bool,
}

const STEPS: u64 = 1_000_000;

/// Violation of an invariant.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SimulateError {
    /// Violation in a scenario.
    #[error("seed {seed} violates invariant {invariant}; replay it with: cargo xtask simulate --seed {seed} --story")]
    Violated {
        /// Seed of the scenario.
        seed: u64,
        /// Number of the invariant.
        invariant: u8,
    },
    /// Violations in several scenarios.
    #[error(
        "{count} of {scenarios} scenarios violate an invariant; replay one with: cargo xtask simulate --seed SEED --story"
    )]
    Several {
        /// Number of scenarios that failed.
        count: u64,
        /// Number of scenarios that ran.
        scenarios: u64,
    },
}

/// Totals of all scenarios.
#[derive(Debug, Default)]
struct Summary {
    scenarios: u64,
    steps: u64,
    blocked: u64,
    failed: u64,
    slowest: Option<(u64, u64)>,
    coverage: Coverage,
}

/// Runs scenarios until the steps are done or one fails.
pub(crate) fn run(options: &SimulateOptions) -> Result<(), SimulateError> {
    if options.story {
        return print_story(options.seed);
    }
    let began = Instant::now();
    let mut summary = Summary::default();
    let mut seed = options.seed;
    while summary.steps < options.steps {
        let outcome = simulation::run(&Scenario::random(seed), false);
        match outcome.violations.first() {
            Some(_) if !options.keep_going => return print_story(seed),
            Some(violation) => {
                summary.failed += 1;
                note(format!("seed {seed} violates invariant {}: {}", violation.invariant, violation.text));
            }
            None => {}
        }
        summary.add(seed, &outcome);
        seed += 1;
    }
    summary.print(options.seed, seed - 1, began);
    match summary.failed {
        0 => Ok(()),
        count => Err(SimulateError::Several { count, scenarios: summary.scenarios }),
    }
}

/// Prints the story of a seed, reduced if the scenario fails.
fn print_story(seed: u64) -> Result<(), SimulateError> {
    let scenario = Scenario::random(seed);
    let outcome = simulation::run(&scenario, true);
    let (scenario, outcome) =
        if outcome.end == End::Failed { simulation::shrink(&scenario) } else { (scenario, outcome) };
    heading(format!("Seed {seed}"));
    output(&format!("{scenario:#?}"));
    output(&outcome.story.join("\n"));
    for violation in &outcome.violations {
        output(&format!("{:>6} s  invariant {} violated: {}", violation.at, violation.invariant, violation.text));
    }
    match outcome.violations.first() {
        Some(violation) => Err(SimulateError::Violated { seed, invariant: violation.invariant }),
        None => Ok(()),
    }
}

impl Summary {
    /// Adds the outcome of a scenario.
    fn add(&mut self, seed: u64, outcome: &RunOutcome) {
        self.scenarios += 1;
        self.steps += outcome.steps;
        self.coverage.add(&outcome.coverage);
        match outcome.end {
            End::Converged(seconds) => self.slowest = self.slowest.max(Some((seconds, seed))),
            End::Blocked(_) => self.blocked += 1,
            End::Failed => {}
        }
    }

    /// Prints rate, results and coverage.
    fn print(&self, first: u64, last: u64, began: Instant) {
        let Self { scenarios, steps, blocked, failed, coverage, .. } = self;
        let took = began.elapsed();
        let rate = u128::from(*steps) * 1000 / took.as_millis().max(1);
        heading(format!("{steps} steps in {}: {rate} steps/s", duration(took)));
        let passed = scenarios - failed;
        note(format!("{scenarios} scenarios, seeds {first} to {last}; every invariant held in {passed}"));
        note(format!("{blocked} ended with a change that the plan names as blocked, others as desired"));
        if let Some((seconds, seed)) = self.slowest {
            note(format!("slowest convergence: {seconds} s after faults had ended (seed {seed})"));
        }
        print(
            "ACTION",
            VARIANTS.iter().map(|variant| {
                let count = coverage.actions.get(variant).copied().unwrap_or(0);
                let unconfirmed = coverage.unconfirmed.get(variant).copied().unwrap_or(0);
                ((*variant).to_owned(), format!("{count}   (not confirmed: {unconfirmed})"))
            }),
        );
        print("BLOCKED", coverage.blocked.iter().map(|(reason, count)| (format!("{reason:?}"), count.to_string())));
        let steps = coverage.steps.iter();
        print("STEP", steps.map(|((kind, step), count)| (format!("{kind:?} {step:?}"), count.to_string())));
    }
}

fn print(header: &'static str, rows: impl Iterator<Item = (String, String)>) {
    let mut table = Table::new(&[header, "TIMES"]);
    rows.for_each(|(name, count)| table.row([name, count]));
    table.print();
    println!();
}
