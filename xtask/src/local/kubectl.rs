//! kubectl as administrator, run in the root of the checkout.

use std::process::Stdio;

use nats_manager_harness::LocalCluster;
use tokio::io::AsyncWriteExt;

use super::LocalError;
use crate::workspace;

/// kubectl on one cluster.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kubectl<'a>(&'a LocalCluster);

/// Result of a kubectl command.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// kubectl exited with 0.
    pub(crate) success: bool,
    /// Standard output and standard error.
    pub(crate) text: String,
}

impl<'a> Kubectl<'a> {
    pub(super) fn new(cluster: &'a LocalCluster) -> Self {
        Self(cluster)
    }

    /// Runs kubectl. A failed command is a result.
    pub(crate) async fn run<const N: usize>(&self, args: [&str; N]) -> Result<Answer, LocalError> {
        self.run_with(&args, "").await
    }

    /// Runs kubectl. A failed command is an error.
    pub(crate) async fn must<const N: usize>(&self, args: [&str; N]) -> Result<Answer, LocalError> {
        let answer = self.run(args).await?;
        if answer.success { Ok(answer) } else { Err(failed(&args, answer.text)) }
    }

    /// Runs kubectl with `input` on its standard input. A failed command is a result.
    pub(crate) async fn run_with(&self, args: &[&str], input: &str) -> Result<Answer, LocalError> {
        let io = |error: std::io::Error| failed(args, error.to_string());
        let mut child = self
            .0
            .kubectl()
            .args(args)
            .current_dir(workspace::root())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(io)?;
        if let Some(mut stdin) = child.stdin.take() {
            // A command that ends without reading its input reports the cause in its output.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
        let output = child.wait_with_output().await.map_err(io)?;
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned());
        let text = text.iter().filter(|text| !text.is_empty()).cloned().collect::<Vec<_>>().join("\n");
        Ok(Answer { success: output.status.success(), text })
    }
}

fn failed(args: &[&str], answer: String) -> LocalError {
    LocalError::Kubectl { command: args.join(" "), answer }
}
