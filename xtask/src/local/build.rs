//! Builds the manager.

use std::{io, path::PathBuf, process::Stdio};

use serde_json::Value;

use crate::{terminal, workspace};

/// How it is optimized.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Seconds after a change; the tests have built most of it already.
    Dev,
    /// As it is shipped.
    Release,
}

/// There is no manager to run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildError {
    /// cargo cannot be run.
    #[error("cargo: {0}")]
    Cargo(#[from] io::Error),
    /// It does not compile.
    #[error("nats-manager does not build; cargo says why above")]
    Failed,
}

const PROGRAM: &str = "nats-manager";

/// Builds the manager, with cargo's progress shown, and tells where it is.
pub(crate) fn build(profile: Profile) -> Result<PathBuf, BuildError> {
    let mut cargo = workspace::cargo();
    cargo.args(["build", "--package", PROGRAM, "--bin", PROGRAM]);
    cargo.args((profile == Profile::Release).then_some("--release"));
    terminal::typed(terminal::words(&cargo));
    // cargo names the file, wherever the target folder is.
    cargo.arg("--message-format=json-render-diagnostics").stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = cargo.output()?;
    let messages = String::from_utf8_lossy(&output.stdout);
    let program =
        messages.lines().filter_map(|line| serde_json::from_str(line).ok()).find_map(|message| executable(&message));
    program.filter(|_| output.status.success()).ok_or(BuildError::Failed)
}

fn executable(message: &Value) -> Option<PathBuf> {
    let is_ours = message["target"]["name"] == PROGRAM;
    message["executable"].as_str().filter(|_| is_ours).map(PathBuf::from)
}
