//! Certificates that others mount: a directory with `tls.crt`, `tls.key` and perhaps `ca.crt`.
//!
//! The kubelet exchanges all files of a mounted Secret at once, by pointing the link `..data` at
//! another directory. Files are read through what that link points at, and again if it moved
//! meanwhile, so certificate and key are always of the same edition.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use aws_lc_rs::digest;
use jiff::Timestamp;
use zeroize::Zeroizing;

use crate::{CertificateError, Leaf, LeafError, TrustBundle};

/// The largest file that is read: 1 MiB, the most a Secret can hold.
pub const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// How often a directory that changes while it is read is read again.
const ATTEMPTS: usize = 5;

const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";
const BUNDLE: &str = "ca.crt";

/// What a directory held, ready to be served.
#[derive(Debug, Clone)]
pub struct MountedCertificate {
    fingerprint: Fingerprint,
    /// The chain and its key.
    pub leaf: Leaf,
    /// What clients trust, from `ca.crt`; `None` when there is no such file or nothing in it.
    pub bundle: Option<TrustBundle>,
}

/// What came of a look at the directory.
#[derive(Debug)]
pub enum LoadOutcome {
    /// The same bytes as before.
    Unchanged,
    /// Something new, to be served.
    Swapped(Box<MountedCertificate>),
    /// Nothing usable; what was there before, if anything, is to be served on.
    KeptLastGood(FilesError),
}

/// Why the content of a directory is not served. Names the file.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// A file cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Not a regular file, or larger than [`MAX_FILE_BYTES`].
    #[error("{}: not a regular file of at most {MAX_FILE_BYTES} bytes", .0.display())]
    Size(PathBuf),
    /// The directory changed each time it was read.
    #[error("{}: changes faster than it can be read", .0.display())]
    Restless(PathBuf),
    /// `tls.crt` and `tls.key` are nothing to serve.
    #[error("{}: {source}", path.display())]
    Leaf {
        /// The file at fault.
        path: PathBuf,
        /// What is wrong with it.
        source: LeafError,
    },
    /// `ca.crt` is not readable.
    #[error("{}: {source}", path.display())]
    Bundle {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: CertificateError,
    },
    /// The new certificate does not hold now, the one before does.
    #[error("{}: valid from {} to {}, which is not now", path.display(), validity.not_before, validity.not_after)]
    NotNow {
        /// The file.
        path: PathBuf,
        /// When it does.
        validity: crate::Validity,
    },
}

type Fingerprint = [u8; digest::SHA256_OUTPUT_LEN];

/// The bytes of one edition of the directory.
struct Edition {
    certificate: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
    bundle: Vec<u8>,
}

/// Reads `directory` and compares it with what was `previous`ly good.
///
/// A certificate that does not hold at `now` is taken only where there is nothing better: then it
/// may be this clock that is wrong. Blocks on the file system.
pub fn reload(previous: Option<&MountedCertificate>, directory: &Path, now: Timestamp) -> LoadOutcome {
    let edition = match read_consistently(directory) {
        Ok(edition) => edition,
        Err(error) => return LoadOutcome::KeptLastGood(error),
    };
    let fingerprint = fingerprint(&edition);
    if previous.is_some_and(|previous| previous.fingerprint == fingerprint) {
        return LoadOutcome::Unchanged;
    }
    let better = previous.filter(|previous| previous.leaf.validity().contains(now));
    match parse(&edition, fingerprint, directory) {
        Err(error) => LoadOutcome::KeptLastGood(error),
        Ok(new) if better.is_some() && !new.leaf.validity().contains(now) => {
            let (path, validity) = (directory.join(CERTIFICATE), new.leaf.validity());
            LoadOutcome::KeptLastGood(FilesError::NotNow { path, validity })
        }
        Ok(new) => LoadOutcome::Swapped(Box::new(new)),
    }
}

fn parse(edition: &Edition, fingerprint: Fingerprint, directory: &Path) -> Result<MountedCertificate, FilesError> {
    let leaf = Leaf::from_pem(&edition.certificate, &edition.key).map_err(|source| {
        let file = if matches!(source, LeafError::Key(_)) { KEY } else { CERTIFICATE };
        FilesError::Leaf { path: directory.join(file), source }
    })?;
    let bundle = TrustBundle::from_pem(&edition.bundle)
        .map_err(|source| FilesError::Bundle { path: directory.join(BUNDLE), source })?;
    Ok(MountedCertificate { fingerprint, leaf, bundle: Some(bundle).filter(|bundle| !bundle.is_empty()) })
}

fn read_consistently(directory: &Path) -> Result<Edition, FilesError> {
    let mut edition_dir = resolve(directory)?;
    for _ in 0..ATTEMPTS {
        let edition = read_edition(&edition_dir);
        let afterwards = resolve(directory)?;
        if afterwards == edition_dir {
            return edition;
        }
        edition_dir = afterwards;
    }
    Err(FilesError::Restless(directory.to_owned()))
}

/// The directory that holds the files now: what `..data` points at, or the directory itself
/// where somebody else than the kubelet put them.
fn resolve(directory: &Path) -> Result<PathBuf, FilesError> {
    let data = directory.join("..data");
    let failed = |source| FilesError::Read { path: directory.to_owned(), source };
    for _ in 0..ATTEMPTS {
        match fs::canonicalize(&data) {
            Ok(edition) => return Ok(edition),
            // Its target was removed in this moment, and the link points at another one: the plain
            // directory would lead through the link at each file.
            Err(_) if data.is_symlink() => {}
            Err(_) => return fs::canonicalize(directory).map_err(failed),
        }
    }
    Err(FilesError::Restless(directory.to_owned()))
}

fn read_edition(directory: &Path) -> Result<Edition, FilesError> {
    let bundle = match read_file(&directory.join(BUNDLE)) {
        Err(FilesError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => Vec::new(),
        other => other?,
    };
    Ok(Edition {
        certificate: read_file(&directory.join(CERTIFICATE))?,
        key: Zeroizing::new(read_file(&directory.join(KEY))?),
        bundle,
    })
}

fn read_file(path: &Path) -> Result<Vec<u8>, FilesError> {
    let failed = |source| FilesError::Read { path: path.to_owned(), source };
    // Asked before opening: a pipe would block there.
    let size = fs::metadata(path).map_err(failed)?;
    if !size.is_file() || size.len() > MAX_FILE_BYTES {
        return Err(FilesError::Size(path.to_owned()));
    }
    // With room from the start, so that no copy of a key is left behind in growing.
    let room = usize::try_from(size.len() + 1).unwrap_or_default();
    let mut content = Vec::with_capacity(room);
    let file = File::open(path).map_err(failed)?;
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut content).map_err(failed)?;
    // It may have grown since.
    if content.len() as u64 > MAX_FILE_BYTES {
        return Err(FilesError::Size(path.to_owned()));
    }
    Ok(content)
}

fn fingerprint(edition: &Edition) -> Fingerprint {
    let mut hash = digest::Context::new(&digest::SHA256);
    for part in [&edition.certificate, &*edition.key, &edition.bundle] {
        // The length keeps a byte from wandering between files unnoticed.
        hash.update(&part.len().to_be_bytes());
        hash.update(part);
    }
    let mut bytes = Fingerprint::default();
    bytes.copy_from_slice(hash.finish().as_ref());
    bytes
}

#[cfg(test)]
mod tests;
