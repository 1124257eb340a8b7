//! kubectl as administrator of a cluster.

use std::process::Stdio;

use tokio::{io::AsyncWriteExt, process::Command};

use crate::{Error, LocalCluster, Result, documented::ROOT};

/// The output of a kubectl command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubectlOutput {
    /// The exit code is 0.
    pub is_success: bool,
    /// Standard output.
    pub stdout: String,
    /// Standard error: errors, and warnings of admission.
    pub stderr: String,
}

impl KubectlOutput {
    /// Returns standard output of a command that succeeded, and standard error of one that failed.
    pub fn into_result(self) -> Result<String, String> {
        if self.is_success { Ok(self.stdout) } else { Err(self.stderr) }
    }

    /// Returns both outputs, trimmed, each on lines of its own, as a terminal shows them.
    pub fn text(&self) -> String {
        let outputs = [self.stdout.trim(), self.stderr.trim()];
        outputs.into_iter().filter(|output| !output.is_empty()).collect::<Vec<_>>().join("\n")
    }
}

impl LocalCluster {
    /// Runs kubectl in the root of the checkout, with a text on its standard input. Fails only if kubectl cannot be run.
    pub async fn run_kubectl(&self, args: &[&str], input: &str) -> Result<KubectlOutput> {
        let mut kubectl = self.kubectl();
        kubectl.args(args).current_dir(ROOT);
        run(kubectl, input).await.map_err(Error::io(format!("kubectl {}", args.join(" "))))
    }
}

async fn run(mut command: Command, input: &str) -> std::io::Result<KubectlOutput> {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A command that ends without reading has the cause in its output.
        let _ = stdin.write_all(input.as_bytes()).await;
    }
    let output = child.wait_with_output().await?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    Ok(KubectlOutput { is_success: output.status.success(), stdout, stderr })
}
