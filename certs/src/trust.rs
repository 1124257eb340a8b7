//! Bundle of CA certificates that clients trust, and the verification of leaves with it.

use jiff::Timestamp;
use rustls::{
    RootCertStore,
    client::verify_server_cert_signed_by_trust_anchor,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, UnixTime, pem::PemObject},
    server::ParsedCertificate,
};

use crate::{Certificate, CertificateError, Leaf};

/// Certificates that clients trust, without duplicates, in the order of their addition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustBundle(Vec<Certificate>);

/// Error for a leaf that is not trusted.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TrustError {
    /// No CA in the bundle is valid at this time.
    #[error("no certificate in the trust bundle is a CA that is valid at {0}")]
    NoAuthority(Timestamp),
    /// The leaf is not signed by a CA in the bundle, has expired, is not valid yet, or is not for servers.
    #[error("the served certificate is not trusted: {0}")]
    Refused(#[from] rustls::Error),
    /// The time is before 1970, which the verification does not support.
    #[error("{0} is before 1970")]
    Time(Timestamp),
}

impl TrustBundle {
    /// Parses a bundle. Blank text is an empty bundle, because a `caBundle` is blank before its first publication.
    pub fn from_pem(pem: &[u8]) -> Result<Self, CertificateError> {
        if pem.trim_ascii().is_empty() {
            return Ok(Self::default());
        }
        Ok(Certificate::all_from_pem(pem)?.into_iter().collect())
    }

    /// Parses all readable certificates of a bundle that may be damaged.
    pub fn readable(pem: &[u8]) -> Self {
        CertificateDer::pem_slice_iter(pem).flatten().filter_map(Certificate::parse).collect()
    }

    /// Returns the certificates that all of these bundles contain, in the order of the first. With several
    /// configurations, they are trusted through each of them. Without any bundle, the result is empty.
    pub fn common(bundles: &[Self]) -> Self {
        let Some((first, rest)) = bundles.split_first() else {
            return Self::default();
        };
        let everywhere = |certificate: &&Certificate| rest.iter().all(|b| b.contains(certificate));
        first.0.iter().filter(everywhere).cloned().collect()
    }

    /// Encodes the bundle as PEM, for `caBundle` or `ca.crt`.
    pub fn to_pem(&self) -> String {
        self.0.iter().map(Certificate::to_pem).collect()
    }

    /// Returns all certificates of the bundle.
    pub fn certificates(&self) -> &[Certificate] {
        &self.0
    }

    /// Returns whether the bundle contains no certificate.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether the bundle contains exactly this certificate.
    pub fn contains(&self, certificate: &Certificate) -> bool {
        self.0.contains(certificate)
    }

    /// Verifies that a client that trusts this bundle accepts the leaf at `now`. The name of the server is not
    /// verified: see [`Leaf::is_for`].
    ///
    /// The verification is as strict as that of Go's `crypto/x509`, which the apiserver uses: the CA must be a CA and
    /// valid at `now`, which rustls does not require of a trust anchor. It is also as lenient: a leaf that is itself in
    /// the bundle is trusted without a CA.
    pub fn verify(&self, leaf: &Leaf, now: Timestamp) -> Result<(), TrustError> {
        if self.contains(leaf.certificate()) && leaf.validity().contains(now) {
            return Ok(());
        }
        let mut roots = RootCertStore::empty();
        let is_valid_authority = |ca: &&Certificate| ca.is_authority() && ca.validity().contains(now);
        for authority in self.0.iter().filter(is_valid_authority) {
            roots.add(authority.der().clone())?;
        }
        if roots.is_empty() {
            return Err(TrustError::NoAuthority(now));
        }
        let since_1970 = now.as_duration().try_into().map_err(|_| TrustError::Time(now))?;
        verify_server_cert_signed_by_trust_anchor(
            &ParsedCertificate::try_from(leaf.certificate().der())?,
            &roots,
            leaf.intermediates(),
            UnixTime::since_unix_epoch(since_1970),
            aws_lc_rs::default_provider().signature_verification_algorithms.all,
        )?;
        Ok(())
    }
}

impl FromIterator<Certificate> for TrustBundle {
    fn from_iter<I: IntoIterator<Item = Certificate>>(certificates: I) -> Self {
        let mut bundle = Self::default();
        for certificate in certificates {
            if !bundle.contains(&certificate) {
                bundle.0.push(certificate);
            }
        }
        bundle
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::{Authority, DnsNames, authority::LEAF_LIFETIME, validity::after};

    #[test]
    fn cas_of_same_name_are_distinguished() {
        let now: Timestamp = "2026-02-03T04:05:06Z".parse().unwrap();
        let names = DnsNames { dns: vec!["a".into()], addresses: vec![] };
        let [old, new, foreign] = [(); 3].map(|()| Authority::generate(now).unwrap());
        let bundle = |cas: &[&Authority]| -> TrustBundle { cas.iter().map(|ca| ca.certificate().clone()).collect() };
        for both in [bundle(&[&old, &new]), bundle(&[&new, &old, &new])] {
            assert_eq!(both.certificates().len(), 2, "each once");
            assert_eq!(TrustBundle::from_pem(both.to_pem().as_bytes()).unwrap(), both);
            for (ca, trusted) in [(&old, true), (&new, true), (&foreign, false)] {
                let leaf = ca.issue(&names, now).unwrap();
                assert_eq!(both.verify(&leaf, now).is_ok(), trusted);
                let late = after(now, LEAF_LIFETIME + SignedDuration::from_secs(1));
                both.verify(&leaf, late).unwrap_err();
            }
        }
        let common = TrustBundle::common(&[bundle(&[&old, &new]), bundle(&[&new, &foreign])]);
        assert_eq!(common, bundle(&[&new]));
        assert!(TrustBundle::common(&[]).is_empty());
    }

    #[test]
    fn verification_matches_apiserver() {
        let now: Timestamp = "2026-02-03T04:05:06Z".parse().unwrap();
        let names = DnsNames { dns: vec!["a".into()], addresses: vec![] };
        let ca = Authority::generate(now).unwrap();
        let leaf = ca.issue(&names, now).unwrap();
        let own_bundle: TrustBundle = [leaf.certificate().clone()].into_iter().collect();
        assert_eq!(own_bundle.verify(&leaf, now), Ok(()), "a leaf may stand for itself");
        let other = ca.issue(&names, now).unwrap();
        assert_eq!(own_bundle.verify(&other, now), Err(TrustError::NoAuthority(now)), "but is no CA");
        let empty = TrustBundle::from_pem(b" \n").unwrap();
        assert_eq!(empty.verify(&leaf, now), Err(TrustError::NoAuthority(now)));
        let ended = after(ca.validity().not_after, SignedDuration::from_secs(1));
        let cas: TrustBundle = [ca.certificate().clone()].into_iter().collect();
        assert_eq!(cas.verify(&leaf, ended), Err(TrustError::NoAuthority(ended)));
    }

    #[test]
    fn readable_skips_only_damaged_sections() {
        let now = Timestamp::UNIX_EPOCH;
        let [one, two] = [(); 2].map(|()| Authority::generate(now).unwrap().certificate().clone());
        let damaged = "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
        let pem = format!("{}{damaged}{}", one.to_pem(), two.to_pem());
        assert_eq!(TrustBundle::readable(pem.as_bytes()).certificates(), [one, two]);
    }
}
