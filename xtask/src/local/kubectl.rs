//! kubectl as administrator, with errors that name the command.

use nats_manager_harness::{KubectlOutput, LocalCluster};

use super::LocalError;

/// kubectl for one cluster.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kubectl<'a>(&'a LocalCluster);

impl<'a> Kubectl<'a> {
    pub(super) fn new(cluster: &'a LocalCluster) -> Self {
        Self(cluster)
    }

    /// Runs kubectl. A non-zero exit code is not an error.
    pub(crate) async fn run(&self, args: &[&str]) -> Result<KubectlOutput, LocalError> {
        self.run_with(args, "").await
    }

    /// Runs kubectl. A non-zero exit code is an error.
    pub(crate) async fn must(&self, args: &[&str]) -> Result<KubectlOutput, LocalError> {
        let output = self.run(args).await?;
        if output.is_success { Ok(output) } else { Err(failed(args, &output)) }
    }

    /// Runs kubectl with a text on its standard input.
    pub(crate) async fn run_with(&self, args: &[&str], input: &str) -> Result<KubectlOutput, LocalError> {
        Ok(self.0.run_kubectl(args, input).await?)
    }
}

/// Returns the error of a command that kubectl did not carry out.
pub(super) fn failed(args: &[&str], output: &KubectlOutput) -> LocalError {
    LocalError::Kubectl { command: args.join(" "), output: output.text() }
}
