//! `cargo xtask deny`: checks the dependencies against `deny.toml` with cargo-deny.

use std::{io, process::ExitStatus};

use crate::{terminal, workspace};

/// A dependency violates `deny.toml`, or the check could not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DenyError {
    /// cargo-deny is not in `PATH`.
    #[error("cargo-deny is not installed; install it with: cargo install --locked cargo-deny")]
    NotInstalled,
    /// cargo-deny ended with a failure and printed the findings.
    #[error("cargo deny check: {0}")]
    Failed(ExitStatus),
    /// cargo itself could not be started.
    #[error("cargo deny: {0}")]
    Io(#[from] io::Error),
}

/// Runs `cargo deny --workspace check`. Without `--workspace` only the dependencies of the manager are checked.
pub(crate) fn run() -> Result<(), DenyError> {
    if !workspace::cargo().args(["deny", "--version"]).output()?.status.success() {
        return Err(DenyError::NotInstalled);
    }
    let mut check = workspace::cargo();
    check.args(["deny", "--workspace", "check"]);
    terminal::typed(terminal::words(&check));
    let status = check.status()?;
    if status.success() { Ok(()) } else { Err(DenyError::Failed(status)) }
}
