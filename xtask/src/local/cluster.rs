//! Cluster of the manager: a control plane with simulated or real nodes.

use std::{ops::Deref, path::Path};

use nats_manager_harness::{LocalCluster, RealCluster};
use tokio::process::Command;

/// Cluster on this machine, or an existing one.
#[derive(Debug)]
pub(crate) enum DemoCluster {
    /// Simulated nodes: Pods are scheduled, but run no containers.
    Simulated(LocalCluster),
    /// Real nodes: Pods run.
    Real(RealCluster),
}

impl DemoCluster {
    /// Returns the cluster if its nodes are real.
    pub(crate) fn real(&self) -> Option<&RealCluster> {
        match self {
            Self::Simulated(_) => None,
            Self::Real(cluster) => Some(cluster),
        }
    }

    /// Returns a command that runs a program in the network of the Pods, if the nodes are real.
    pub(super) fn command(&self, program: &Path) -> Command {
        match self.real() {
            None => Command::new(program),
            Some(cluster) => cluster.enter(program).into(),
        }
    }

    /// Stops the cluster.
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
