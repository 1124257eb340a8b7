//! The certificate authority: a certificate and its key, and the leaves it signs.

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

/// How long a CA holds: 365 days.
pub const AUTHORITY_LIFETIME: SignedDuration = SignedDuration::from_hours(365 * 24);

/// How long a leaf holds: 7 days, or until its CA ends.
pub const LEAF_LIFETIME: SignedDuration = SignedDuration::from_hours(7 * 24);

/// How far before its making a certificate begins, for clients whose clock is behind.
pub const BACKDATED: SignedDuration = SignedDuration::from_mins(10);

const AUTHORITY_NAME: &str = "nats-manager webhook CA";
const LEAF_NAME: &str = "nats-manager webhook";

/// A CA that can sign: its certificate and the key that belongs to it. Cheap to clone. The key is
/// in no `Debug` output and no error.
#[derive(Clone)]
pub struct Authority {
    certificate: Certificate,
    key_pem: Arc<Zeroizing<String>>,
    issuer: Arc<Issuer<'static, KeyPair>>,
}

/// What a server is called: the subject alternative names of its leaf.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DnsNames {
    /// DNS names, such as `<service>.<namespace>.svc`, by which the apiserver calls a webhook.
    pub dns: Vec<String>,
    /// IP addresses.
    pub addresses: Vec<IpAddr>,
}

/// Why there is no CA, or no leaf of it.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The CA's certificate cannot be read.
    #[error("CA certificate: {0}")]
    Certificate(#[from] CertificateError),
    /// More than one certificate where the CA's own should be.
    #[error("CA certificate: {0} certificates where one is expected")]
    Several(usize),
    /// The certificate may not sign others.
    #[error("CA certificate: not a CA (basic constraints or key usage forbid it to sign certificates)")]
    NotAnAuthority,
    /// The CA's key cannot be read or belongs to another certificate.
    #[error("CA key: {0}")]
    Key(#[from] KeyError),
    /// The CA is over, and so would be all its leaves.
    #[error("the CA ended at {0}")]
    Ended(Timestamp),
    /// A leaf without a name is accepted by nobody.
    #[error("a leaf needs at least one DNS name or IP address")]
    NoNames,
    /// Not a DNS name.
    #[error("`{0}` is not a DNS name")]
    Name(String),
    /// The moment lies outside of what a certificate can say.
    #[error("{0} cannot be written into a certificate")]
    Time(Timestamp),
    /// Making a key or signing failed.
    #[error("cannot make a certificate: {0}")]
    Generate(#[from] rcgen::Error),
    /// The leaf just made cannot be used.
    #[error("the leaf just made cannot be used: {0}")]
    Leaf(#[from] LeafError),
}

impl Authority {
    /// A new CA with a new ECDSA P-256 key, valid from [`BACKDATED`] before `now` for
    /// [`AUTHORITY_LIFETIME`].
    ///
    /// All CAs have the same subject; the key identifier, a hash of the key, tells them apart
    /// where two stand in one bundle. So does the serial number, which is made in the same way.
    pub fn generate(now: Timestamp) -> Result<Self, AuthorityError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name(AUTHORITY_NAME);
        params.not_before = date(after(now, -BACKDATED))?;
        params.not_after = date(after(now, AUTHORITY_LIFETIME))?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = read(&params.self_signed(&key)?)?;
        let key_pem = Zeroizing::new(key.serialize_pem());
        Self::new(certificate, key_pem, key)
    }

    /// Reads a CA: exactly one certificate, that of a CA, and its key. Whether it holds at some
    /// time is not asked here.
    pub fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Self, AuthorityError> {
        let mut all = Certificate::all_from_pem(certificate)?;
        let count = all.len();
        let (Some(certificate), 1) = (all.pop(), count) else {
            return Err(AuthorityError::Several(count));
        };
        if !certificate.is_authority() {
            return Err(AuthorityError::NotAnAuthority);
        }
        let pair = KeyPair::try_from(&*key::from_pem(key)?).map_err(|_| KeyError::Unsupported)?;
        if pair.subject_public_key_info() != certificate.public_key() {
            return Err(KeyError::Mismatch.into());
        }
        // Kept as it was read: the pair would write every key as PKCS#8, whatever it is.
        let text = std::str::from_utf8(key).map_err(|_| KeyError::Pem("not text"))?;
        Self::new(certificate, Zeroizing::new(text.to_owned()), pair)
    }

    fn new(certificate: Certificate, key_pem: Zeroizing<String>, key: KeyPair) -> Result<Self, AuthorityError> {
        let issuer = Arc::new(Issuer::from_ca_cert_der(certificate.der(), key)?);
        Ok(Self { certificate, key_pem: Arc::new(key_pem), issuer })
    }

    /// A new leaf with a new key for a server of these names, from [`BACKDATED`] before `now` for
    /// [`LEAF_LIFETIME`], within the life of the CA.
    ///
    /// Where the CA begins after `now`, so does the leaf: this clock is behind, and whoever calls
    /// the server has perhaps the right one.
    pub fn issue(&self, names: &DnsNames, now: Timestamp) -> Result<Leaf, AuthorityError> {
        let life = self.certificate.validity();
        if life.is_over(now) {
            return Err(AuthorityError::Ended(life.not_after));
        }
        let mut key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name(LEAF_NAME);
        params.subject_alt_names = alternative_names(names)?;
        params.not_before = date(after(now, -BACKDATED).max(life.not_before))?;
        params.not_after = date(after(now.max(life.not_before), LEAF_LIFETIME).min(life.not_after))?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = read(&params.signed_by(&key, &self.issuer)?)?;
        let leaf = Leaf::new(&[certificate], &PrivatePkcs8KeyDer::from(key.serialized_der()).into());
        key.zeroize();
        Ok(leaf?)
    }

    /// Whether this CA signed that leaf.
    pub fn signed(&self, leaf: &Leaf) -> bool {
        let alone: TrustBundle = [self.certificate.clone()].into_iter().collect();
        alone.verify(leaf, leaf.validity().not_before).is_ok()
    }

    /// The CA's certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// From when until when the CA holds.
    pub fn validity(&self) -> Validity {
        self.certificate.validity()
    }

    /// The private key as PEM, for storing it.
    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }
}

impl PartialEq for Authority {
    /// The certificate names the key, so it is enough to compare.
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

/// The ASN.1 types of a certificate end with the year 9999 and begin, as UTC time, in 1950.
fn date(at: Timestamp) -> Result<OffsetDateTime, AuthorityError> {
    OffsetDateTime::from_unix_timestamp(at.as_second())
        .ok()
        .filter(|date| (1950..=9999).contains(&date.year()))
        .ok_or(AuthorityError::Time(at))
}

#[cfg(test)]
mod tests;
