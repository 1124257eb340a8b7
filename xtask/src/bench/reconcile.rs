//! `cargo xtask bench reconcile`: cost of reconciles, beside a client that sends the same writes.

use super::{BenchError, BenchRun};

/// Options of the benchmark of this part.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct ReconcileOptions {}

/// Takes the measures, prints them, and records them if asked.
pub(super) fn run(_: &ReconcileOptions, _: BenchRun) -> Result<(), BenchError> {
    Err(BenchError::NoMeasures("reconcile"))
}
