//! CAs to publish if certificates are mounted: the `ca.crt` next to them.

use std::{io, path::Path, time::Duration};

use nats_manager_certs::TrustBundle;

/// Interval between reads of mounted files. The kubelet replaces them within a minute, and a read is cheap.
pub(super) const FILE_POLL_INTERVAL: Duration = Duration::from_secs(10);

/// File with the certificates that the apiserver trusts.
const BUNDLE: &str = "ca.crt";

/// Last good bundle.
#[derive(Debug, Default)]
pub(super) struct MountedBundle(TrustBundle);

impl MountedBundle {
    /// Returns the mounted bundle. A file that is unreadable or without a certificate changes nothing, and is an error
    /// only if there is no earlier bundle.
    pub(super) fn read(&mut self, directory: &Path) -> Result<TrustBundle, String> {
        let path = directory.join(BUNDLE);
        let read = match std::fs::read(&path) {
            Ok(pem) => TrustBundle::from_pem(&pem).map_err(|error| error.to_string()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(TrustBundle::default()),
            Err(error) => Err(error.to_string()),
        };
        match read {
            Ok(new) if !new.is_empty() => self.0 = new,
            Ok(_) if self.0.is_empty() => return Err(format!("{} holds no certificate", path.display())),
            Err(error) if self.0.is_empty() => return Err(format!("{}: {error}", path.display())),
            Ok(_) | Err(_) => {}
        }
        Ok(self.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nats_manager_certs::{Authority, Certificate};

    #[test]
    fn last_good_bundle_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let made = || Authority::generate(jiff::Timestamp::now()).unwrap().certificate().clone();
        let [old, new] = [made(), made()];
        let bundle = |certificate: &Certificate| [certificate.clone()].into_iter().collect::<TrustBundle>();
        let garbage = "-----BEGIN CERTIFICATE-----\n".to_owned();
        let steps = [
            ("nothing yet", None, None),
            ("empty", Some(String::new()), None),
            ("the first", Some(old.to_pem()), Some(bundle(&old))),
            ("unreadable", Some(garbage), Some(bundle(&old))),
            ("gone", None, Some(bundle(&old))),
            ("another", Some(new.to_pem()), Some(bundle(&new))),
        ];
        let mut mounted = MountedBundle::default();
        for (step, content, expected) in steps {
            let path = folder.path().join("ca.crt");
            match content {
                Some(content) => std::fs::write(path, content).unwrap(),
                None => drop(std::fs::remove_file(path)),
            }
            assert_eq!(mounted.read(folder.path()).ok(), expected, "{step}");
        }
    }
}
