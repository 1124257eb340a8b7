//! `cargo xtask demo`: tour of the manager, from an empty cluster to its cleanup.

mod live;
mod messages;
mod real;
mod samples;
mod snapshot;
mod stay;
mod storage;
mod walk;

use std::{io, pin::pin};

use crate::{
    local::{self, BuildError, Local, LocalError, Profile},
    terminal::{heading, note},
};
use samples::{SampleError, samples};
use walk::Walk;

/// Options of the demo.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct DemoOptions {
    /// Exit after the tour; exit code 1 when a step fails
    #[arg(long)]
    once: bool,
    /// Keep the folder with logs, audit log and data
    #[arg(long)]
    keep: bool,
    #[command(flatten)]
    nodes: real::Nodes,
    /// Show only this file of config/samples (without .yaml)
    #[arg(long, value_name = "NAME")]
    sample: Option<String>,
}

/// Failure of the demo.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DemoError {
    /// Failed build of the manager.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// Failure to read the samples.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// Failure of the cluster or the manager.
    #[error(transparent)]
    Local(#[from] LocalError),
    /// Missing prerequisites of real nodes.
    #[error(transparent)]
    Unavailable(#[from] nats_manager_harness::real::Unavailable),
    /// Packages that are missing and were not installed.
    #[error("{0}, or run: cargo xtask demo --real --install")]
    Uninstalled(nats_manager_harness::real::Unavailable),
    /// Command of the NATS command line that failed.
    #[error("nats {command}: {output}")]
    Nats {
        /// Arguments.
        command: String,
        /// Output.
        output: String,
    },
    /// Failed installation of packages.
    #[error("apt-get failed with {0}; see its output above")]
    NotInstalled(std::process::ExitStatus),
    /// Unexpected end of the control plane.
    #[error("the control plane ended")]
    ClusterEnded,
    /// Failed request to the apiserver.
    #[error(transparent)]
    Kube(#[from] kube::Error),
    /// Step that did not complete in time.
    #[error("timed out after {within} s: {what}; last state: {seen}")]
    NotInTime {
        /// Expected state.
        what: String,
        /// Limit, in seconds.
        within: u64,
        /// Last state.
        seen: String,
    },
    /// Invalid change that was accepted, or rejected for another reason.
    #[error("the change {patch} is not rejected with {expected:?}; kubectl printed: {answer}")]
    NotRejected {
        /// Merge patch.
        patch: String,
        /// Part of the expected message.
        expected: &'static str,
        /// Output of kubectl.
        answer: String,
    },
    /// Dry run without the expected warning or default.
    #[error("the dry run of {patch} does not print {expected:?}; kubectl printed: {answer}")]
    NotPreviewed { patch: String, expected: &'static str, answer: String },
    /// Interruption by Ctrl-C before the end of the tour.
    #[error("interrupted")]
    Interrupted,
    /// Failed setup of the runtime or the signal handlers.
    #[error("cannot start: {0}")]
    Start(#[from] io::Error),
}

/// Runs the demo.
pub(crate) fn run(options: &DemoOptions) -> Result<(), DemoError> {
    let samples = samples(options.sample.as_deref())?;
    heading("building the manager");
    // A release build takes minutes, and makes no visible difference here.
    let program = local::build(Profile::Dev)?;
    let real = options.nodes.start(options.keep)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        let mut interrupted = pin!(local::interrupted()?);
        let start = async {
            if let Some(cluster) = real {
                return Local::start_on(cluster).await;
            }
            heading("starting a control plane");
            Local::start(options.keep).await
        };
        let mut local = tokio::select! {
            local = start => local?,
            () = &mut interrupted => return Err(DemoError::Interrupted),
        };
        let mut manager = None;
        let shown = tokio::select! {
            shown = async {
                let mut walk = Walk::begin(&mut local, &program, &mut manager).await?;
                walk.show(&samples).await?;
                if !options.once {
                    walk.stay().await?;
                }
                Ok(true)
            } => shown,
            () = &mut interrupted => Ok(false),
        };
        heading("cleaning up");
        if options.keep {
            note(format!("kept: {}", local.cluster().folder().display()));
        }
        local.shutdown(manager).await?;
        note(if options.keep { "stopped everything; the folder is left" } else { "removed everything" });
        match shown {
            Ok(false) if options.once => Err(DemoError::Interrupted),
            shown => shown.map(|_| ()),
        }
    });
    // An interrupted build of tools ends by itself.
    runtime.shutdown_background();
    result
}
