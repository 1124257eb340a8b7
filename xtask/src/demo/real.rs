//! Real nodes for the demo, and the packages that they need.

use std::{
    io::{self, BufRead, IsTerminal, Write},
    process::Command,
};

use nats_manager_harness::{ClusterOptions, RealCluster, Tool, real::Unavailable};

use super::DemoError;
use crate::{
    local::LocalError,
    terminal::{heading, typed, words},
};

/// Options for the nodes.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Nodes {
    /// Run real NATS Pods on real nodes, in a network of their own (Linux, root, containerd)
    #[arg(long)]
    real: bool,
    /// With --real: install missing packages without asking (Debian)
    #[arg(long, requires = "real")]
    install: bool,
}

impl Nodes {
    /// Starts a cluster if real nodes are requested, and moves this thread into its network, with all that it starts
    /// later.
    pub(super) fn start(&self, keep: bool) -> Result<Option<RealCluster>, DemoError> {
        if !self.real {
            return Ok(None);
        }
        if let Err(unavailable) = RealCluster::available() {
            install_missing(unavailable, self.install)?;
        }
        // The network of the cluster has no way out for a download.
        Tool::NatsCli.path_blocking().map_err(LocalError::from)?;
        heading("starting a control plane and three real nodes");
        let default = ClusterOptions::default();
        let options = ClusterOptions { keep: keep || default.keep, ..default };
        let cluster = RealCluster::start_blocking(&options).map_err(LocalError::from)?;
        cluster.enter_thread().map_err(LocalError::from)?;
        Ok(Some(cluster))
    }
}

/// Installs missing packages if `install` is set or the user confirms. Fails if missing packages are not the cause.
fn install_missing(unavailable: Unavailable, install: bool) -> Result<(), DemoError> {
    if unavailable.packages.is_empty() {
        return Err(unavailable.into());
    }
    if !install && !is_confirmed(&unavailable)? {
        return Err(DemoError::Uninstalled(unavailable));
    }
    apt_get(&["update", "--quiet"])?;
    let mut arguments = vec!["install", "--quiet", "--yes", "--no-install-recommends"];
    arguments.extend(&unavailable.packages);
    apt_get(&arguments)?;
    Ok(RealCluster::available()?)
}

/// Asks the user to confirm the installation. Without a terminal, returns false.
fn is_confirmed(unavailable: &Unavailable) -> io::Result<bool> {
    if !io::stdin().is_terminal() {
        return Ok(false);
    }
    print!("   {}. Install it now? [y/N] ", unavailable.missing);
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
