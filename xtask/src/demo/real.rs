//! Real nodes for the demo, and what this machine lacks for them.

use std::{
    io::{self, BufRead, IsTerminal, Write},
    process::Command,
};

use nats_manager_harness::{ClusterOptions, RealCluster, real::Unavailable};

use super::DemoError;
use crate::{
    local::LocalError,
    terminal::{heading, note, typed, words},
};

/// What the nodes are.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Nodes {
    /// Run real NATS pods on real nodes, in a network of their own (Linux, root, containerd)
    #[arg(long)]
    real: bool,
    /// With --real: install the packages that are missing, unasked (Debian)
    #[arg(long, requires = "real")]
    install: bool,
}

impl Nodes {
    /// Starts a cluster if real nodes are wanted, and moves this thread and all that it will start into its network.
    pub(super) fn start(&self, keep: bool) -> Result<Option<RealCluster>, DemoError> {
        if !self.real {
            return Ok(None);
        }
        if let Err(unavailable) = RealCluster::available() {
            mend(unavailable, self.install)?;
        }
        heading("starting a control plane and three real nodes");
        let default = ClusterOptions::default();
        let options = ClusterOptions { keep: keep || default.keep, ..default };
        let cluster = RealCluster::start_blocking(&options).map_err(LocalError::from)?;
        cluster.enter_thread().map_err(LocalError::from)?;
        Ok(Some(cluster))
    }
}

/// Installs the packages that are missing, if that helps and somebody wants it.
fn mend(unavailable: Unavailable, install: bool) -> Result<(), DemoError> {
    note(&unavailable);
    if unavailable.packages.is_empty() || !(install || is_wanted()?) {
        return Err(unavailable.into());
    }
    apt_get(&["update", "--quiet"])?;
    let mut arguments = vec!["install", "--quiet", "--yes", "--no-install-recommends"];
    arguments.extend(&unavailable.packages);
    apt_get(&arguments)?;
    Ok(RealCluster::available()?)
}

/// Asks, where there is somebody to answer.
fn is_wanted() -> io::Result<bool> {
    if !io::stdin().is_terminal() {
        return Ok(false);
    }
    print!("   Install them now? [y/N] ");
    io::stdout().flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn apt_get(arguments: &[&str]) -> Result<(), DemoError> {
    let mut command = Command::new("apt-get");
    command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    typed(words(&command));
    let status = command.status()?;
    if status.success() { Ok(()) } else { Err(DemoError::NotInstalled(status)) }
}
