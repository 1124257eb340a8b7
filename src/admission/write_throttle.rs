//! How fast configurations are mended, against somebody who changes them each time that we do.

use std::time::Duration;

use tokio::time::Instant;

/// So many writes go without a pause: more than a mishap and the life of a CA take together.
const FREE: u32 = 20;
/// After this time there is one more.
const COMES_BACK: Duration = Duration::from_secs(10);

/// How many writes go without a pause now.
pub(super) struct WriteThrottle {
    free: u32,
    since: Instant,
}

impl WriteThrottle {
    pub(super) fn new() -> Self {
        Self { free: FREE, since: Instant::now() }
    }

    /// How long to wait after a write, before the next.
    pub(super) fn after_a_write(&mut self, now: Instant) -> Duration {
        let back = now.duration_since(self.since).as_secs() / COMES_BACK.as_secs();
        if back > 0 {
            self.free = FREE.min(self.free.saturating_add(u32::try_from(back).unwrap_or(FREE)));
            self.since = now;
        }
        self.free = self.free.saturating_sub(1);
        if self.free == 0 { COMES_BACK } else { Duration::ZERO }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slows_down_in_a_fight_and_recovers_after_it() {
        let mut now = Instant::now();
        let mut write_throttle = WriteThrottle { free: FREE, since: now };
        for write in 1..FREE {
            assert_eq!(write_throttle.after_a_write(now), Duration::ZERO, "write {write}");
        }
        for _ in 0..3 {
            assert_eq!(write_throttle.after_a_write(now), COMES_BACK);
            now += COMES_BACK;
        }
        now += COMES_BACK * 5;
        for _ in 0..4 {
            assert_eq!(write_throttle.after_a_write(now), Duration::ZERO);
        }
    }
}
