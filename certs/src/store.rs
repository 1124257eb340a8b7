//! What all replicas share about the CA, as a value.

use jiff::{SignedDuration, Timestamp};

use crate::{Authority, AuthorityError, Certificate, TrustBundle, authority::LEAF_LIFETIME, validity::after};

/// How long a CA has to stand in every published bundle before it signs what others depend on:
/// one minute. Apiservers read configurations from caches that lag.
pub const SETTLING_TIME: SignedDuration = SignedDuration::from_mins(1);

/// How long a retired CA stays in the bundle: the life of a leaf, and an hour for a replica that
/// learns of the change late and signs once more.
pub const RETIREMENT: SignedDuration = SignedDuration::from_secs(LEAF_LIFETIME.as_secs() + 60 * 60);

/// How many retired CAs a bundle keeps. More than one is there only after damage or a clock that
/// jumped; the ones to go first are dropped, so that nothing grows for ever.
pub const MAX_RETIRED: usize = 4;

/// A CA, and since when clients have known it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announced {
    /// The CA.
    pub authority: Authority,
    /// When it was first seen in every published bundle; `None` before.
    pub published_at: Option<Timestamp>,
}

/// A CA that signs no more but whose leaves may be in use. Its key is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retired {
    /// Its certificate.
    pub certificate: Certificate,
    /// From when on no leaf of it can be in use.
    pub until: Timestamp,
}

/// The CAs of an installation. [`secret`](crate::secret) lays them out in a Secret,
/// [`rotation`](crate::rotation) leads them through their lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaStore {
    /// The CA that signs.
    pub current: Announced,
    /// The CA that will sign once its publication has settled.
    pub next: Option<Announced>,
    /// CAs that signed before, the ones to stay longest first; at most [`MAX_RETIRED`].
    pub retired: Vec<Retired>,
}

impl Announced {
    /// A new CA that nobody knows yet.
    pub fn generate(now: Timestamp) -> Result<Self, AuthorityError> {
        Ok(Self { authority: Authority::generate(now)?, published_at: None })
    }

    /// When leaves of this CA may be depended on; `None` while it is not published.
    pub fn settles_at(&self) -> Option<Timestamp> {
        self.published_at.map(|at| after(at, SETTLING_TIME))
    }

    /// Whether its publication has settled at `now`.
    pub fn is_settled(&self, now: Timestamp) -> bool {
        self.settles_at().is_some_and(|at| at <= now)
    }
}

impl CaStore {
    /// The first CA of an installation.
    pub fn first(now: Timestamp) -> Result<Self, AuthorityError> {
        Ok(Self { current: Announced::generate(now)?, next: None, retired: Vec::new() })
    }

    /// What to publish: the current CA first, then the next, then the retired.
    pub fn bundle(&self) -> TrustBundle {
        let signing = [Some(&self.current), self.next.as_ref()];
        let signing = signing.into_iter().flatten().map(|ca| ca.authority.certificate());
        signing.chain(self.retired.iter().map(|ca| &ca.certificate)).cloned().collect()
    }

    /// The same with `successor` as the current CA; the one before is retired at `now`.
    pub(crate) fn succeeded_by(self, successor: Announced, now: Timestamp) -> Self {
        let certificate = self.current.authority.certificate().clone();
        let last = Retired { certificate, until: after(now, RETIREMENT) };
        let mut store = Self { current: successor, next: None, retired: self.retired };
        store.retire([last]);
        store
    }

    /// Adds to the retired, each once and none that still signs.
    pub(crate) fn retire(&mut self, more: impl IntoIterator<Item = Retired>) {
        for retired in more {
            if !self.bundle().contains(&retired.certificate) {
                self.retired.push(retired);
            }
        }
        self.retired.sort_by_key(|retired| std::cmp::Reverse(retired.until));
        self.retired.truncate(MAX_RETIRED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retired_are_bounded_and_unique() {
        let now = Timestamp::UNIX_EPOCH;
        let mut store = CaStore::first(now).unwrap();
        let first = store.current.authority.certificate().clone();
        store.retire([Retired { certificate: first.clone(), until: now }]);
        assert!(store.retired.is_empty(), "the current CA is not retired");
        for hour in 0..10 {
            let at = after(now, SignedDuration::from_hours(hour));
            store = store.succeeded_by(Announced::generate(at).unwrap(), at);
        }
        assert_eq!(store.retired.len(), MAX_RETIRED);
        assert_eq!(store.bundle().certificates().len(), 1 + MAX_RETIRED);
        assert_eq!(&store.bundle().certificates()[0], store.current.authority.certificate());
        assert!(!store.bundle().contains(&first), "the first to go is the oldest");
    }
}
