//! Builds the manager.

use std::{io, path::PathBuf, process::Stdio};

use serde_json::Value;

use crate::{terminal, workspace};

/// How it is optimized.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Seconds after a change; the tests have built most of it already.
    Dev,
    /// Small.
    Release,
    /// As it is shipped: small, and static, so that the image needs no file but this.
    Static,
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
    /// Only Linux with glibc has what a static program is made of.
    #[error("a static program is built on Linux with glibc, not for {0}; build the Dockerfile instead")]
    NotStatic(String),
}

const PROGRAM: &str = "nats-manager";

/// Builds the manager, with cargo's progress shown, and tells where it is.
pub(crate) fn build(profile: Profile) -> Result<PathBuf, BuildError> {
    let mut cargo = workspace::cargo();
    cargo.args(["build", "--package", PROGRAM, "--bin", PROGRAM]);
    if profile != Profile::Dev {
        cargo.arg("--release");
    }
    if profile == Profile::Static {
        // Naming the target keeps the flag from build scripts and macros, which have to be dynamic.
        cargo.args(["--locked", "--target", &target()?]);
        cargo.env("RUSTFLAGS", "-C target-feature=+crt-static").env("NATS_MANAGER_REVISION", revision());
    }
    terminal::typed(terminal::words(&cargo));
    // cargo names the file, wherever the target folder is.
    cargo.arg("--message-format=json-render-diagnostics").stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = cargo.output()?;
    let messages = String::from_utf8_lossy(&output.stdout);
    let program =
        messages.lines().filter_map(|line| serde_json::from_str(line).ok()).find_map(|message| executable(&message));
    program.filter(|_| output.status.success()).ok_or(BuildError::Failed)
}

/// The commit that is built; `unknown` outside of a clone.
pub(crate) fn revision() -> String {
    let git = workspace::command("git").args(["rev-parse", "HEAD"]).output();
    let revision = git.ok().filter(|output| output.status.success());
    revision.map_or_else(|| "unknown".to_owned(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// What rustc builds for here.
fn target() -> Result<String, BuildError> {
    let output = workspace::command("rustc").arg("-vV").output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or("an unknown platform");
    if host.ends_with("-linux-gnu") { Ok(host.to_owned()) } else { Err(BuildError::NotStatic(host.to_owned())) }
}

fn executable(message: &Value) -> Option<PathBuf> {
    let is_ours = message["target"]["name"] == PROGRAM;
    message["executable"].as_str().filter(|_| is_ours).map(PathBuf::from)
}
