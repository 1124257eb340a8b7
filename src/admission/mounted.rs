//! Bundle to publish if certificates are mounted: the `ca.crt` next to them.

use std::{
    io, mem,
    path::Path,
    time::{Duration, Instant},
};

use nats_manager_certs::TrustBundle;

/// Interval between reads of mounted files. The kubelet replaces them within a minute, and a read is cheap.
pub(super) const FILE_POLL_INTERVAL: Duration = Duration::from_secs(10);

/// File with the certificates that the apiserver trusts.
const BUNDLE: &str = "ca.crt";
/// Time for which replaced certificates stay published. The kubelet updates the files of each replica at another time,
/// within about two minutes.
const OVERLAP: Duration = Duration::from_mins(5);

/// Last good bundle, and the one before it.
#[derive(Debug, Default)]
pub(super) struct MountedBundle {
    current: TrustBundle,
    former: Option<(TrustBundle, Instant)>,
}

impl MountedBundle {
    /// Returns the bundle to publish now. A file that is unreadable or without a certificate changes nothing, and is an
    /// error only if there is no earlier bundle.
    pub(super) fn read(&mut self, directory: &Path, now: Instant) -> Result<TrustBundle, String> {
        let path = directory.join(BUNDLE);
        let read = match std::fs::read(&path) {
            Ok(pem) => TrustBundle::from_pem(&pem).map_err(|error| error.to_string()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(TrustBundle::default()),
            Err(error) => Err(error.to_string()),
        };
        self.former.take_if(|(_, since)| now.duration_since(*since) > OVERLAP);
        match read {
            Ok(new) if !new.is_empty() && new != self.current => {
                let former = mem::replace(&mut self.current, new);
                if !former.is_empty() {
                    self.former = Some((former, now));
                }
            }
            Ok(_) if self.current.is_empty() => return Err(format!("{} holds no certificate", path.display())),
            Err(error) if self.current.is_empty() => return Err(format!("{}: {error}", path.display())),
            Ok(_) | Err(_) => {}
        }
        let former = self.former.iter().flat_map(|(former, _)| former.certificates());
        Ok(self.current.certificates().iter().chain(former).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nats_manager_certs::{Authority, Certificate};

    #[test]
    fn last_good_bundle_is_kept_and_overlaps_with_next() {
        let folder = tempfile::tempdir().unwrap();
        let made = || Authority::generate(jiff::Timestamp::now()).unwrap().certificate().clone();
        let [old, new] = [made(), made()];
        let bundle = |all: &[&Certificate]| all.iter().copied().cloned().collect::<TrustBundle>();
        let garbage = "-----BEGIN CERTIFICATE-----\n".to_owned();
        let begun = Instant::now();
        let both = bundle(&[&new, &old]);
        let steps = [
            ("nothing yet", None, 0, None),
            ("empty", Some(String::new()), 0, None),
            ("the first", Some(old.to_pem()), 0, Some(bundle(&[&old]))),
            ("unreadable", Some(garbage), 1, Some(bundle(&[&old]))),
            ("gone", None, 2, Some(bundle(&[&old]))),
            ("another", Some(new.to_pem()), 3, Some(both.clone())),
            ("the overlap", Some(new.to_pem()), 3 + 299, Some(both)),
            ("after it", Some(new.to_pem()), 3 + 301, Some(bundle(&[&new]))),
        ];
        let mut mounted = MountedBundle::default();
        for (step, content, second, expected) in steps {
            let path = folder.path().join("ca.crt");
            match content {
                Some(content) => std::fs::write(path, content).unwrap(),
                None => drop(std::fs::remove_file(path)),
            }
            let published = mounted.read(folder.path(), begun + Duration::from_secs(second));
            assert_eq!(published.ok(), expected, "{step}");
        }
    }
}
