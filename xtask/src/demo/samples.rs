//! The NATS resources of `config/samples`.

use std::{fs, io};

use nats_manager_api::{FileStorage, Nats};

use crate::workspace;

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sample {
    /// Its name, without the suffix.
    pub(super) name: String,
    /// The StorageClass that it asks for by name.
    pub(super) storage_class: Option<String>,
}

/// There is no such sample.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SampleError {
    /// The folder cannot be read.
    #[error("{FOLDER}: {0}")]
    Read(#[from] io::Error),
    /// A file holds no NATS resource.
    #[error("{path}: {source}")]
    Unreadable {
        /// The file.
        path: String,
        /// Why not.
        source: Box<serde_saphyr::Error>,
    },
    /// Nothing is in it.
    #[error("{FOLDER} has no samples")]
    None,
    /// None has the name.
    #[error("{FOLDER} has no sample {wanted}; there are: {}", there.join(", "))]
    Unknown {
        /// The name.
        wanted: String,
        /// The names that there are.
        there: Vec<String>,
    },
}

const FOLDER: &str = "config/samples";
/// What most users have comes first.
const FIRST: &str = "default";

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

    /// Where it is, as one would type it.
    pub(super) fn path(&self) -> String {
        format!("{FOLDER}/{}.yaml", self.name)
    }
}

/// All samples, or only the one that is wanted.
pub(super) fn samples(wanted: Option<&str>) -> Result<Vec<Sample>, SampleError> {
    let mut there = Vec::new();
    for entry in fs::read_dir(workspace::path(FOLDER))? {
        let file = entry?.file_name().to_string_lossy().into_owned();
        if let Some(name) = file.strip_suffix(".yaml").filter(|name| *name != "kustomization") {
            there.push(Sample::read(name)?);
        }
    }
    there.sort_by_key(|sample| (sample.name != FIRST, sample.name.clone()));
    if there.is_empty() {
        return Err(SampleError::None);
    }
    let Some(wanted) = wanted else { return Ok(there) };
    let chosen: Vec<Sample> = there.iter().filter(|sample| sample.name == wanted).cloned().collect();
    if chosen.is_empty() {
        let there = there.into_iter().map(|sample| sample.name).collect();
        return Err(SampleError::Unknown { wanted: wanted.to_owned(), there });
    }
    Ok(chosen)
}
