//! Cost of the process itself: memory, and the time until its caches are filled.

use std::{path::Path, time::Duration};

use nats_manager_harness::ResidentMemory;

use super::{
    BenchError,
    measure::{Measure, median, megabytes},
};
use crate::{
    local::{Local, LocalError},
    terminal::note,
};

/// Limit of a start.
pub(super) const START_LIMIT: Duration = Duration::from_secs(30);
const STARTS: usize = 10;

/// Measures the median time from exec to a successful `/readyz`, with nothing to reconcile yet.
pub(super) async fn start(local: &Local, program: &Path) -> Result<Measure, BenchError> {
    let mut times = Vec::with_capacity(STARTS);
    for _ in 0..STARTS {
        let mut manager = local.start_manager(program).await?;
        times.push(manager.wait_until_ready(START_LIMIT).await.map_err(LocalError::from)?);
        manager.terminate().await.map_err(LocalError::from)?;
    }
    Ok(Measure {
        name: "from exec to /readyz (median of 10)",
        value: median(times).as_secs_f64() * 1000.0,
        unit: "ms",
        goal: 150.0,
        tolerance: 3.0,
    })
}

/// Returns resident memory as a measure, and prints its parts.
pub(super) fn memory(memory: ResidentMemory) -> Measure {
    note(format!(
        "resident memory: {:.1} MB heap and stacks, {:.1} MB pages of the program",
        megabytes(memory.anonymous),
        megabytes(memory.files)
    ));
    Measure {
        name: "resident memory at rest, one NATS resource",
        value: megabytes(memory.total),
        unit: "MB",
        goal: 14.0,
        // Most are pages of the program, which depend on the page size and on the toolchain.
        tolerance: 1.1,
    }
}
