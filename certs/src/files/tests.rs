use std::os::unix::fs::symlink;

use jiff::SignedDuration;
use tempfile::TempDir;

use super::*;
use crate::{Authority, DnsNames, validity::after};

fn now() -> Timestamp {
    "2026-02-03T04:05:06Z".parse().unwrap()
}

/// Returns a certificate and its key as PEM. Any certificate suffices, so it is that of a CA.
fn pair(at: Timestamp) -> (String, String) {
    let ca = Authority::generate(at).unwrap();
    (ca.certificate().to_pem(), ca.key_pem().to_owned())
}

/// Writes an edition as the kubelet does, and points `..data` to it with one rename.
fn mount(directory: &Path, edition: &str, (certificate, key): &(String, String)) {
    let place = directory.join(edition);
    fs::create_dir(&place).unwrap();
    fs::write(place.join("tls.crt"), certificate).unwrap();
    fs::write(place.join("tls.key"), key).unwrap();
    symlink(edition, directory.join("..data_tmp")).unwrap();
    fs::rename(directory.join("..data_tmp"), directory.join("..data")).unwrap();
    for file in ["tls.crt", "tls.key"] {
        let _ = symlink(Path::new("..data").join(file), directory.join(file));
    }
}

fn swapped(outcome: LoadOutcome) -> MountedCertificate {
    match outcome {
        LoadOutcome::Swapped(mounted) => *mounted,
        other => panic!("{other:?}"),
    }
}

fn kept(outcome: LoadOutcome) -> String {
    match outcome {
        LoadOutcome::KeptLastGood(error) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn reload_follows_updates_of_kubelet() {
    let dir = TempDir::new().unwrap();
    assert!(kept(reload(None, dir.path(), now())).contains("tls.crt: No such file"));
    let (one, two) = (pair(now()), pair(now()));
    mount(dir.path(), "..1", &one);
    let first = swapped(reload(None, dir.path(), now()));
    assert_eq!(first.leaf.certificate().to_pem(), one.0);
    assert!(matches!(reload(Some(&first), dir.path(), now()), LoadOutcome::Unchanged));
    mount(dir.path(), "..2", &two);
    fs::remove_dir_all(dir.path().join("..1")).unwrap();
    let second = swapped(reload(Some(&first), dir.path(), now()));
    assert_eq!(second.leaf.certificate().to_pem(), two.0);
}

#[test]
fn reload_never_mixes_editions() {
    let dir = TempDir::new().unwrap();
    let pairs = [pair(now()), pair(now())];
    mount(dir.path(), "..0", &pairs[0]);
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut edition = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let last = format!("..{edition}");
                edition += 1;
                mount(dir.path(), &format!("..{edition}"), &pairs[edition % 2]);
                fs::remove_dir_all(dir.path().join(last)).unwrap();
            }
        });
        for _ in 0..500 {
            match reload(None, dir.path(), now()) {
                LoadOutcome::Swapped(_) | LoadOutcome::KeptLastGood(FilesError::Unstable(_)) => {}
                other => {
                    stop.store(true, std::sync::atomic::Ordering::Relaxed);
                    panic!("{other:?}");
                }
            }
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn unusable_plain_files_keep_previous_certificate() {
    let dir = TempDir::new().unwrap();
    let put = |file: &str, content: &str| fs::write(dir.path().join(file), content).unwrap();
    let (good, other) = (pair(now()), pair(now()));
    put("tls.crt", &good.0);
    put("tls.key", &good.1);
    let first = swapped(reload(None, dir.path(), now()));
    assert!(first.bundle.is_none());

    let big = "x".repeat(usize::try_from(MAX_FILE_BYTES).unwrap() + 1);
    let broken = "-----BEGIN CERTIFICATE-----\n";
    let cases = [
        ("tls.key", other.1.as_str(), "tls.key: the private key does not belong"),
        ("tls.key", "", "tls.key: no PEM section PRIVATE KEY"),
        ("tls.crt", "", "tls.crt: no PEM section CERTIFICATE"),
        ("tls.crt", broken, "tls.crt: certificate 1: the PEM section has no END line"),
        ("tls.crt", &big, "tls.crt: not a regular file of at most 1048576 bytes"),
        ("ca.crt", broken, "ca.crt: certificate 1: the PEM section has no END line"),
    ];
    for (file, content, text) in cases {
        put("tls.crt", &good.0);
        put("tls.key", &good.1);
        put(file, content);
        let error = kept(reload(Some(&first), dir.path(), now()));
        assert!(error.contains(text), "{error}");
    }
    put("ca.crt", &other.0);
    let with_bundle = swapped(reload(Some(&first), dir.path(), now()));
    assert_eq!(with_bundle.bundle.unwrap().to_pem(), other.0);
    put("ca.crt", "\n");
    assert!(swapped(reload(None, dir.path(), now())).bundle.is_none());
    fs::remove_file(dir.path().join("tls.key")).unwrap();
    fs::create_dir(dir.path().join("tls.key")).unwrap();
    assert!(kept(reload(Some(&first), dir.path(), now())).contains("tls.key: not a regular file"));
}

#[test]
fn certificate_outside_its_validity_is_last_resort() {
    let dir = TempDir::new().unwrap();
    let year = SignedDuration::from_hours(24 * 366);
    mount(dir.path(), "..1", &pair(now()));
    let good = swapped(reload(None, dir.path(), now()));
    for (edition, at) in [("..2", after(now(), -year)), ("..3", after(now(), year))] {
        mount(dir.path(), edition, &pair(at));
        let error = kept(reload(Some(&good), dir.path(), now()));
        assert!(error.contains("which is not now"), "{error}");
        swapped(reload(None, dir.path(), now()));
        swapped(reload(Some(&good), dir.path(), after(now(), year + year)));
    }
}

#[test]
fn intermediate_certificates_are_served() {
    let dir = TempDir::new().unwrap();
    let root = Authority::generate(now()).unwrap();
    let names = DnsNames { dns: vec!["a".into()], addresses: vec![] };
    let other = root.issue(&names, now()).unwrap();
    let (certificate, key) = pair(now());
    let chain = format!("{certificate}{}", other.certificate().to_pem());
    mount(dir.path(), "..1", &(chain, key));
    assert_eq!(swapped(reload(None, dir.path(), now())).leaf.intermediates().len(), 1);
}
