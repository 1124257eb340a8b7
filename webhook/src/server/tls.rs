//! TLS side of the server: its configuration, and the classification of failed handshakes.

use std::{io, sync::Arc};

use rustls::{
    AlertDescription, Error, ServerConfig,
    crypto::aws_lc_rs,
    server::{NoServerSessionStorage, ResolvesServerCert, danger::ClientCertVerifier},
    version::{TLS12, TLS13},
};

use crate::Rejection;

/// Certificates of the TLS server.
#[derive(Clone, Debug)]
pub struct TlsIdentity {
    /// Selection of the certificate that a client gets.
    pub resolver: Arc<dyn ResolvesServerCert>,
    /// Verification of the certificates of clients; `None` if clients need none.
    pub client_verifier: Option<Arc<dyn ClientCertVerifier>>,
}

/// Builds the server's configuration: TLS 1.2 and 1.3, and HTTP/1.1, the protocol of the apiserver for webhooks.
pub fn tls_config(identity: TlsIdentity) -> Result<ServerConfig, Error> {
    let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])?;
    let TlsIdentity { resolver, client_verifier } = identity;
    let mut config = match client_verifier {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    }
    .with_cert_resolver(resolver);
    // The apiserver never resumes a session, since client-go sets no `ClientSessionCache`. For others, a resumed session
    // would not verify the client again after a change of the CA.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Classifies the error of a handshake.
pub(super) fn rejection(error: &io::Error) -> Rejection {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::AlertReceived(alert)) if is_distrust(*alert) => Rejection::Untrusted,
        None | Some(Error::AlertReceived(AlertDescription::CloseNotify | AlertDescription::UserCanceled)) => {
            Rejection::Closed
        }
        Some(Error::NoCertificatesPresented | Error::InvalidCertificate(_)) => Rejection::ClientCertificate,
        // The error of rustls for a resolver without a certificate.
        Some(Error::General(_)) => Rejection::NoCertificate,
        Some(_) => Rejection::Protocol,
    }
}

fn is_distrust(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::DecryptError
            | AlertDescription::AccessDenied
    )
}
