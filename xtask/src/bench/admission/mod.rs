//! `cargo xtask bench admission`: cost of admission reviews.
//!
//! Three servers take turns in each round: ours, the floor (the same server, with a constant answer), and a Go webhook
//! on controller-runtime with the same rules. Ours runs without a cluster, on the router, server, limits, runtime and
//! build profile of the manager.

mod decisions;
mod goals;
mod instructions;
mod load;
mod picture;
mod report;
mod reviews;
mod rounds;
mod runs;
mod servers;

pub(super) use self::load::{Measured, RATE};

use std::{fmt::Display, fs, io, process::Command};

use nats_manager_harness as harness;

use super::{
    BenchError, BenchRun,
    page::{Picture, Section},
};
use crate::{
    local::BuildError,
    terminal::{done, heading, note, output},
};
use decisions::Agreement;
use load::Generator;
use report::Report;
use rounds::{Measures, Plan};
use servers::{Programs, Server, ServerKind};

/// Options of the benchmark of admission reviews.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct AdmissionOptions {
    /// Rounds, in each of which all servers take their turn
    #[arg(long, value_name = "N", default_value_t = ROUNDS, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Seconds of the closed loop and of the open loop in each round; other measures take a part of it
    #[arg(long, value_name = "N", default_value_t = SECONDS)]
    seconds: f64,
}

const ROUNDS: u32 = 5;
const SECONDS: f64 = 4.0;

impl Default for AdmissionOptions {
    fn default() -> Self {
        Self { rounds: ROUNDS, seconds: SECONDS }
    }
}

/// Failure to measure admission reviews.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdmissionError {
    /// File or process.
    #[error("{what}: {source}")]
    Io {
        /// Name of the file or process.
        what: String,
        /// Cause.
        source: io::Error,
    },
    /// Failed build of a Rust program.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// Failed build of the Go webhook.
    #[error(transparent)]
    Tool(#[from] harness::Error),
    /// Sample that is not YAML.
    #[error("the sample of the full spec: {0}")]
    Sample(String),
    /// Server that ended, or did not listen in time.
    #[error("the server \"{0}\" does not listen")]
    NotReady(&'static str),
    /// Failed run of the load generator.
    #[error("bench-load: {0}")]
    Load(String),
    /// Other decisions than expected.
    #[error("{} unexpected decisions: {}", .0.len(), .0.join("; "))]
    Decisions(Vec<String>),
    /// Counts beyond their limits.
    #[error("beyond the limit: {}", .0.join(", "))]
    Beyond(Vec<String>),
}

impl AdmissionError {
    fn io(what: impl Display) -> impl FnOnce(io::Error) -> Self {
        let what = what.to_string();
        |source| Self::Io { what, source }
    }
}

/// Returns an update of the full spec, which is accepted.
pub(super) fn update_review() -> Result<serde_json::Value, AdmissionError> {
    let first = reviews::workloads()?.into_iter().next();
    Ok(first.map(|workload| workload.review).unwrap_or_default())
}

/// Takes the measures, prints them, and records them if asked. Fails when decisions differ or counts are beyond their
/// limits, and never because of times.
pub(super) fn run(options: &AdmissionOptions, run: BenchRun) -> Result<(), BenchError> {
    heading("building the servers and the load generator");
    let programs = Programs::build(!run.quick)?;
    let folder = tempfile::tempdir().map_err(AdmissionError::io("a temporary folder"))?;
    let generator = Generator { program: programs.load.clone(), folder: folder.path().to_owned() };
    generator.write_certificates()?;
    let workloads = reviews::workloads()?;
    let reviews = folder.path().join("workloads");
    fs::create_dir_all(&reviews).map_err(AdmissionError::io(reviews.display()))?;
    for workload in &workloads {
        let path = reviews.join(workload.file);
        fs::write(&path, workload.review.to_string()).map_err(AdmissionError::io(path.display()))?;
    }
    let measures = if run.quick { None } else { Some(measure(options, &programs, &generator, &workloads)?) };
    heading("instructions per review");
    let instructions = instructions::count(&programs, &generator, &workloads)?;
    let report = Report { workloads: &workloads, measures: measures.as_ref(), instructions: &instructions };
    heading("results");
    output(&report.text());
    if let (true, Some(measures)) = (run.record, &measures) {
        let command = format!("cargo xtask bench admission --rounds {} --seconds {}", options.rounds, options.seconds);
        let title = "Latency of reviews at 1,000 per second, by share of reviews".to_owned();
        let svg = picture::latencies(measures)?;
        let pictures = vec![Picture { name: "latency", title, svg }];
        Section { name: "admission", command, body: report.text(), pictures }.record()?;
        runs::record(&goals::goals(measures))?;
    }
    Ok(instructions.check()?)
}

/// Starts the servers, compares their decisions, and measures them in alternating rounds.
fn measure(
    options: &AdmissionOptions,
    programs: &Programs,
    generator: &Generator,
    workloads: &[reviews::Workload],
) -> Result<Measures, AdmissionError> {
    heading("comparing the decisions");
    let start = |kind| Server::start(programs, kind, &generator.certificates(), |command: Command| command);
    let servers: Vec<Server> =
        ServerKind::ALL.into_iter().filter_map(|kind| start(kind).transpose()).collect::<Result<_, _>>()?;
    let agreement = check_cases(generator, &servers, start(ServerKind::Rules)?)?;
    decisions::check_workloads(generator, &servers, workloads)?;
    done(format!("ours and the Go webhook agree on {} of api/tests/cases.yaml", agreement.text()));
    for case in decisions::INCOMPARABLE {
        note(format!("not comparable because of the quantities of Go: {case}"));
    }
    let plan = Plan { rounds: options.rounds, seconds: options.seconds };
    let measures = plan.measure(generator, &servers, workloads, agreement)?;
    servers.into_iter().try_for_each(Server::terminate)?;
    Ok(measures)
}

/// Compares the decisions of the Go webhook with those of ours, and stops ours.
fn check_cases(generator: &Generator, servers: &[Server], rules: Option<Server>) -> Result<Agreement, AdmissionError> {
    let go = servers.iter().find(|server| server.kind == ServerKind::Go);
    let (Some(rules), Some(go)) = (rules, go) else { return Ok(Agreement::default()) };
    let agreement = decisions::check_cases(generator, [&rules, go])?;
    rules.terminate()?;
    Ok(agreement)
}
