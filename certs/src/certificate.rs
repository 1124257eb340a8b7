//! One X.509 certificate, read once: what the rest of the crate asks about it is in the type.

use std::fmt;

use jiff::Timestamp;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use x509_parser::{certificate::X509Certificate, extensions::ParsedExtension, parse_x509_certificate, time::ASN1Time};

use crate::Validity;

/// A certificate that parsed as X.509. Equal when every byte is equal.
#[derive(Clone)]
pub struct Certificate {
    der: CertificateDer<'static>,
    validity: Validity,
    authority: bool,
    key_id: Option<Vec<u8>>,
    public_key: Vec<u8>,
}

/// Why bytes are not the certificates they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Not one `CERTIFICATE` section.
    #[error("no PEM section CERTIFICATE")]
    Missing,
    /// Broken PEM; `fault` says how.
    #[error("certificate {position}: {fault}")]
    Pem {
        /// Counted from 1.
        position: usize,
        /// What is broken.
        fault: &'static str,
    },
    /// Whole as PEM, but not an X.509 certificate.
    #[error("certificate {position}: not an X.509 certificate")]
    X509 {
        /// Counted from 1.
        position: usize,
    },
}

impl Certificate {
    /// Reads one certificate; `None` when it is not X.509, has bytes to spare or impossible times.
    pub fn parse(der: CertificateDer<'_>) -> Option<Self> {
        let (rest, x509) = parse_x509_certificate(&der).ok()?;
        if !rest.is_empty() {
            return None;
        }
        let validity = Validity {
            not_before: timestamp(x509.validity().not_before)?,
            not_after: timestamp(x509.validity().not_after)?,
        };
        let authority = may_sign_certificates(&x509);
        let key_id = subject_key_id(&x509);
        let public_key = x509.public_key().raw.to_vec();
        Some(Self { der: der.into_owned(), validity, authority, key_id, public_key })
    }

    /// All certificates of a PEM text, in its order. Text around the sections and sections of
    /// other kinds are skipped.
    pub fn all_from_pem(pem: &[u8]) -> Result<Vec<Self>, CertificateError> {
        let all: Vec<Self> = CertificateDer::pem_slice_iter(pem)
            .zip(1..)
            .map(|(section, position)| {
                let fault = |error| CertificateError::Pem { position, fault: pem_fault(&error) };
                Self::parse(section.map_err(fault)?).ok_or(CertificateError::X509 { position })
            })
            .collect::<Result<_, _>>()?;
        if all.is_empty() { Err(CertificateError::Missing) } else { Ok(all) }
    }

    /// The certificate as a PEM section that ends with a newline.
    pub fn to_pem(&self) -> String {
        let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
        pem::encode_config(&pem::Pem::new("CERTIFICATE", self.der.as_ref()), config)
    }

    /// The certificate as DER.
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// From when until when it holds.
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// Whether it may sign certificates: basic constraints say CA, and the key usage, where there
    /// is one, says keyCertSign.
    pub fn is_authority(&self) -> bool {
        self.authority
    }

    /// The subject key identifier in hexadecimal, by which issuers of the same name are told
    /// apart. Empty when the certificate has none.
    pub fn key_id(&self) -> String {
        use fmt::Write as _;
        self.key_id.iter().flatten().fold(String::new(), |mut hex, byte| {
            // Writing to a String cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }

    /// The `SubjectPublicKeyInfo` as DER.
    pub fn public_key(&self) -> &[u8] {
        &self.public_key
    }
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.der == other.der
    }
}

impl Eq for Certificate {}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("key_id", &self.key_id())
            .field("validity", &self.validity)
            .finish_non_exhaustive()
    }
}

/// What is broken, without quoting the text: it may be next to a private key.
pub(crate) fn pem_fault(error: &rustls::pki_types::pem::Error) -> &'static str {
    use rustls::pki_types::pem::Error;
    match error {
        Error::MissingSectionEnd { .. } => "the PEM section has no END line",
        Error::IllegalSectionStart { .. } => "the PEM section has a malformed BEGIN line",
        Error::Base64Decode(_) => "the PEM section is not base64",
        _ => "not readable as PEM",
    }
}

fn timestamp(time: ASN1Time) -> Option<Timestamp> {
    Timestamp::from_second(time.timestamp()).ok()
}

fn may_sign_certificates(x509: &X509Certificate<'_>) -> bool {
    let is_ca = matches!(x509.basic_constraints(), Ok(Some(constraints)) if constraints.value.ca);
    let signs = match x509.key_usage() {
        Ok(usage) => usage.is_none_or(|usage| usage.value.key_cert_sign()),
        Err(_) => false,
    };
    is_ca && signs
}

fn subject_key_id(x509: &X509Certificate<'_>) -> Option<Vec<u8>> {
    x509.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Authority;

    #[test]
    fn faults_are_named() {
        let good = Authority::generate(Timestamp::UNIX_EPOCH).unwrap().certificate().to_pem();
        let begin = "-----BEGIN CERTIFICATE-----";
        let end = "-----END CERTIFICATE-----";
        let cases = [
            (String::new(), "no PEM section CERTIFICATE"),
            ("hello".into(), "no PEM section CERTIFICATE"),
            (format!("{begin}\nMII\n"), "certificate 1: the PEM section has no END line"),
            ("-----BEGIN CERT--\n".into(), "certificate 1: the PEM section has a malformed BEGIN line"),
            (format!("{good}{begin}\n!!!!\n{end}\n"), "certificate 2: the PEM section is not base64"),
            (format!("{good}{begin}\nMIIB\n{end}\n"), "certificate 2: not an X.509 certificate"),
        ];
        for (pem, text) in cases {
            let error = Certificate::all_from_pem(pem.as_bytes()).unwrap_err();
            assert_eq!(error.to_string(), text, "{pem}");
        }
    }

    #[test]
    fn bytes_after_the_certificate_are_refused() {
        let good = Authority::generate(Timestamp::UNIX_EPOCH).unwrap();
        let mut der = good.certificate().der().to_vec();
        der.push(0);
        assert!(Certificate::parse(der.into()).is_none());
    }
}
