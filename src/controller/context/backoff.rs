//! Retry delay of each failing resource: grows with jitter until it succeeds.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// The failures in a row of each resource, by uid.
#[derive(Default)]
pub(crate) struct Backoff(Mutex<HashMap<String, Failures>>);

struct Failures {
    since: Instant,
    pauses: ExponentialBackoff,
}

const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_mins(2);

impl Backoff {
    /// One more failure; how long to wait now.
    pub(crate) fn next(&self, uid: &str) -> Duration {
        let mut all = self.all();
        let failures = all.entry(uid.to_owned()).or_insert_with(|| Failures {
            since: Instant::now(),
            pauses: ExponentialBuilder::default()
                .with_min_delay(FIRST)
                .with_max_delay(LONGEST)
                .without_max_times()
                .with_jitter()
                .build(),
        });
        failures.pauses.next().unwrap_or(LONGEST)
    }

    /// For how long it has been failing.
    pub(crate) fn failing_for(&self, uid: &str) -> Duration {
        self.all().get(uid).map_or(Duration::ZERO, |failures| failures.since.elapsed())
    }

    /// It succeeded, or is gone.
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
    fn pauses_grow_up_to_a_limit_and_start_anew_after_a_success() {
        let pauses = Backoff::default();
        let all: Vec<Duration> = (0..14).map(|_| pauses.next("a")).collect();
        assert!(all[0] < FIRST * 2 + Duration::from_millis(1), "{all:?}");
        assert!(all[6] > Duration::from_secs(10), "{all:?}");
        assert!(all.iter().all(|pause| *pause <= LONGEST * 2), "{all:?}");
        assert!(pauses.failing_for("a") > pauses.failing_for("b"));
        pauses.reset("a");
        assert_eq!(pauses.failing_for("a"), Duration::ZERO);
        assert!(pauses.next("a") < FIRST * 2 + Duration::from_millis(1));
    }
}
