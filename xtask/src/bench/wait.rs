//! Waits with a limit.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::BenchError;

/// Usual interval between two checks.
pub(super) const POLL: Duration = Duration::from_millis(10);
const LIMIT: Duration = Duration::from_mins(3);

/// Checks a condition in intervals until it is true. Fails after three minutes; `what` is the condition, for the message.
pub(super) async fn until(
    what: &str,
    interval: Duration,
    mut is_done: impl AsyncFnMut() -> Result<bool, BenchError>,
) -> Result<(), BenchError> {
    let started = Instant::now();
    while !is_done().await? {
        if started.elapsed() > LIMIT {
            return Err(BenchError::Counts(format!("not within {} s: {what}", LIMIT.as_secs())));
        }
        sleep(interval).await;
    }
    Ok(())
}
