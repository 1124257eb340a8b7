//! Certificate of the measured servers: ECDSA with P-256, as the manager's.

use std::{fs, path::Path};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use crate::connection::LoadError;

/// Name in the certificate.
pub(crate) const NAME: &str = "localhost";

/// Writes a new CA, and a certificate that it signed.
pub(crate) fn write(folder: &Path) -> Result<(), LoadError> {
    let ca_key = KeyPair::generate()?;
    let mut ca = CertificateParams::new(Vec::new())?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let ca_certificate = ca.self_signed(&ca_key)?;
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new([NAME.to_owned()])?.signed_by(&key, &Issuer::new(ca, ca_key))?;
    fs::write(folder.join("ca.crt"), ca_certificate.pem())?;
    fs::write(folder.join("tls.crt"), certificate.pem())?;
    fs::write(folder.join("tls.key"), key.serialize_pem())?;
    Ok(())
}
