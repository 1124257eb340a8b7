//! `cargo xtask`: tasks for developers of this repository.

mod bench;
mod demo;
mod deny;
mod generate;
mod image;
mod language;
mod local;
mod release;
mod simulate;
mod table;
mod terminal;
mod test;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Tasks for developers of this repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Show the manager on a local control plane
    Demo(demo::DemoOptions),
    /// Run all checks: format, lints, tests (unit tests first)
    Test(test::TestOptions),
    /// Measure requests, memory and start time of the manager, and fail beyond the limits
    Bench(bench::BenchOptions),
    /// Run the planner against a model of Kubernetes, NATS, users and faults
    Simulate(simulate::SimulateOptions),
    /// Check licences, advisories, bans and sources of the dependencies with cargo-deny
    Deny,
    /// Check the language of code and documentation: terms, figures of doc comments, spelling
    Language,
    /// Write the files that are generated from the code
    Generate(generate::GenerateOptions),
    /// Build the container image as an OCI archive, without Docker
    Image(image::ImageOptions),
    /// Write the artifacts of a release: nats-manager.yaml and nats-default-cr.yaml
    ReleaseManifests(release::ReleaseOptions),
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Demo(#[from] demo::DemoError),
    #[error(transparent)]
    Test(#[from] test::TestError),
    #[error(transparent)]
    Bench(#[from] bench::BenchError),
    #[error(transparent)]
    Simulate(#[from] simulate::SimulateError),
    #[error(transparent)]
    Deny(#[from] deny::DenyError),
    #[error(transparent)]
    Language(#[from] language::LanguageError),
    #[error(transparent)]
    Generate(#[from] generate::GenerateError),
    #[error(transparent)]
    Image(#[from] image::ImageError),
    #[error(transparent)]
    Release(#[from] release::ReleaseError),
}

fn main() -> ExitCode {
    match run(Cli::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<(), Error> {
    match task {
        Task::Demo(options) => demo::run(&options)?,
        Task::Language => language::run()?,
        Task::Test(options) => test::run(&options)?,
        Task::Bench(options) => bench::run(&options)?,
        Task::Simulate(options) => simulate::run(&options)?,
        Task::Deny => deny::run()?,
        Task::Generate(options) => generate::run(&options)?,
        Task::Image(options) => image::run(&options)?,
        Task::ReleaseManifests(options) => release::run(&options)?,
    }
    Ok(())
}
