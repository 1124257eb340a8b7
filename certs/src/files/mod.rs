//! Mounted certificates: a directory with `tls.crt`, `tls.key` and optionally `ca.crt`.
//!
//! The kubelet replaces all files of a mounted Secret at once: it points the link `..data` to another directory. The
//! files are read from the target of that link, and again if the link has changed meanwhile, so that certificate and
//! key always belong to the same edition.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use aws_lc_rs::digest;
use jiff::Timestamp;
use zeroize::Zeroizing;

use crate::{Certificate, CertificateError, Leaf, LeafError, TrustBundle};

/// Maximum size of a file that is read: 1 MiB, the maximum size of a Secret.
pub const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Maximum number of reads of a directory that changes while it is read.
const ATTEMPTS: usize = 5;

const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";
const BUNDLE: &str = "ca.crt";

/// Content of a directory, ready to be served.
#[derive(Debug, Clone)]
pub struct MountedCertificate {
    fingerprint: Fingerprint,
    /// Certificate chain and its key.
    pub leaf: Leaf,
    /// Bundle that clients trust, from `ca.crt`; `None` if this file is missing or blank.
    pub bundle: Option<TrustBundle>,
}

impl MountedCertificate {
    /// Returns the certificates in `ca.crt` that verify the served certificate at `now`, each by itself.
    pub fn authorities(&self, now: Timestamp) -> Vec<Certificate> {
        let all = self.bundle.iter().flat_map(TrustBundle::certificates);
        let verifies = |certificate: &&Certificate| {
            let alone: TrustBundle = [(*certificate).clone()].into_iter().collect();
            alone.verify(&self.leaf, now).is_ok()
        };
        all.filter(verifies).cloned().collect()
    }
}

/// Outcome of a reload of the directory.
#[derive(Debug)]
pub enum LoadOutcome {
    /// The bytes have not changed.
    Unchanged,
    /// The content is new, and is to be served.
    Swapped(Box<MountedCertificate>),
    /// The content is unusable. The previous certificate, if there is one, is still to be served.
    KeptLastGood(FilesError),
}

/// Error for the content of a directory that cannot be served. The message contains the path of the file.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// A file cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// Path of the file.
        path: PathBuf,
        /// Error of the file system.
        source: io::Error,
    },
    /// The file is not a regular file, or is larger than [`MAX_FILE_BYTES`].
    #[error("{}: not a regular file of at most {MAX_FILE_BYTES} bytes", .0.display())]
    Size(PathBuf),
    /// The directory changed during each read.
    #[error("{}: changes faster than it can be read", .0.display())]
    Unstable(PathBuf),
    /// `tls.crt` and `tls.key` cannot be served.
    #[error("{}: {source}", path.display())]
    Leaf {
        /// Path of the file at fault.
        path: PathBuf,
        /// Error in its content.
        source: LeafError,
    },
    /// A file with CA certificates cannot be parsed.
    #[error("{}: {source}", path.display())]
    Bundle {
        /// Path of the file.
        path: PathBuf,
        /// Error in its content.
        source: CertificateError,
    },
    /// The new certificate is not valid now, whereas the previous one is.
    #[error("{}: valid from {} to {}, which is not now", path.display(), validity.not_before, validity.not_after)]
    NotNow {
        /// Path of the file.
        path: PathBuf,
        /// Validity of the new certificate.
        validity: crate::Validity,
    },
}

type Fingerprint = [u8; digest::SHA256_OUTPUT_LEN];

/// Bytes of one edition of the directory.
struct Edition {
    certificate: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
    bundle: Vec<u8>,
}

/// Reads a file with CA certificates, of which there has to be at least one. The function blocks on the file system.
pub fn read_authorities(path: &Path) -> Result<TrustBundle, FilesError> {
    let content = read_file(path)?;
    let failed = |source| FilesError::Bundle { path: path.to_owned(), source };
    Ok(Certificate::all_from_pem(&content).map_err(failed)?.into_iter().collect())
}

/// Reads `directory` and compares its content with the `previous` certificate.
///
/// A certificate that is not valid at `now` is accepted only if the previous one is not valid either, in which case the
/// local clock may be wrong. The function blocks on the file system.
pub fn reload(previous: Option<&MountedCertificate>, directory: &Path, now: Timestamp) -> LoadOutcome {
    let edition = match read_consistently(directory) {
        Ok(edition) => edition,
        Err(error) => return LoadOutcome::KeptLastGood(error),
    };
    let fingerprint = fingerprint(&edition);
    if previous.is_some_and(|previous| previous.fingerprint == fingerprint) {
        return LoadOutcome::Unchanged;
    }
    let is_previous_valid = previous.is_some_and(|previous| previous.leaf.validity().contains(now));
    match parse(&edition, fingerprint, directory) {
        Err(error) => LoadOutcome::KeptLastGood(error),
        Ok(new) if is_previous_valid && !new.leaf.validity().contains(now) => {
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
    Err(FilesError::Unstable(directory.to_owned()))
}

/// Returns the directory that contains the files now: the target of `..data`, or the directory itself if the files are
/// not managed by the kubelet.
fn resolve(directory: &Path) -> Result<PathBuf, FilesError> {
    let data = directory.join("..data");
    let failed = |source| FilesError::Read { path: directory.to_owned(), source };
    for _ in 0..ATTEMPTS {
        match fs::canonicalize(&data) {
            Ok(edition) => return Ok(edition),
            // The target was removed at this moment, and the link has another target now. The plain directory would
            // follow the link once for each file.
            Err(_) if data.is_symlink() => {}
            Err(_) => return fs::canonicalize(directory).map_err(failed),
        }
    }
    Err(FilesError::Unstable(directory.to_owned()))
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
    // Checked before the file is opened, because opening a pipe blocks.
    let metadata = fs::metadata(path).map_err(failed)?;
    if !metadata.is_file() || metadata.len() > MAX_FILE_BYTES {
        return Err(FilesError::Size(path.to_owned()));
    }
    // Allocated at once, because a reallocation would leave a copy of the key in memory.
    let capacity = usize::try_from(metadata.len() + 1).unwrap_or_default();
    let mut content = Vec::with_capacity(capacity);
    let file = File::open(path).map_err(failed)?;
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut content).map_err(failed)?;
    // The file may have become larger since the check.
    if content.len() as u64 > MAX_FILE_BYTES {
        return Err(FilesError::Size(path.to_owned()));
    }
    Ok(content)
}

fn fingerprint(edition: &Edition) -> Fingerprint {
    let mut hash = digest::Context::new(&digest::SHA256);
    for part in [&edition.certificate, &*edition.key, &edition.bundle] {
        // With the length, a byte that moves from one file to another changes the hash.
        hash.update(&part.len().to_be_bytes());
        hash.update(part);
    }
    let mut bytes = Fingerprint::default();
    bytes.copy_from_slice(hash.finish().as_ref());
    bytes
}

#[cfg(test)]
mod tests;
