//! Random numbers that depend only on a seed, a time and a purpose. A scenario without one of its events therefore has
//! the same delays elsewhere.

/// Purposes of random numbers: two draws at one time are independent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Scenarios: cluster, streams, events.
    Scenario = 1,
    /// The StatefulSet controller.
    Controller = 2,
    /// Kubelets.
    Kubelet = 3,
    /// NATS servers.
    Nats = 4,
    /// Watch caches.
    Cache = 5,
    /// The apiserver's errors.
    Api = 6,
    /// The manager's schedule.
    Manager = 7,
}

/// Generator of random numbers (splitmix64).
#[derive(Clone, Copy, Debug)]
pub struct Random(u64);

impl Random {
    /// Builds the generator of a seed, a time and a purpose.
    pub fn new(seed: u64, time: u64, purpose: Purpose) -> Self {
        let mut random =
            Self(seed.wrapping_mul(0xD6E8_FEB8_6659_FD93) ^ time.wrapping_mul(0xA076_1D64_78BD_642F) ^ purpose as u64);
        random.next();
        random
    }

    /// Draws the next number.
    #[expect(clippy::should_implement_trait, reason = "not an iterator: it never ends")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Draws a number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high.saturating_sub(low) + 1)
    }

    /// Returns true in `percent` of all cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }

    /// Draws one of the items; `None` without items.
    pub fn pick<T: Copy>(&mut self, items: &[T]) -> Option<T> {
        let index = self.next() % u64::try_from(items.len()).ok().filter(|len| *len > 0)?;
        items.get(usize::try_from(index).ok()?).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_depend_on_seed_time_and_purpose_only() {
        let draw = |seed, time, purpose| Random::new(seed, time, purpose).next();
        let first = draw(1, 2, Purpose::Nats);
        assert_eq!(first, draw(1, 2, Purpose::Nats));
        for other in [draw(2, 2, Purpose::Nats), draw(1, 3, Purpose::Nats), draw(1, 2, Purpose::Cache)] {
            assert_ne!(first, other);
        }
    }

    #[test]
    fn numbers_stay_within_their_bounds() {
        let mut random = Random::new(7, 7, Purpose::Scenario);
        let all: Vec<u64> = (0..1000).map(|_| random.between(3, 6)).collect();
        assert_eq!((all.iter().min(), all.iter().max()), (Some(&3), Some(&6)));
        assert_eq!(random.pick::<u8>(&[]), None);
    }
}
