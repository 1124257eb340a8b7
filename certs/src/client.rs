//! Verification of client certificates, with CAs that can be replaced while a server runs.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, UnixTime},
    server::{
        VerifierBuilderError, WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};

use crate::TrustBundle;

/// Verifier of client certificates. Without CAs, no client is accepted.
#[derive(Debug)]
pub struct ClientVerifier {
    verifier: ArcSwapOption<Current>,
    algorithms: WebPkiSupportedAlgorithms,
}

/// Verifier with the current CAs.
#[derive(Debug)]
struct Current(Arc<dyn ClientCertVerifier>);

/// Error for CAs that cannot verify clients.
#[derive(Debug, thiserror::Error)]
pub enum ClientCaError {
    /// A certificate cannot be used as a CA.
    #[error("not a CA: {0}")]
    Authority(#[from] Error),
    /// There is no CA.
    #[error("no CA for client certificates: {0}")]
    Verifier(#[from] VerifierBuilderError),
}

impl ClientVerifier {
    /// Creates a verifier that accepts no client.
    pub fn new() -> Self {
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
        Self { verifier: ArcSwapOption::empty(), algorithms }
    }

    /// Accepts clients with a certificate of one of these CAs, from the next handshake on. On an error the previous CAs
    /// stay.
    pub fn trust(&self, authorities: &TrustBundle) -> Result<(), ClientCaError> {
        let mut roots = RootCertStore::empty();
        for authority in authorities.certificates() {
            roots.add(authority.der().clone())?;
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
        self.verifier.store(Some(Arc::new(Current(verifier))));
        Ok(())
    }
}

impl Default for ClientVerifier {
    fn default() -> Self {
        Self::new()
    }
}

impl ClientCertVerifier for ClientVerifier {
    /// Returns no hints: the apiserver has one certificate, and the CAs can change.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match &*self.verifier.load() {
            Some(current) => current.0.verify_client_cert(end_entity, intermediates, now),
            None => Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};

    use super::*;
    use crate::Certificate;

    struct Ca(Certificate, Issuer<'static, KeyPair>);

    impl Ca {
        fn new() -> Self {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::default();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let certificate = Certificate::parse(params.self_signed(&key).unwrap().der().clone()).unwrap();
            Self(certificate, Issuer::new(params, key))
        }

        fn issue(&self, usage: ExtendedKeyUsagePurpose) -> CertificateDer<'static> {
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.extended_key_usages = vec![usage];
            params.signed_by(&KeyPair::generate().unwrap(), &self.1).unwrap().der().clone()
        }
    }

    #[test]
    fn only_client_certificates_of_current_ca_are_accepted() {
        let now = UnixTime::since_unix_epoch(Timestamp::now().as_duration().try_into().unwrap());
        let [old, new] = [Ca::new(), Ca::new()];
        let client = |ca: &Ca| ca.issue(ExtendedKeyUsagePurpose::ClientAuth);
        let verifier = ClientVerifier::new();
        let accepts = |certificate: &CertificateDer<'_>| verifier.verify_client_cert(certificate, &[], now).is_ok();
        assert!(verifier.client_auth_mandatory());
        assert!(!accepts(&client(&old)), "there is no CA yet");
        verifier.trust(&[old.0.clone()].into_iter().collect()).unwrap();
        assert!(accepts(&client(&old)) && !accepts(&client(&new)));
        assert!(!accepts(&old.issue(ExtendedKeyUsagePurpose::ServerAuth)), "the certificate of a server");
        verifier.trust(&TrustBundle::default()).unwrap_err();
        assert!(accepts(&client(&old)), "the last good CA stays");
        verifier.trust(&[new.0.clone()].into_iter().collect()).unwrap();
        assert!(!accepts(&client(&old)) && accepts(&client(&new)));
    }
}
