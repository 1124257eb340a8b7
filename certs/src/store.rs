//! State of the CA that all replicas share.

use jiff::{SignedDuration, Timestamp};

use crate::{
    Authority, AuthorityError, Certificate, TrustBundle, TrustedCas, authority::LEAF_LIFETIME, validity::after,
};

/// Minimum time for which every published bundle contains a CA before clients depend on its leaves: one minute.
/// Apiservers read configurations from caches with a delay.
pub const PROPAGATION_TIME: SignedDuration = SignedDuration::from_mins(1);

/// Time for which a retired CA stays in the bundle: the lifetime of a leaf, plus an hour for a replica that detects the
/// change late and signs once more.
pub const RETIREMENT: SignedDuration = SignedDuration::from_secs(LEAF_LIFETIME.as_secs() + 60 * 60);

/// Maximum number of retired CAs in a bundle. More than one exists only after damage or a jump of the clock. Those with
/// the earliest time of removal are dropped, so that the bundle stays bounded.
pub const MAX_RETIRED: usize = 4;

/// CA, and the time of its publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announced {
    /// Certificate and key of the CA.
    pub authority: Authority,
    /// Time at which every published bundle contained the CA for the first time; `None` before.
    pub published_at: Option<Timestamp>,
}

/// CA that no longer signs, but whose leaves may be in use. Its key is not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retired {
    /// Certificate of the CA.
    pub certificate: Certificate,
    /// Time from which on no leaf of the CA can be in use.
    pub until: Timestamp,
}

/// CAs of an installation. [`secret`](crate::secret) encodes them as a Secret, and [`rotation`](crate::rotation) plans
/// their lifecycle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaStore {
    /// CA that signs.
    pub current: Announced,
    /// CA that signs once its publication has propagated.
    pub next: Option<Announced>,
    /// CAs that signed before, in descending order of their time of removal; at most [`MAX_RETIRED`].
    pub retired: Vec<Retired>,
    /// CAs of other sources.
    pub trusted: TrustedCas,
}

impl Announced {
    /// Generates a CA that is not published yet.
    pub fn generate(now: Timestamp) -> Result<Self, AuthorityError> {
        Ok(Self { authority: Authority::generate(now)?, published_at: None })
    }

    /// Returns the time from which on clients trust leaves of this CA; `None` while the CA is not published.
    pub fn propagated_at(&self) -> Option<Timestamp> {
        self.published_at.map(|at| after(at, PROPAGATION_TIME))
    }

    /// Returns whether the publication of the CA has propagated at `now`.
    pub fn is_propagated(&self, now: Timestamp) -> bool {
        self.propagated_at().is_some_and(|at| at <= now)
    }
}

impl CaStore {
    /// Generates the first CA of an installation.
    pub fn first(now: Timestamp) -> Result<Self, AuthorityError> {
        Ok(Self::signed_by(Announced::generate(now)?))
    }

    /// Creates a store with one CA.
    pub fn signed_by(current: Announced) -> Self {
        Self { current, next: None, retired: Vec::new(), trusted: TrustedCas::default() }
    }

    /// Returns all stored certificates: the current CA first, then the next one, the retired ones, and those of other
    /// sources.
    pub fn bundle(&self) -> TrustBundle {
        let trusted = self.trusted.entries().iter().map(|ca| ca.certificate.clone());
        self.own_bundle().certificates().iter().cloned().chain(trusted).collect()
    }

    /// Returns the bundle to publish at `now`: all stored certificates, without those whose time of removal has come.
    /// They are removed from the store when they are not published any more.
    pub fn bundle_at(&self, now: Timestamp) -> TrustBundle {
        let retired = self.retired.iter().filter(|retired| now < retired.until).map(|retired| &retired.certificate);
        let own = self.signing().chain(retired).cloned();
        own.chain(self.trusted.bundle_at(now).certificates().iter().cloned()).collect()
    }

    /// Returns the certificates of the own CAs: current, next and retired.
    pub(crate) fn own_bundle(&self) -> TrustBundle {
        self.signing().chain(self.retired.iter().map(|ca| &ca.certificate)).cloned().collect()
    }

    fn signing(&self) -> impl Iterator<Item = &Certificate> {
        let signing = [Some(&self.current), self.next.as_ref()];
        signing.into_iter().flatten().map(|ca| ca.authority.certificate())
    }

    /// Makes `successor` the current CA, and retires the previous one at `now`.
    pub(crate) fn succeeded_by(self, successor: Announced, now: Timestamp) -> Self {
        let certificate = self.current.authority.certificate().clone();
        let last = Retired { certificate, until: after(now, RETIREMENT) };
        let mut store = Self { current: successor, next: None, ..self };
        store.retire([last]);
        store
    }

    /// Adds retired CAs: each only once, and none that still signs.
    pub(crate) fn retire(&mut self, more: impl IntoIterator<Item = Retired>) {
        for retired in more {
            if !self.own_bundle().contains(&retired.certificate) {
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
    fn retired_cas_are_bounded_and_unique() {
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
