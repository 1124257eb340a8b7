//! `cargo xtask test`: all checks, the quick ones first.

mod go;
mod needs;
mod steps;
mod targets;

use std::time::{Duration, Instant};

use console::style;

use crate::{
    table::Table,
    terminal::{self, heading},
};
use needs::MissingPackages;
use steps::{STEPS, StepError, StepOutcome, TestStep};

/// Selection of steps.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct TestOptions {
    /// Continue after a failed step
    #[arg(long)]
    keep_going: bool,
    /// Run only this step (repeatable)
    #[arg(long, value_name = "STEP", value_parser = steps::parse)]
    only: Vec<&'static TestStep>,
    /// Leave this step out (repeatable)
    #[arg(long, value_name = "STEP", value_parser = steps::parse)]
    skip: Vec<&'static TestStep>,
    /// Print the steps and run nothing
    #[arg(long)]
    list: bool,
}

/// Missing programs, or failed steps.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TestError {
    /// Missing program.
    #[error(transparent)]
    Missing(#[from] MissingPackages),
    /// Names of the failed steps.
    #[error("failed: {}; run again with: cargo xtask test{}", .0.join(", "), again(.0))]
    Failed(Vec<&'static str>),
}

/// Returns the arguments that repeat these steps.
fn again(names: &[&'static str]) -> String {
    names.iter().flat_map(|name| [" --only ", name]).collect()
}

enum Result {
    Passed(Duration),
    LeftOut,
    Failed(Duration),
    NotRun,
}

/// Runs the selected steps and prints a summary.
pub(crate) fn run(options: &TestOptions) -> std::result::Result<(), TestError> {
    let chosen: Vec<&TestStep> = STEPS.iter().filter(|step| options.chooses(step)).collect();
    if options.list {
        list(&STEPS.iter().collect::<Vec<_>>());
        return Ok(());
    }
    for step in &chosen {
        needs::check(step.needs)?;
    }
    let mut results = Vec::new();
    let mut failed = Vec::new();
    for (index, step) in chosen.iter().enumerate() {
        if !failed.is_empty() && !options.keep_going {
            results.push(Result::NotRun);
            continue;
        }
        heading(format!("{}/{} {}: {}", index + 1, chosen.len(), step.name, step.what));
        let started = Instant::now();
        let outcome = (step.run)(options.keep_going);
        let time = started.elapsed();
        results.push(match outcome {
            Ok(StepOutcome::Passed) => Result::Passed(time),
            Ok(StepOutcome::LeftOut) => Result::LeftOut,
            Err(error) => {
                report(step, &error);
                failed.push(step.name);
                Result::Failed(time)
            }
        });
    }
    summarize(&chosen, &results);
    if failed.is_empty() { Ok(()) } else { Err(TestError::Failed(failed)) }
}

impl TestOptions {
    /// Returns whether a step is selected.
    fn chooses(&self, step: &TestStep) -> bool {
        let names = |list: &[&TestStep]| list.iter().any(|listed| listed.name == step.name);
        let is_selected = if self.only.is_empty() { step.usual } else { names(&self.only) };
        is_selected && !names(&self.skip)
    }
}

fn list(steps: &[&TestStep]) {
    let mut table = Table::new(&["STEP", "WHAT"]);
    for step in steps {
        table.row([step.name.to_owned(), step.what.to_owned()]);
    }
    table.print();
}

fn report(step: &TestStep, error: &StepError) {
    eprintln!("{} {}: {error}", style("FAILED").red().bold(), step.name);
}

fn summarize(steps: &[&TestStep], results: &[Result]) {
    heading("summary");
    let mut table = Table::new(&["STEP", "RESULT", "TIME"]);
    let mut total = Duration::ZERO;
    for (step, result) in steps.iter().zip(results) {
        let (word, time) = match result {
            Result::Passed(time) => (style("passed").green(), Some(*time)),
            Result::Failed(time) => (style("FAILED").red().bold(), Some(*time)),
            Result::LeftOut => (style("left out").yellow(), None),
            Result::NotRun => (style("not run").dim(), None),
        };
        total += time.unwrap_or_default();
        table.row([step.name.to_owned(), word.to_string(), time.map(terminal::duration).unwrap_or_default()]);
    }
    table.row(["total".to_owned(), String::new(), terminal::duration(total)]);
    table.print();
}
