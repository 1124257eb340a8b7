//! Retry delay of each failing resource: grows exponentially, with jitter, until a reconcile succeeds.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// Consecutive failures of each resource, by uid.
#[derive(Default)]
pub(crate) struct Backoff(Mutex<HashMap<String, Failures>>);

struct Failures {
    since: Instant,
    delays: ExponentialBackoff,
}

const MIN_DELAY: Duration = Duration::from_millis(250);
const MAX_DELAY: Duration = Duration::from_mins(2);

impl Backoff {
    /// Records a failure, and returns the delay before the retry.
    pub(crate) fn next(&self, uid: &str) -> Duration {
        let mut all = self.all();
        let failures = all.entry(uid.to_owned()).or_insert_with(|| Failures {
            since: Instant::now(),
            delays: ExponentialBuilder::default()
                .with_min_delay(MIN_DELAY)
                .with_max_delay(MAX_DELAY)
                .without_max_times()
                .with_jitter()
                .build(),
        });
        failures.delays.next().unwrap_or(MAX_DELAY)
    }

    /// Returns the time since the first of the consecutive failures. Zero without a failure.
    pub(crate) fn failing_for(&self, uid: &str) -> Duration {
        self.all().get(uid).map_or(Duration::ZERO, |failures| failures.since.elapsed())
    }

    /// Resets a resource that was reconciled, or is deleted.
    pub(crate) fn reset(&self, uid: &str) {
        self.all().remove(uid);
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, Failures>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_up_to_a_limit_and_restart_after_a_success() {
        let backoff = Backoff::default();
        let all: Vec<Duration> = (0..14).map(|_| backoff.next("a")).collect();
        assert!(all[0] < MIN_DELAY * 2 + Duration::from_millis(1), "{all:?}");
        assert!(all[6] > Duration::from_secs(10), "{all:?}");
        assert!(all.iter().all(|delay| *delay <= MAX_DELAY * 2), "{all:?}");
        assert!(backoff.failing_for("a") > backoff.failing_for("b"));
        backoff.reset("a");
        assert_eq!(backoff.failing_for("a"), Duration::ZERO);
        assert!(backoff.next("a") < MIN_DELAY * 2 + Duration::from_millis(1));
    }
}
