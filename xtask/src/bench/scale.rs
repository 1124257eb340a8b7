//! `cargo xtask bench scale`: memory and CPU against the size of what is watched and polled.

use super::{BenchError, BenchRun};

/// Options of the benchmark of this part.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct ScaleOptions {}

/// Takes the measures, prints them, and records them if asked.
pub(super) fn run(_: &ScaleOptions, _: BenchRun) -> Result<(), BenchError> {
    Err(BenchError::NoMeasures("scale"))
}
