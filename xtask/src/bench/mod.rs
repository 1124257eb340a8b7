//! `cargo xtask bench`: cost of the manager, as the image has it, on a local control plane.
//!
//! Requests are counted and have hard limits. Memory depends a little on the toolchain and on the size of pages, so it
//! fails only beyond a tolerance. Time depends on the load of the machine, so the start fails only far beyond its goal.

mod admission;
mod callgrind;
mod chart;
mod idle;
mod measure;
mod page;
mod reconcile;
mod requests;
mod scale;
mod stand_in;
mod start;
mod wait;

use std::{
    io,
    path::{Path, PathBuf},
    pin::pin,
    time::Duration,
};

use crate::{
    local::{self, Architecture, BuildError, Local, LocalError},
    terminal::{heading, note},
};
use measure::{Measure, MeasureResult};
use page::Section;

/// Options of the benchmark.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct BenchOptions {
    /// Minutes for which the steady cluster is observed
    #[arg(long, value_name = "N", default_value_t = MINUTES, value_parser = clap::value_parser!(u64).range(1..))]
    minutes: u64,
    /// Take counts only, which are the same on every machine: no times, no memory
    #[arg(long, global = true)]
    quick: bool,
    /// Write the results into docs/contributor/performance.md, with their pictures
    #[arg(long, global = true, conflicts_with = "quick")]
    record: bool,
    #[command(subcommand)]
    part: Option<BenchPart>,
}

/// Part of the manager that is measured by itself.
#[derive(Debug, Clone, clap::Subcommand)]
enum BenchPart {
    /// Measure admission reviews: ours, the floor, and a Go webhook on controller-runtime
    Admission(admission::AdmissionOptions),
    /// Measure reconciles: without a change, from creation to Ready, and a rollout
    Reconcile(reconcile::ReconcileOptions),
    /// Measure memory and CPU against the size of the cluster and of its data
    Scale(scale::ScaleOptions),
    /// Measure the time from exec to ready, and its parts
    Start(start::StartOptions),
}

/// Extent of a run.
#[derive(Debug, Clone, Copy)]
struct BenchRun {
    /// Counts only.
    quick: bool,
    /// Results are written to the page.
    record: bool,
}

/// Failure to measure, or measures beyond their limits.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    /// Failed build of the manager.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// Failure of the cluster or the manager.
    #[error(transparent)]
    Local(#[from] LocalError),
    /// Failed request to the apiserver.
    #[error(transparent)]
    Kube(#[from] kube::Error),
    /// NATS resource that did not become ready in time.
    #[error("the NATS resource was not ready within {} s; its status: {seen}", within.as_secs())]
    NotReady {
        /// Limit of the wait.
        within: Duration,
        /// Last status.
        seen: String,
    },
    /// Existing cluster, which has no audit log to count requests in.
    #[error(
        "an existing cluster has no audit log to count requests in; measure on the local one: unset USE_EXISTING_CLUSTER"
    )]
    Existing,
    /// Platform that does not report resident memory.
    #[error("resident memory can be read on Linux only")]
    NoMemory,
    /// Failed measures of admission reviews.
    #[error(transparent)]
    Admission(#[from] admission::AdmissionError),
    /// Failed recording of the results.
    #[error(transparent)]
    Page(#[from] page::PageError),
    /// Count that could not be taken.
    #[error("{0}")]
    Counts(String),
    /// Names of the measures beyond their limits.
    #[error("beyond the limit: {}", .0.join(", "))]
    Beyond(Vec<&'static str>),
    /// Interruption by Ctrl-C.
    #[error("interrupted")]
    Interrupted,
    /// Failed access to a file, a process or a port.
    #[error(transparent)]
    Io(#[from] io::Error),
}

const MINUTES: u64 = 1;

impl Default for BenchOptions {
    fn default() -> Self {
        Self { minutes: MINUTES, quick: false, record: false, part: None }
    }
}

/// Takes the measures of a part, or those of the whole manager. Fails when a count is beyond its limit.
pub(crate) fn run(options: &BenchOptions) -> Result<(), BenchError> {
    let run = BenchRun { quick: options.quick, record: options.record };
    match &options.part {
        Some(BenchPart::Admission(part)) => admission::run(part, run),
        Some(BenchPart::Reconcile(part)) => reconcile::run(part, run),
        Some(BenchPart::Scale(part)) => scale::run(part, run),
        Some(BenchPart::Start(part)) => start::run(part, run),
        None if options.quick => {
            admission::run(&admission::AdmissionOptions::default(), run)?;
            reconcile::run(&reconcile::ReconcileOptions::default(), run)?;
            scale::run(&scale::ScaleOptions::default(), run)?;
            start::run(&start::StartOptions::default(), run)
        }
        None => run_manager(options),
    }
}

/// Builds the program that is measured: that of the image.
fn build_manager() -> Result<PathBuf, BuildError> {
    heading("building the program of the image");
    local::build_static(&[], Architecture::host()?)
}

/// Takes the measures of the whole manager, prints them, and fails when one is beyond its limit.
fn run_manager(options: &BenchOptions) -> Result<(), BenchError> {
    let program = build_manager()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        let mut interrupted = pin!(local::interrupted()?);
        heading("starting a control plane");
        let mut local = tokio::select! {
            local = Local::start(false) => local?,
            () = &mut interrupted => return Err(BenchError::Interrupted),
        };
        let measures = tokio::select! {
            measures = take_measures(&mut local, &program, options) => measures,
            () = &mut interrupted => Err(BenchError::Interrupted),
        };
        local.shutdown(None).await?;
        measures
    });
    runtime.shutdown_background();
    let measures = result?;
    if options.record {
        let command = format!("cargo xtask bench --minutes {}", options.minutes);
        let body = measure::table(&measures).markdown();
        Section { name: "manager", command, body, pictures: Vec::new() }.record()?;
    }
    check_limits(&measures)
}

/// Installs and starts the manager, and takes all measures.
async fn take_measures(local: &mut Local, program: &Path, options: &BenchOptions) -> Result<Vec<Measure>, BenchError> {
    install(local).await?;
    heading("measuring");
    note("starts");
    let start = idle::start(local, program).await?;
    let mut manager = local.start_manager(program).await?;
    manager.wait_until_ready(idle::START_LIMIT).await.map_err(LocalError::from)?;
    note("from a new NATS resource to Ready");
    let deploying = requests::until_ready(local).await?;
    note(format!("a steady cluster, for {} min", options.minutes));
    let steady = requests::steady(local, Duration::from_mins(options.minutes)).await?;
    let memory = manager.memory().ok_or(BenchError::NoMemory)?;
    manager.terminate().await.map_err(LocalError::from)?;
    let mut measures = deploying;
    measures.extend(steady);
    measures.push(idle::memory(memory));
    measures.push(start);
    Ok(measures)
}

/// Installs CRD and roles on a local control plane. An existing cluster has no audit log.
async fn install(local: &mut Local) -> Result<(), BenchError> {
    if local.is_existing() {
        return Err(BenchError::Existing);
    }
    Ok(local.install(|_, _| {}).await?)
}

/// Prints the measures, and fails when one is beyond its limit.
fn check_limits(measures: &[Measure]) -> Result<(), BenchError> {
    measure::table(measures).print();
    let beyond: Vec<_> = measures
        .iter()
        .filter(|measure| measure.result() == MeasureResult::Beyond)
        .map(|measure| measure.name)
        .collect();
    if beyond.is_empty() { Ok(()) } else { Err(BenchError::Beyond(beyond)) }
}
