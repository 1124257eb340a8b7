//! Children that could not be applied: the same attempt is not repeated before a delay, which grows.
//!
//! The other children and the servers need more frequent reconciles than a request that is expected to fail again.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::overridden::content_hash;

/// The last failed attempt of each kind.
#[derive(Debug, Default)]
pub(crate) struct RefusedWrites(BTreeMap<&'static str, RefusedWrite>);

#[derive(Debug)]
struct RefusedWrite {
    /// Hashes of the desired object and of the live one.
    objects: (u64, Option<u64>),
    message: String,
    at: Instant,
    delay: Duration,
}

const MIN_DELAY: Duration = Duration::from_millis(250);
const MAX_DELAY: Duration = Duration::from_secs(30);

impl RefusedWrites {
    /// Returns the message of the failed attempt. `None` if an attempt is due.
    pub(super) fn pending(&self, kind: &str, live: Option<&Value>, desired: &Value, now: Instant) -> Option<String> {
        let write = self.0.get(kind).filter(|write| write.objects == objects(live, desired))?;
        (!write.rest(now).is_zero()).then(|| write.message.clone())
    }

    /// Returns the time until the next attempt of any kind is due. `None` if none has failed.
    pub(crate) fn retry_in(&self, now: Instant) -> Option<Duration> {
        self.0.values().map(|write| write.rest(now)).min()
    }

    /// Records a failed attempt. The delay doubles while both objects are the same.
    pub(super) fn record(
        &mut self,
        kind: &'static str,
        live: Option<&Value>,
        desired: &Value,
        message: String,
        now: Instant,
    ) {
        let objects = objects(live, desired);
        let before = self.0.get(kind).filter(|write| write.objects == objects);
        let delay = before.map_or(MIN_DELAY, |write| (write.delay * 2).min(MAX_DELAY));
        self.0.insert(kind, RefusedWrite { objects, message, at: now, delay });
    }

    /// Keeps only the records of these kinds.
    pub(super) fn retain(&mut self, is_kept: impl Fn(&str) -> bool) {
        self.0.retain(|kind, _| is_kept(kind));
    }

    /// Removes the record of a child that was applied.
    pub(super) fn clear(&mut self, kind: &str) {
        self.0.remove(kind);
    }
}

impl RefusedWrite {
    fn rest(&self, now: Instant) -> Duration {
        self.delay.saturating_sub(now.duration_since(self.at))
    }
}

fn objects(live: Option<&Value>, desired: &Value) -> (u64, Option<u64>) {
    (desired_hash(desired), live.map(content_hash))
}

/// Returns a hash of the desired object without the password, which is generated for each attempt.
fn desired_hash(desired: &Value) -> u64 {
    let mut desired = desired.clone();
    if desired.get("kind").and_then(Value::as_str) == Some("Secret")
        && let Some(fields) = desired.as_object_mut()
    {
        fields.remove("data");
    }
    content_hash(&desired)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn failed_attempt_is_repeated_after_a_delay_or_a_change() {
        let (begin, desired, live) = (Instant::now(), json!({"a": 1}), json!({"b": 1}));
        let at = |millis: u64| begin + Duration::from_millis(millis);
        let mut refused = RefusedWrites::default();
        let is_pending = |refused: &RefusedWrites, live: Option<&Value>, desired: &Value, millis: u64| {
            refused.pending("Service", live, desired, at(millis)).as_deref() == Some("no")
        };
        assert!(!is_pending(&refused, Some(&live), &desired, 0));
        for (attempt, delay) in [(0, 250), (1000, 500), (2000, 1000)] {
            refused.record("Service", Some(&live), &desired, "no".to_owned(), at(attempt));
            assert!(is_pending(&refused, Some(&live), &desired, attempt + delay - 1), "{delay}");
            assert!(!is_pending(&refused, Some(&live), &desired, attempt + delay), "{delay}");
        }
        for (live, desired) in [(Some(&desired), &desired), (None, &desired), (Some(&live), &live)] {
            assert!(!is_pending(&refused, live, desired, 2001), "a change is a reason to try again");
        }
        for _ in 0..20 {
            refused.record("Service", Some(&live), &desired, "no".to_owned(), at(3000));
        }
        assert_eq!(refused.retry_in(at(3000)), Some(MAX_DELAY));
        assert_eq!(refused.retry_in(at(3000) + MAX_DELAY), Some(Duration::ZERO));
        let secret = |password: &str| json!({"kind": "Secret", "data": {"resolver.conf": password}});
        refused.record("Secret", None, &secret("a"), "no".to_owned(), at(0));
        assert!(refused.pending("Secret", None, &secret("b"), at(1)).is_some());
        refused.clear("Service");
        assert!(!is_pending(&refused, Some(&live), &desired, 3001));
    }
}
