//! Responses to many reviews, each sent once.

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::{Value, json};

use crate::connection::{LoadError, Target};

/// Sends each file of a folder. Returns the responses by file name: the status, and the body where it is JSON.
pub(crate) async fn ask_all(target: &Target, folder: &Path) -> Result<BTreeMap<String, Value>, LoadError> {
    let mut answers = BTreeMap::new();
    let mut connection = target.connect(1).await?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (status, body) = connection.exchange(&fs::read(entry.path())?.into()).await?;
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        answers.insert(entry.file_name().to_string_lossy().into_owned(), json!({"status": status, "body": body}));
    }
    Ok(answers)
}
