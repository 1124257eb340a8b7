//! Certificates that are mounted from outside, such as those of cert-manager.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use nats_manager_certs::{Certificate, secret};
use nats_manager_harness::eventually;
use serde_json::json;
use tempfile::TempDir;

use super::{
    certificates::secret_data,
    load::{Load, PER_SECOND},
    tls::served,
    webhook_options_at,
};
use crate::{
    manager::free_address,
    world::{TIMEOUT, World},
};

/// Folder like a Secret that the kubelet mounts: files are symbolic links through `..data`, which is swapped.
pub struct Mount {
    pub folder: TempDir,
    editions: usize,
}

impl Mount {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for file in ["tls.crt", "tls.key", "ca.crt"] {
            std::os::unix::fs::symlink(Path::new("..data").join(file), folder.path().join(file)).unwrap();
        }
        Self { folder, editions: 0 }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("..data")
    }

    /// Publishes a pair as the kubelet does: by renaming a symbolic link.
    pub fn swap(&mut self, pair: &Pair) {
        let edition = format!("..edition-{}", self.editions);
        self.editions += 1;
        let folder = self.folder.path().join(&edition);
        std::fs::create_dir(&folder).unwrap();
        for (file, content) in [("tls.crt", &pair.certificate), ("tls.key", &pair.key), ("ca.crt", &pair.ca)] {
            std::fs::write(folder.join(file), content).unwrap();
        }
        let temporary = self.folder.path().join("..data_tmp");
        std::os::unix::fs::symlink(&edition, &temporary).unwrap();
        std::fs::rename(temporary, self.path()).unwrap();
    }
}

/// Issuer of certificates, in place of cert-manager.
pub struct Issuer {
    certificate: rcgen::Certificate,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

pub struct Pair {
    pub certificate: String,
    pub key: String,
    pub ca: String,
    pub der: Vec<u8>,
}

impl Issuer {
    pub fn new() -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, format!("issuer {}", Timestamp::now()));
        let certificate = params.self_signed(&key).unwrap();
        let issuer = rcgen::Issuer::new(params, key);
        Self { certificate, issuer }
    }

    /// Issues a certificate for 127.0.0.1 with a new key, for servers and clients.
    pub fn issue(&self) -> Pair {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Pair {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            ca: self.certificate.pem(),
            der: certificate.der().to_vec(),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mounted_certificates_are_reloaded_and_invalid_pairs_are_ignored() {
    let world = World::new().await;
    let (issuer, mut mount, port) = (Issuer::new(), Mount::new(), free_address().unwrap().port());
    let first = issuer.issue();
    mount.swap(&first);
    let mut options = webhook_options_at(port, port);
    options.args.push(format!("--webhook-cert-dir={}", mount.folder.path().display()));
    options.env.insert("LOG_LEVEL".to_owned(), "info".to_owned());
    let manager = world.manager_with(&options).await;
    world.webhook_is_active().await;
    assert_eq!(served(port, first.ca.as_bytes()).await.unwrap(), first.der);
    let serves = |pair: &Pair, what: &'static str| {
        let (der, ca) = (pair.der.clone(), pair.ca.clone());
        eventually(what, TIMEOUT, move || {
            let (der, ca) = (der.clone(), ca.clone());
            async move { served(port, ca.as_bytes()).await.map(|now| now == der) }
        })
    };
    world.create(json!({})).await;
    world.state_becomes("Ready").await;

    let load = Load::start(&world, PER_SECOND).await;
    // The second pair has the same issuer. The third has another one, whose certificate is published first.
    let second = issuer.issue();
    mount.swap(&second);
    serves(&second, "the second pair").await;
    let third = Issuer::new().issue();
    mount.swap(&third);
    serves(&third, "the pair of another issuer").await;
    load.end(&world, "mounted certificates").await;

    let failures = || async { manager.metric("nats_manager_webhook_certificate_failures_total").await.unwrap() };
    for (what, invalid) in [
        ("another key", Pair { key: second.key.clone(), ..issuer.issue() }),
        ("garbage", Pair { certificate: "garbage".to_owned(), ..issuer.issue() }),
        (
            "half a file",
            Pair { certificate: first.certificate[..first.certificate.len() / 2].to_owned(), ..issuer.issue() },
        ),
    ] {
        let before = failures().await;
        mount.swap(&invalid);
        eventually(what, TIMEOUT, || async { failures().await > before }).await;
        assert_eq!(served(port, third.ca.as_bytes()).await.unwrap(), third.der, "{what}");
        world.dry_run(json!({})).await.unwrap();
    }
    let fourth = issuer.issue();
    mount.swap(&fourth);
    serves(&fourth, "a good pair again").await;
    let data = secret_data(&world).await;
    assert!(secret::decode(&data).unwrap().is_none(), "the manager generates no CA");
    let former = Certificate::all_from_pem(third.ca.as_bytes()).unwrap().remove(0);
    assert!(secret::trusted(&data, Timestamp::now()).end_of(&former).is_some(), "certificates of it may be in use");
}
