//! NATS resources of `config/samples`.

use std::{fs, io};

use nats_manager_api::{FileStorage, Nats};

use crate::workspace;

/// Sample file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sample {
    /// File name without suffix.
    pub(super) name: String,
    /// StorageClass that the sample requests by name.
    pub(super) storage_class: Option<String>,
}

/// Failure to read the samples.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SampleError {
    /// Unreadable folder or file.
    #[error("{FOLDER}: {0}")]
    Read(#[from] io::Error),
    /// File that contains no NATS resource.
    #[error("{path}: {source}")]
    Unreadable {
        /// Path of the file.
        path: String,
        /// Cause.
        source: Box<serde_saphyr::Error>,
    },
    /// Folder without samples.
    #[error("{FOLDER} has no samples")]
    None,
    /// Name without a sample.
    #[error("{FOLDER} has no sample {requested}; available: {}", available.join(", "))]
    Unknown {
        /// Requested name.
        requested: String,
        /// Names of the samples.
        available: Vec<String>,
    },
}

const FOLDER: &str = "config/samples";
/// Samples that are shown first: the default of the module, and those that change it in place. The other ones differ in
/// what is immutable, so that the resource is recreated.
const FIRST: [&str; 3] = ["default", "minimal", "small-memory-store"];

impl Sample {
    fn read(name: &str) -> Result<Self, SampleError> {
        let mut sample = Self { name: name.to_owned(), storage_class: None };
        let path = sample.path();
        let text = fs::read_to_string(workspace::path(&path))?;
        let nats: Nats = serde_saphyr::from_str(&text)
            .map_err(|source| SampleError::Unreadable { path, source: Box::new(source) })?;
        let FileStorage { enabled, storage_class_name, .. } = nats.spec.jet_stream.file_storage;
        sample.storage_class = Some(storage_class_name).filter(|name| enabled && name != FileStorage::DEFAULT_CLASS);
        Ok(sample)
    }

    /// Returns the path of the file, relative to the checkout.
    pub(super) fn path(&self) -> String {
        format!("{FOLDER}/{}.yaml", self.name)
    }
}

/// Reads all samples, or only the requested one.
pub(super) fn samples(requested: Option<&str>) -> Result<Vec<Sample>, SampleError> {
    let mut available = Vec::new();
    for entry in fs::read_dir(workspace::path(FOLDER))? {
        let file = entry?.file_name().to_string_lossy().into_owned();
        if let Some(name) = file.strip_suffix(".yaml").filter(|name| *name != "kustomization") {
            available.push(Sample::read(name)?);
        }
    }
    let rank = |name: &str| FIRST.iter().position(|first| *first == name).unwrap_or(FIRST.len());
    available.sort_by_key(|sample| (rank(&sample.name), sample.name.clone()));
    if available.is_empty() {
        return Err(SampleError::None);
    }
    let Some(requested) = requested else { return Ok(available) };
    let chosen: Vec<Sample> = available.iter().filter(|sample| sample.name == requested).cloned().collect();
    if chosen.is_empty() {
        let available = available.into_iter().map(|sample| sample.name).collect();
        return Err(SampleError::Unknown { requested: requested.to_owned(), available });
    }
    Ok(chosen)
}
