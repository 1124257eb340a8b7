//! promtool of Prometheus, which checks rules and evaluates them on given series.

#![allow(clippy::panic, clippy::missing_panics_doc, reason = "what tests share is a test too")]

use std::{io::Write, path::Path, process::Command};

use crate::real::is_required;

/// Runs promtool in a folder. Returns its output if it fails. Where promtool is missing, prints a note and returns
/// `None`.
///
/// # Panics
/// If promtool is missing and CI requires all tests.
pub fn promtool(arguments: &[&str], folder: &Path) -> Option<Result<(), String>> {
    match Command::new("promtool").args(arguments).current_dir(folder).output() {
        Ok(output) if output.status.success() => Some(Ok(())),
        Ok(output) => {
            Some(Err([output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat()))
        }
        Err(error) => {
            assert!(!is_required(), "promtool: {error}; install it with: apt-get install prometheus");
            let note = "LEFT OUT: promtool is not in PATH; install it with: apt-get install prometheus";
            let _ = writeln!(std::io::stderr(), "{note}");
            None
        }
    }
}
