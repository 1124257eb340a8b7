//! `cargo xtask demo`: the manager at work, from nothing to a cleaned-up cluster.

mod live;
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

/// How the demo goes.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct DemoOptions {
    /// End after the walk; exit code 1 when a step does not happen
    #[arg(long)]
    once: bool,
    /// Leave the folder with logs, audit log and data behind
    #[arg(long)]
    keep: bool,
    #[command(flatten)]
    nodes: real::Nodes,
    /// Show only this file of config/samples (without .yaml)
    #[arg(long, value_name = "NAME")]
    sample: Option<String>,
}

/// The demo did not go as it should.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DemoError {
    /// The manager does not build.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// There is nothing to apply.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// The cluster does not work.
    #[error(transparent)]
    Local(#[from] LocalError),
    /// There can be no real nodes.
    #[error(transparent)]
    Unavailable(#[from] nats_manager_harness::real::Unavailable),
    /// Packages are still missing.
    #[error("apt-get ended with {0}; it says why above")]
    NotInstalled(std::process::ExitStatus),
    /// The control plane ended by itself.
    #[error("the control plane ended")]
    ClusterEnded,
    /// The apiserver refused, or did not answer.
    #[error(transparent)]
    Kube(#[from] kube::Error),
    /// A step did not happen.
    #[error("not within {within} s: {what}; last seen: {seen}")]
    NotInTime {
        /// What should have happened.
        what: String,
        /// The seconds it had.
        within: u64,
        /// What was there in its place.
        seen: String,
    },
    /// An edit that should be refused was not, or for another reason.
    #[error("the edit {patch} should be refused with {expected:?}, but kubectl said: {answer}")]
    NotRefused {
        /// The edit.
        patch: String,
        /// The contract's words.
        expected: &'static str,
        /// What came.
        answer: String,
    },
    #[error("{patch} does not lead to {expected:?}; it says: {answer}")]
    NotAnswered { patch: String, expected: &'static str, answer: String },
    /// Ctrl-C, before the end of the walk.
    #[error("interrupted")]
    Interrupted,
    /// The process cannot have a runtime or handle signals.
    #[error("cannot start: {0}")]
    Start(#[from] io::Error),
}

/// Shows the manager at work.
pub(crate) fn run(options: &DemoOptions) -> Result<(), DemoError> {
    let samples = samples(options.sample.as_deref())?;
    heading("building the manager");
    // As it is for development: the release build takes minutes, and nobody sees the difference here.
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
            note(format!("left behind: {}", local.cluster().folder().display()));
        }
        local.shutdown(manager).await?;
        note("nothing is left of it");
        match shown {
            Ok(false) if options.once => Err(DemoError::Interrupted),
            shown => shown.map(|_| ()),
        }
    });
    // A build of tools that was interrupted ends by itself.
    runtime.shutdown_background();
    result
}
