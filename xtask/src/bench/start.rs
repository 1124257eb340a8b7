//! `cargo xtask bench start`: time from exec to ready, and its parts.

use super::{BenchError, BenchRun};

/// Options of the benchmark of this part.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct StartOptions {}

/// Takes the measures, prints them, and records them if asked.
pub(super) fn run(_: &StartOptions, _: BenchRun) -> Result<(), BenchError> {
    Err(BenchError::NoMeasures("start"))
}
