//! Spelling, by `typos` from its Python wheel: <https://github.com/crate-ci/typos>. `typos.toml` has the exceptions.

use std::{path::PathBuf, process::Command};

use nats_manager_harness::cache_folder;

use crate::{
    terminal::{self, done, note},
    workspace,
};

const VERSION: &str = "1.52.0";

/// A failed spelling check.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpellingError {
    /// `typos` is not available.
    #[error("cannot install typos {VERSION} with {command}: {cause}")]
    Install { command: String, cause: String },
    /// Mistakes, each printed before.
    #[error("spelling mistakes; correct them, or add exceptions to typos.toml")]
    Mistakes,
    /// No folder for programs.
    #[error(transparent)]
    Cache(#[from] nats_manager_harness::Error),
}

/// Checks the spelling of all files.
pub(super) fn check() -> Result<(), SpellingError> {
    let program = program()?;
    let mut typos = workspace::command(&program.to_string_lossy());
    let output = typos.args(["--format", "brief", "--color", "never"]).output();
    let output = output.map_err(|error| install_error(&typos, error.to_string()))?;
    if output.status.success() {
        done("no spelling mistake");
        return Ok(());
    }
    note(String::from_utf8_lossy(&output.stdout));
    note(String::from_utf8_lossy(&output.stderr));
    Err(SpellingError::Mistakes)
}

/// Returns the path of `typos`, installed into the cache on first use.
fn program() -> Result<PathBuf, SpellingError> {
    let folder = cache_folder()?.join("typos").join(VERSION);
    let program = folder.join("bin/typos");
    if !program.exists() {
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--root-user-action=ignore"]);
        pip.args(["--no-deps", "--target"]).arg(&folder).arg(format!("typos=={VERSION}"));
        terminal::typed(terminal::words(&pip));
        let output = pip.output().map_err(|error| install_error(&pip, error.to_string()))?;
        if !output.status.success() {
            return Err(install_error(&pip, String::from_utf8_lossy(&output.stderr).trim().to_owned()));
        }
    }
    Ok(program)
}

fn install_error(command: &Command, cause: String) -> SpellingError {
    SpellingError::Install { command: terminal::words(command), cause }
}
