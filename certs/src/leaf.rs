//! Leaf: the certificate chain that a TLS server presents, and the key of its first certificate.

use std::{fmt, sync::Arc};

use rustls::{
    crypto::aws_lc_rs::sign::any_supported_type,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName},
    server::ParsedCertificate,
    sign::CertifiedKey,
};

use crate::{Certificate, CertificateError, KeyError, Validity, key};

/// Certificate that is ready to be served, either issued by an [`Authority`](crate::Authority) or mounted. Cheap to
/// clone. The key appears in no `Debug` output.
#[derive(Clone)]
pub struct Leaf {
    certified_key: Arc<CertifiedKey>,
    certificate: Certificate,
}

/// Error for a chain and a key that cannot be served. The caller adds the name of the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LeafError {
    /// The chain cannot be parsed.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The key cannot be parsed, or belongs to no certificate of the chain.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The key belongs to a later certificate of the chain.
    #[error("the private key belongs to certificate {0} of the chain; the server's own has to come first")]
    Order(usize),
}

impl Leaf {
    /// Parses a chain, with the server's own certificate first, and its key in PKCS#8, SEC1 or PKCS#1.
    ///
    /// The validity of the chain and the trust in it are not checked: see [`validity`](Self::validity) and
    /// [`TrustBundle::verify`](crate::TrustBundle::verify).
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, LeafError> {
        Self::new(&Certificate::all_from_pem(chain)?, &*key::from_pem(key)?)
    }

    pub(crate) fn new(chain: &[Certificate], key: &PrivateKeyDer<'_>) -> Result<Self, LeafError> {
        let Some(certificate) = chain.first().cloned() else {
            return Err(CertificateError::Missing.into());
        };
        let key = any_supported_type(key).map_err(|_| KeyError::Unsupported)?;
        let public = key.public_key().ok_or(KeyError::Unsupported)?;
        match chain.iter().position(|certificate| certificate.public_key() == public.as_ref()) {
            Some(0) => {}
            Some(later) => return Err(LeafError::Order(later + 1)),
            None => return Err(KeyError::Mismatch.into()),
        }
        let chain = chain.iter().map(|certificate| certificate.der().clone()).collect();
        Ok(Self { certified_key: Arc::new(CertifiedKey::new(chain, key)), certificate })
    }

    /// Returns the chain and the key in the type of rustls.
    pub fn certified_key(&self) -> &Arc<CertifiedKey> {
        &self.certified_key
    }

    /// Returns the server's own certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Returns the certificates between the server's own and the CA.
    pub fn intermediates(&self) -> &[CertificateDer<'static>] {
        self.certified_key.cert.get(1..).unwrap_or_default()
    }

    /// Returns the validity of the server's own certificate.
    pub fn validity(&self) -> Validity {
        self.certificate.validity()
    }

    /// Returns whether the certificate contains this DNS name or IP address, under which a client calls the server.
    pub fn is_for(&self, name: &str) -> bool {
        let (Ok(name), Ok(certificate)) =
            (ServerName::try_from(name), ParsedCertificate::try_from(self.certificate.der()))
        else {
            return false;
        };
        rustls::client::verify_server_name(&certificate, &name).is_ok()
    }
}

impl fmt::Debug for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leaf").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use rcgen::{CertificateParams, KeyPair, SignatureAlgorithm};
    use x509_parser::der_parser::parse_der;

    use super::*;
    use crate::{Authority, DnsNames};

    fn self_signed(algorithm: &'static SignatureAlgorithm) -> (String, KeyPair) {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let params = CertificateParams::new(vec!["webhook.ns.svc".into()]).unwrap();
        (params.self_signed(&key).unwrap().pem(), key)
    }

    /// Extracts the key inside of PKCS#8, which is SEC1 or PKCS#1.
    fn traditional(key: &KeyPair, tag: &str) -> String {
        let der = key.serialize_der();
        let (_, sequence) = parse_der(&der).unwrap();
        let inner = sequence.as_sequence().unwrap()[2].as_slice().unwrap();
        pem::encode(&pem::Pem::new(tag, inner))
    }

    #[test]
    fn leaf_accepts_all_supported_keys() {
        let kinds = [
            (&rcgen::PKCS_ECDSA_P256_SHA256, Some("EC PRIVATE KEY")),
            (&rcgen::PKCS_ECDSA_P384_SHA384, Some("EC PRIVATE KEY")),
            (&rcgen::PKCS_ECDSA_P521_SHA512, Some("EC PRIVATE KEY")),
            (&rcgen::PKCS_RSA_SHA256, Some("RSA PRIVATE KEY")),
            (&rcgen::PKCS_ED25519, None),
        ];
        for (algorithm, tag) in kinds {
            let (certificate, key) = self_signed(algorithm);
            let traditional = tag.map(|tag| traditional(&key, tag));
            for text in [Some(key.serialize_pem()), traditional].into_iter().flatten() {
                let leaf = Leaf::from_pem(certificate.as_bytes(), text.as_bytes());
                leaf.unwrap_or_else(|error| panic!("{algorithm:?} {:?}: {error}", text.lines().next()));
            }
        }
    }

    #[test]
    fn chain_starts_with_certificate_of_server() {
        let now = Timestamp::UNIX_EPOCH;
        let ca = Authority::generate(now).unwrap();
        let names = DnsNames { dns: vec!["a".into()], addresses: vec![] };
        let (server, key) = self_signed(&rcgen::PKCS_ECDSA_P256_SHA256);
        let (server, key) = (server.as_str(), key.serialize_pem());
        let issuer = ca.certificate().to_pem();
        let other = ca.issue(&names, now).unwrap().certificate().to_pem();
        let leaf = Leaf::from_pem(format!("{server}{issuer}").as_bytes(), key.as_bytes()).unwrap();
        assert_eq!(leaf.intermediates(), [ca.certificate().der().clone()]);
        let cases = [
            (format!("{issuer}{server}"), LeafError::Order(2)),
            (format!("{other}{issuer}"), LeafError::Key(KeyError::Mismatch)),
            (String::new(), LeafError::Certificate(CertificateError::Missing)),
        ];
        for (chain, expected) in cases {
            assert_eq!(Leaf::from_pem(chain.as_bytes(), key.as_bytes()).unwrap_err(), expected);
        }
        let odd = "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n";
        let error = Leaf::from_pem(server.as_bytes(), odd.as_bytes()).unwrap_err();
        assert_eq!(error, LeafError::Key(KeyError::Unsupported));
    }
}
