//! Write throttle for the webhook configurations, in case another client reverts every write.

use std::time::Duration;

use tokio::time::Instant;

/// Writes without a delay: more than a mishap and the lifetime of a CA require together.
const BURST: u32 = 20;
/// Interval at which one token comes back.
const REFILL_INTERVAL: Duration = Duration::from_secs(10);

/// Token bucket of writes.
pub(super) struct WriteThrottle {
    tokens: u32,
    since: Instant,
}

impl WriteThrottle {
    pub(super) fn new() -> Self {
        Self { tokens: BURST, since: Instant::now() }
    }

    /// Takes one token for a write. Returns the delay until the next write.
    pub(super) fn delay_after_write(&mut self, now: Instant) -> Duration {
        let refilled = now.duration_since(self.since).as_secs() / REFILL_INTERVAL.as_secs();
        if refilled > 0 {
            self.tokens = BURST.min(self.tokens.saturating_add(u32::try_from(refilled).unwrap_or(BURST)));
            self.since = now;
        }
        self.tokens = self.tokens.saturating_sub(1);
        if self.tokens == 0 { REFILL_INTERVAL } else { Duration::ZERO }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throttle_slows_repeated_writes_and_recovers() {
        let mut now = Instant::now();
        let mut write_throttle = WriteThrottle { tokens: BURST, since: now };
        for write in 1..BURST {
            assert_eq!(write_throttle.delay_after_write(now), Duration::ZERO, "write {write}");
        }
        for _ in 0..3 {
            assert_eq!(write_throttle.delay_after_write(now), REFILL_INTERVAL);
            now += REFILL_INTERVAL;
        }
        now += REFILL_INTERVAL * 5;
        for _ in 0..4 {
            assert_eq!(write_throttle.delay_after_write(now), Duration::ZERO);
        }
    }
}
