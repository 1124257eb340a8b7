//! What the manager works on: a control plane with simulated nodes, or real ones.

use std::{ops::Deref, path::Path};

use nats_manager_harness::{LocalCluster, RealCluster};
use tokio::process::Command;

/// A cluster of this machine, or an existing one.
#[derive(Debug)]
pub(crate) enum DemoCluster {
    /// Pods are placed, and run nothing.
    Simulated(LocalCluster),
    /// Pods run.
    Real(RealCluster),
}

impl DemoCluster {
    /// The real one, if it is that.
    pub(crate) fn real(&self) -> Option<&RealCluster> {
        match self {
            Self::Simulated(_) => None,
            Self::Real(cluster) => Some(cluster),
        }
    }

    /// A command for a program that is to reach what the manager reaches in a pod, as far as there is that.
    pub(super) fn command(&self, program: &Path) -> Command {
        match self.real() {
            None => Command::new(program),
            Some(cluster) => cluster.enter(program).into(),
        }
    }

    pub(super) async fn shutdown(self) -> nats_manager_harness::Result<()> {
        match self {
            Self::Simulated(cluster) => cluster.shutdown().await,
            Self::Real(cluster) => cluster.shutdown().await,
        }
    }
}

impl Deref for DemoCluster {
    type Target = LocalCluster;

    fn deref(&self) -> &LocalCluster {
        match self {
            Self::Simulated(cluster) => cluster,
            Self::Real(cluster) => cluster,
        }
    }
}
