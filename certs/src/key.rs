//! Private keys in PEM. Errors never contain parts of the text.

use rustls::pki_types::{
    PrivateKeyDer,
    pem::{self, PemObject},
};
use zeroize::Zeroizing;

use crate::certificate::pem_fault;

/// Error for bytes that are not the expected private key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// There is no section with a private key.
    #[error("no PEM section PRIVATE KEY, EC PRIVATE KEY or RSA PRIVATE KEY")]
    Missing,
    /// The key is protected by a passphrase.
    #[error("the private key is encrypted; it has to be stored without a passphrase")]
    Encrypted,
    /// The PEM is malformed, as described.
    #[error("private key: {0}")]
    Pem(&'static str),
    /// The PEM is valid, but its content is not a key of a supported kind and size.
    #[error("the private key is not ECDSA (P-256, P-384, P-521), RSA of 2048 to 8192 bits, or Ed25519")]
    Unsupported,
    /// The key belongs to another certificate.
    #[error("the private key does not belong to the certificate")]
    Mismatch,
}

/// Parses the first private key of a PEM text: PKCS#8, SEC1 or PKCS#1.
pub(crate) fn from_pem(text: &[u8]) -> Result<Zeroizing<PrivateKeyDer<'static>>, KeyError> {
    PrivateKeyDer::from_pem_slice(text).map(Zeroizing::new).map_err(|error| match error {
        pem::Error::NoItemsFound if is_encrypted(text) => KeyError::Encrypted,
        pem::Error::NoItemsFound => KeyError::Missing,
        broken => KeyError::Pem(pem_fault(&broken)),
    })
}

fn is_encrypted(text: &[u8]) -> bool {
    let marker = b"-----BEGIN ENCRYPTED PRIVATE KEY-----";
    text.windows(marker.len()).any(|window| window == marker)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_faults_have_specific_errors() {
        let cases = [
            ("", KeyError::Missing),
            ("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", KeyError::Missing),
            ("-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n", KeyError::Encrypted),
            (
                "-----BEGIN PRIVATE KEY-----\nsecret!\n-----END PRIVATE KEY-----\n",
                KeyError::Pem("the PEM section is not base64"),
            ),
        ];
        for (text, expected) in cases {
            let error = from_pem(text.as_bytes()).unwrap_err();
            assert_eq!(error, expected);
            assert!(!format!("{error} {error:?}").contains("secret"));
        }
    }
}
