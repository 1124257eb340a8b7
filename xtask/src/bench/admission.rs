//! `cargo xtask bench admission`: cost of admission reviews, beside the floor and a Go webhook.

use super::{BenchError, BenchRun};

/// Options of the benchmark of this part.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct AdmissionOptions {}

/// Takes the measures, prints them, and records them if asked.
pub(super) fn run(_: &AdmissionOptions, _: BenchRun) -> Result<(), BenchError> {
    Err(BenchError::NoMeasures("admission"))
}
