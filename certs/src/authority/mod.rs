//! Certificate authority (CA): a certificate, its key, and the leaves that it signs.

use std::{fmt, net::IpAddr, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData, SanType,
};
use rustls::pki_types::{DnsName, PrivatePkcs8KeyDer};
use time::OffsetDateTime;
use zeroize::{Zeroize, Zeroizing};

use crate::{Certificate, CertificateError, KeyError, Leaf, LeafError, TrustBundle, Validity, key, validity::after};

/// Lifetime of a CA: 365 days.
pub const AUTHORITY_LIFETIME: SignedDuration = SignedDuration::from_hours(365 * 24);

/// Lifetime of a leaf: 7 days, or until its CA expires.
pub const LEAF_LIFETIME: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Time by which the validity of a certificate starts before its creation, for clients whose clock is behind.
pub const BACKDATED: SignedDuration = SignedDuration::from_mins(10);

const AUTHORITY_NAME: &str = "nats-manager webhook CA";
const LEAF_NAME: &str = "nats-manager webhook";

/// CA that can sign: its certificate and the matching key. Cheap to clone. The key appears in no `Debug` output and in
/// no error.
///
/// ```
/// use jiff::Timestamp;
/// use nats_manager_certs::{Authority, DnsNames, TrustBundle};
///
/// let now: Timestamp = "2026-02-03T04:05:06Z".parse()?;
/// let ca = Authority::generate(now)?;
/// let names = DnsNames { dns: vec!["webhook.kyma-system.svc".into()], addresses: vec![] };
/// let leaf = ca.issue(&names, now)?;
/// assert!(leaf.is_for("webhook.kyma-system.svc"));
///
/// let trusted: TrustBundle = [ca.certificate().clone()].into_iter().collect();
/// trusted.verify(&leaf, now)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Authority {
    certificate: Certificate,
    key_pem: Arc<Zeroizing<String>>,
    issuer: Arc<Issuer<'static, KeyPair>>,
}

/// Names of a server: the subject alternative names of its leaf.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DnsNames {
    /// DNS names, such as `<service>.<namespace>.svc`, under which the apiserver calls a webhook.
    pub dns: Vec<String>,
    /// IP addresses under which clients call the server.
    pub addresses: Vec<IpAddr>,
}

/// Error of the creation or the parsing of a CA, or of the creation of a leaf.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The CA's certificate cannot be parsed.
    #[error("CA certificate: {0}")]
    Certificate(#[from] CertificateError),
    /// There is more than one certificate instead of the CA's own.
    #[error("CA certificate: {0} certificates where one is expected")]
    Multiple(usize),
    /// The certificate may not sign others.
    #[error("CA certificate: not a CA (basic constraints or key usage forbid it to sign certificates)")]
    NotAnAuthority,
    /// The CA's key cannot be parsed, or belongs to another certificate.
    #[error("CA key: {0}")]
    Key(#[from] KeyError),
    /// The CA has expired, so that all its leaves would have expired as well.
    #[error("the CA ended at {0}")]
    Expired(Timestamp),
    /// There is no name for the leaf, which no client would accept.
    #[error("a leaf needs at least one DNS name or IP address")]
    NoNames,
    /// The name is not a DNS name.
    #[error("`{0}` is not a DNS name")]
    Name(String),
    /// The time cannot be expressed in a certificate.
    #[error("{0} cannot be written into a certificate")]
    Time(Timestamp),
    /// The creation of a key or a signature failed.
    #[error("cannot make a certificate: {0}")]
    Generate(#[from] rcgen::Error),
    /// The new leaf cannot be used.
    #[error("the leaf just made cannot be used: {0}")]
    Leaf(#[from] LeafError),
}

impl Authority {
    /// Generates a CA with a new ECDSA P-256 key, valid from [`BACKDATED`] before `now` until [`AUTHORITY_LIFETIME`]
    /// after it.
    ///
    /// All CAs have the same subject. Within one bundle, the key identifier, which is a hash of the key, distinguishes
    /// them, as does the serial number, which is generated in the same way.
    pub fn generate(now: Timestamp) -> Result<Self, AuthorityError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name(AUTHORITY_NAME);
        params.not_before = to_asn1_date(after(now, -BACKDATED))?;
        params.not_after = to_asn1_date(after(now, AUTHORITY_LIFETIME))?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = read(&params.self_signed(&key)?)?;
        let key_pem = Zeroizing::new(key.serialize_pem());
        Self::new(certificate, key_pem, key)
    }

    /// Parses a CA: exactly one certificate, which must be that of a CA, and its key. Its validity at some time is not
    /// checked.
    pub fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Self, AuthorityError> {
        let mut all = Certificate::all_from_pem(certificate)?;
        let count = all.len();
        let (Some(certificate), 1) = (all.pop(), count) else {
            return Err(AuthorityError::Multiple(count));
        };
        if !certificate.is_authority() {
            return Err(AuthorityError::NotAnAuthority);
        }
        let pair = KeyPair::try_from(&*key::from_pem(key)?).map_err(|_| KeyError::Unsupported)?;
        if pair.subject_public_key_info() != certificate.public_key() {
            return Err(KeyError::Mismatch.into());
        }
        // The text is kept, because the pair would encode a key of any format as PKCS#8.
        let text = std::str::from_utf8(key).map_err(|_| KeyError::Pem("not text"))?;
        Self::new(certificate, Zeroizing::new(text.to_owned()), pair)
    }

    fn new(certificate: Certificate, key_pem: Zeroizing<String>, key: KeyPair) -> Result<Self, AuthorityError> {
        let issuer = Arc::new(Issuer::from_ca_cert_der(certificate.der(), key)?);
        Ok(Self { certificate, key_pem: Arc::new(key_pem), issuer })
    }

    /// Issues a leaf with a new key for a server of these names, valid from [`BACKDATED`] before `now` until
    /// [`LEAF_LIFETIME`] after it, within the validity of the CA.
    ///
    /// If the validity of the CA starts after `now`, so does that of the leaf: the local clock is behind, whereas the
    /// clocks of clients may be correct.
    pub fn issue(&self, names: &DnsNames, now: Timestamp) -> Result<Leaf, AuthorityError> {
        let validity = self.certificate.validity();
        if validity.is_expired(now) {
            return Err(AuthorityError::Expired(validity.not_after));
        }
        let mut key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name(LEAF_NAME);
        params.subject_alt_names = alternative_names(names)?;
        params.not_before = to_asn1_date(after(now, -BACKDATED).max(validity.not_before))?;
        params.not_after = to_asn1_date(after(now.max(validity.not_before), LEAF_LIFETIME).min(validity.not_after))?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = read(&params.signed_by(&key, &self.issuer)?)?;
        let leaf = Leaf::new(&[certificate], &PrivatePkcs8KeyDer::from(key.serialized_der()).into());
        key.zeroize();
        Ok(leaf?)
    }

    /// Returns whether this CA `has_signed` the leaf.
    pub fn has_signed(&self, leaf: &Leaf) -> bool {
        let own_bundle: TrustBundle = [self.certificate.clone()].into_iter().collect();
        own_bundle.verify(leaf, leaf.validity().not_before).is_ok()
    }

    /// Returns the CA's certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Returns the validity of the CA.
    pub fn validity(&self) -> Validity {
        self.certificate.validity()
    }

    /// Returns the private key as PEM, to be stored.
    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }
}

impl PartialEq for Authority {
    /// Compares only the certificates, because a certificate identifies its key.
    fn eq(&self, other: &Self) -> bool {
        self.certificate == other.certificate
    }
}

impl Eq for Authority {}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

fn read(made: &rcgen::Certificate) -> Result<Certificate, CertificateError> {
    Certificate::parse(made.der().clone()).ok_or(CertificateError::X509 { position: 1 })
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn alternative_names(names: &DnsNames) -> Result<Vec<SanType>, AuthorityError> {
    let dns = names.dns.iter().map(|name| {
        let invalid = || AuthorityError::Name(name.clone());
        DnsName::try_from(name.as_str()).map_err(|_| invalid())?;
        Ok(SanType::DnsName(name.clone().try_into().map_err(|_| invalid())?))
    });
    let addresses = names.addresses.iter().map(|address| Ok(SanType::IpAddress(*address)));
    let all = dns.chain(addresses).collect::<Result<Vec<_>, AuthorityError>>()?;
    if all.is_empty() { Err(AuthorityError::NoNames) } else { Ok(all) }
}

/// Converts a time for a certificate, whose ASN.1 types cover only the years 1950 (as UTC time) to 9999.
fn to_asn1_date(at: Timestamp) -> Result<OffsetDateTime, AuthorityError> {
    OffsetDateTime::from_unix_timestamp(at.as_second())
        .ok()
        .filter(|date| (1950..=9999).contains(&date.year()))
        .ok_or(AuthorityError::Time(at))
}

#[cfg(test)]
mod tests;
