//! X.509 certificate that is parsed once. The type contains all facts that the rest of the crate needs.

use std::fmt;

use jiff::Timestamp;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use x509_parser::{certificate::X509Certificate, extensions::ParsedExtension, parse_x509_certificate, time::ASN1Time};

use crate::Validity;

/// Parsed X.509 certificate. Certificates are equal if all their bytes are equal.
#[derive(Clone)]
pub struct Certificate {
    der: CertificateDer<'static>,
    validity: Validity,
    is_authority: bool,
    key_id: Option<Vec<u8>>,
    public_key: Vec<u8>,
}

/// Error for bytes that are not the expected certificates.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// There is no `CERTIFICATE` section.
    #[error("no PEM section CERTIFICATE")]
    Missing,
    /// The PEM is malformed.
    #[error("certificate {position}: {fault}")]
    Pem {
        /// Position of the certificate in the text, from 1.
        position: usize,
        /// Description of the fault.
        fault: &'static str,
    },
    /// The PEM is valid, but its content is not an X.509 certificate.
    #[error("certificate {position}: not an X.509 certificate")]
    X509 {
        /// Position of the certificate in the text, from 1.
        position: usize,
    },
}

impl Certificate {
    /// Parses one certificate; `None` if it is not X.509, is followed by other bytes, or has impossible times.
    pub fn parse(der: CertificateDer<'_>) -> Option<Self> {
        let (rest, x509) = parse_x509_certificate(&der).ok()?;
        if !rest.is_empty() {
            return None;
        }
        let validity = Validity {
            not_before: timestamp(x509.validity().not_before)?,
            not_after: timestamp(x509.validity().not_after)?,
        };
        let is_authority = may_sign_certificates(&x509);
        let key_id = subject_key_id(&x509);
        let public_key = x509.public_key().raw.to_vec();
        Some(Self { der: der.into_owned(), validity, is_authority, key_id, public_key })
    }

    /// Parses all certificates of a PEM text, in their order. Text around the sections, and sections of other kinds,
    /// are skipped.
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

    /// Encodes the certificate as a PEM section that ends with a newline.
    pub fn to_pem(&self) -> String {
        let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
        pem::encode_config(&pem::Pem::new("CERTIFICATE", self.der.as_ref()), config)
    }

    /// Returns the certificate as DER.
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// Returns the validity of the certificate.
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// Returns whether the certificate may sign others: its basic constraints contain CA, and its key usage, if
    /// present, contains keyCertSign.
    pub fn is_authority(&self) -> bool {
        self.is_authority
    }

    /// Returns the subject key identifier in hexadecimal, which distinguishes issuers of the same name. Empty if the
    /// certificate has none.
    pub fn key_id(&self) -> String {
        use fmt::Write as _;
        self.key_id.iter().flatten().fold(String::new(), |mut hex, byte| {
            // Writing to a String cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }

    /// Returns the `SubjectPublicKeyInfo` as DER.
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

/// Describes a fault without a quotation of the text, which may be next to a private key.
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
    let has_signing_usage = match x509.key_usage() {
        Ok(usage) => usage.is_none_or(|usage| usage.value.key_cert_sign()),
        Err(_) => false,
    };
    is_ca && has_signing_usage
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
    fn pem_faults_have_specific_messages() {
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
    fn rejects_bytes_after_certificate() {
        let good = Authority::generate(Timestamp::UNIX_EPOCH).unwrap();
        let mut der = good.certificate().der().to_vec();
        der.push(0);
        assert!(Certificate::parse(der.into()).is_none());
    }
}
