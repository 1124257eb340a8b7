//! Published certificates that apiservers have read.

use std::time::{Duration, Instant};

use nats_manager_certs::TrustBundle;

/// Time within which apiservers read a change of a configuration: their watches report it within a second.
const DELAY: Duration = Duration::from_secs(5);

/// Published bundle, and its certificates that have been published for [`DELAY`] without a pause.
#[derive(Debug)]
pub(super) struct PropagatedBundle {
    published: TrustBundle,
    since: Instant,
    propagated: TrustBundle,
}

impl PropagatedBundle {
    pub(super) fn new(now: Instant) -> Self {
        Self { published: TrustBundle::default(), since: now, propagated: TrustBundle::default() }
    }

    /// Records the published bundle. Returns those of its certificates that all apiservers trust.
    pub(super) fn observe(&mut self, published: TrustBundle, now: Instant) -> TrustBundle {
        // Of the bundle that lasted until now, also if this function was not called meanwhile.
        if now.duration_since(self.since) >= DELAY {
            self.propagated.clone_from(&self.published);
        }
        if published != self.published {
            self.propagated = TrustBundle::common(&[published.clone(), self.propagated.clone()]);
            self.published = published;
            self.since = now;
        }
        self.propagated.clone()
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use nats_manager_certs::{Authority, Certificate};

    use super::*;

    #[test]
    fn certificate_is_trusted_when_apiservers_have_read_it() {
        let [a, b] = [(); 2].map(|()| Authority::generate(Timestamp::now()).unwrap().certificate().clone());
        let bundle = |all: &[&Certificate]| all.iter().copied().cloned().collect::<TrustBundle>();
        let begin = Instant::now();
        let mut propagated = PropagatedBundle::new(begin);
        // second, published, trusted
        let steps = [
            (0, bundle(&[&a]), bundle(&[])),
            (4, bundle(&[&a]), bundle(&[])),
            (5, bundle(&[&a]), bundle(&[&a])),
            (60, bundle(&[&a, &b]), bundle(&[&a])),
            (64, bundle(&[&a, &b]), bundle(&[&a])),
            (70, bundle(&[&b]), bundle(&[&b])),
            (71, bundle(&[&a]), bundle(&[])),
            (72, bundle(&[&b]), bundle(&[])),
            (77, bundle(&[&b]), bundle(&[&b])),
        ];
        for (second, published, expected) in steps {
            let trusted = propagated.observe(published, begin + Duration::from_secs(second));
            assert_eq!(trusted, expected, "second {second}");
        }
    }
}
