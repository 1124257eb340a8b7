//! CAs that are trusted in addition to those of the leader, each until its end.
//!
//! Replicas may take their certificates from different sources at the same time: while the source is changed, or while
//! another CA is mounted. The leader publishes the CAs of its own source, and those of this list. Any replica adds the
//! CA of its certificate if clients do not trust it yet, and renews the entry for as long as it needs it. The leader
//! adds what is published and would be removed, and removes entries that have ended or that it publishes itself.

use jiff::{SignedDuration, Timestamp};

use crate::{Certificate, TrustBundle, rotation::CLOCK_TOLERANCE, validity::after};

/// Time for which an entry is trusted after its last renewal.
pub const OVERLAP: SignedDuration = SignedDuration::from_hours(1);

/// Maximum number of entries. Those with the earliest end are dropped, so that the bundle stays bounded.
pub const MAX_TRUSTED: usize = 16;

/// Maximum size of a certificate in the list, as DER. Larger ones are not added.
pub const MAX_CERTIFICATE_BYTES: usize = 16 * 1024;

/// CA that is trusted until a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedCa {
    /// Certificate of the CA, or a certificate that is served and stands for itself.
    pub certificate: Certificate,
    /// End of the trust.
    pub until: Timestamp,
}

/// List of the CAs that are trusted in addition: each once, in descending order of their ends; at most [`MAX_TRUSTED`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedCas(Vec<TrustedCa>);

impl TrustedCas {
    /// Creates a list from stored entries.
    pub fn new(entries: Vec<TrustedCa>) -> Self {
        let mut list = Self::default();
        for entry in entries {
            if list.end_of(&entry.certificate).is_none() {
                list.0.push(entry);
            }
        }
        list.sort();
        list
    }

    /// Returns all entries, including those that have ended.
    pub fn entries(&self) -> &[TrustedCa] {
        &self.0
    }

    /// Returns all certificates, including those of entries that have ended.
    pub fn bundle(&self) -> TrustBundle {
        self.0.iter().map(|entry| entry.certificate.clone()).collect()
    }

    /// Returns the certificates that are trusted at `now`.
    pub fn bundle_at(&self, now: Timestamp) -> TrustBundle {
        self.0.iter().filter(|entry| now < entry.until).map(|entry| entry.certificate.clone()).collect()
    }

    /// Returns the end of the trust in a certificate; `None` if it is not in the list.
    pub fn end_of(&self, certificate: &Certificate) -> Option<Timestamp> {
        self.0.iter().find(|entry| entry.certificate == *certificate).map(|entry| entry.until)
    }

    /// Returns the list with these certificates, each trusted for [`OVERLAP`] from now on. Certificates that have
    /// expired or are too large are left out.
    #[must_use]
    pub fn with(mut self, certificates: &[Certificate], now: Timestamp) -> Self {
        let until = after(now, OVERLAP);
        for certificate in certificates {
            if certificate.validity().is_expired(now) || certificate.der().len() > MAX_CERTIFICATE_BYTES {
                continue;
            }
            match self.0.iter_mut().find(|entry| entry.certificate == *certificate) {
                Some(entry) => entry.until = entry.until.max(until),
                None => self.0.push(TrustedCa { certificate: certificate.clone(), until }),
            }
        }
        self.sort();
        self
    }

    /// Returns the list that the leader stores, given the CAs of its own source and the bundle that every configuration
    /// contains:
    ///
    /// - Published certificates that neither the source nor the list contains are added.
    /// - Entries that have ended are removed once they are not published.
    /// - Entries that the source contains are removed once they are published.
    /// - Ends that only a clock that was ahead can have written are corrected.
    #[must_use]
    pub fn reviewed(&self, source: &TrustBundle, published: &TrustBundle, now: Timestamp) -> Self {
        let latest = after(now, OVERLAP);
        let is_kept = |entry: &&TrustedCa| {
            let is_published = published.contains(&entry.certificate);
            if source.contains(&entry.certificate) { !is_published } else { now < entry.until || is_published }
        };
        let correct = |entry: &TrustedCa| {
            let is_ahead = entry.until > after(latest, CLOCK_TOLERANCE);
            TrustedCa { until: if is_ahead { latest } else { entry.until }, ..entry.clone() }
        };
        let kept = Self(self.0.iter().filter(is_kept).map(correct).collect());
        kept.with(&self.unknown(source, published), now)
    }

    /// Returns the published certificates that neither the source nor the list contains, the newest first: if there are
    /// more than are kept, those are the most likely to be in use.
    pub(crate) fn unknown(&self, source: &TrustBundle, published: &TrustBundle) -> Vec<Certificate> {
        let is_unknown =
            |certificate: &&Certificate| !source.contains(certificate) && self.end_of(certificate).is_none();
        let mut unknown: Vec<Certificate> = published.certificates().iter().filter(is_unknown).cloned().collect();
        unknown.sort_by_key(|certificate| std::cmp::Reverse(certificate.validity().not_before));
        unknown
    }

    /// Sorts by the end. The sort is stable, so of equal ends the first one added is kept the longest.
    fn sort(&mut self) {
        self.0.sort_by_key(|entry| std::cmp::Reverse(entry.until));
        self.0.truncate(MAX_TRUSTED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Authority, authority::AUTHORITY_LIFETIME};

    fn now() -> Timestamp {
        "2026-02-03T04:05:06Z".parse().unwrap()
    }

    fn ca(at: Timestamp) -> Certificate {
        Authority::generate(at).unwrap().certificate().clone()
    }

    fn bundle(certificates: &[&Certificate]) -> TrustBundle {
        certificates.iter().copied().cloned().collect()
    }

    #[test]
    fn leader_keeps_what_is_in_use_and_removes_the_rest() {
        let [own, other] = [(); 2].map(|()| ca(now()));
        let expired = ca(after(now(), -AUTHORITY_LIFETIME * 2));
        let minutes = SignedDuration::from_mins;
        let listed = |minute| {
            TrustedCas::new(vec![TrustedCa { certificate: other.clone(), until: after(now(), minutes(minute)) }])
        };
        let none = TrustedCas::default();
        // list, published, minute of the end of `other` afterwards
        let cases = [
            ("nothing", none.clone(), bundle(&[&own]), None),
            ("published by another source", none.clone(), bundle(&[&own, &other]), Some(60)),
            ("published and expired", none.clone(), bundle(&[&own, &expired]), None),
            ("announced, not published", listed(60), bundle(&[&own]), Some(60)),
            ("announced and published", listed(30), bundle(&[&own, &other]), Some(30)),
            ("ended, still published", listed(0), bundle(&[&own, &other]), Some(0)),
            ("ended", listed(0), bundle(&[&own]), None),
            ("written by a clock that was ahead", listed(600), bundle(&[&own]), Some(60)),
            ("written by a clock that is a little ahead", listed(61), bundle(&[&own]), Some(61)),
        ];
        for (case, list, published, expected) in cases {
            let reviewed = list.reviewed(&bundle(&[&own]), &published, now());
            assert_eq!(reviewed.end_of(&other), expected.map(|minute| after(now(), minutes(minute))), "{case}");
            assert_eq!(reviewed.end_of(&own), None, "{case}");
            assert_eq!(reviewed.reviewed(&bundle(&[&own]), &published, now()), reviewed, "{case}: stable");
        }
        // The leader has the source of the entry itself now.
        for (published, expected) in [(bundle(&[]), true), (bundle(&[&other]), false)] {
            let reviewed = listed(60).reviewed(&bundle(&[&other]), &published, now());
            assert_eq!(reviewed.end_of(&other).is_some(), expected);
        }
    }

    #[test]
    fn ended_entry_is_not_trusted_and_renewed_one_is() {
        let other = ca(now());
        let list = TrustedCas::default().with(std::slice::from_ref(&other), now());
        let end = after(now(), OVERLAP);
        assert!(list.bundle_at(after(end, -SignedDuration::from_secs(1))).contains(&other));
        assert!(list.bundle_at(end).is_empty() && list.bundle().contains(&other));
        let renewed = list.clone().with(std::slice::from_ref(&other), after(now(), SignedDuration::from_mins(30)));
        assert_eq!(renewed.entries().len(), 1);
        assert!(renewed.bundle_at(end).contains(&other));
        let earlier = renewed.clone().with(&[other], now());
        assert_eq!(earlier, renewed, "a clock that is behind shortens nothing");
    }

    #[test]
    fn list_is_bounded_in_number_and_size() {
        let mut list = TrustedCas::default();
        let mut all = Vec::new();
        for second in 0..20 {
            let at = after(now(), SignedDuration::from_secs(second));
            all.push(ca(at));
            list = list.with(&all[all.len() - 1..], at);
        }
        assert_eq!(list.entries().len(), MAX_TRUSTED);
        assert!(list.end_of(&all[3]).is_none() && list.end_of(&all[4]).is_some(), "the earliest ends are dropped");
        let published: TrustBundle = all.iter().cloned().collect();
        let reviewed = TrustedCas::default().reviewed(&TrustBundle::default(), &published, after(now(), OVERLAP));
        assert_eq!(reviewed.entries().len(), MAX_TRUSTED);
        assert!(reviewed.end_of(&all[3]).is_none() && reviewed.end_of(&all[4]).is_some(), "the oldest are dropped");

        let key = rcgen::KeyPair::generate().unwrap();
        let names: Vec<String> = (0..2000).map(|number| format!("name-{number}.example.com")).collect();
        let large = rcgen::CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
        let large = Certificate::parse(large.der().clone()).unwrap();
        assert!(large.der().len() > MAX_CERTIFICATE_BYTES);
        assert!(TrustedCas::default().with(&[large], now()).entries().is_empty());
    }
}
