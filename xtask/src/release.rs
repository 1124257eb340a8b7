//! `cargo xtask release-manifests`: artifacts of a release of the Kyma module, other than the image.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use clap::Args;
use nats_manager_harness::{KubernetesVersion, Tool};

use crate::{terminal, workspace};

/// Write the artifacts of a release.
#[derive(Debug, Args)]
pub(crate) struct ReleaseOptions {
    /// Image of the manager; the pipeline of the module requires the module's version as its tag
    #[arg(long, value_name = "IMAGE", default_value = IMAGE)]
    image: String,
    /// Folder to write the artifacts to
    #[arg(long, value_name = "FOLDER", default_value = "target/release-manifests")]
    output: PathBuf,
}

/// Image in `config/manager`.
const IMAGE: &str = concat!("europe-docker.pkg.dev/kyma-project/prod/nats-manager:", env!("CARGO_PKG_VERSION"));

/// Artifacts, each with the folder that it is built from.
const ARTIFACTS: [(&str, &str); 2] =
    [("nats-manager.yaml", "config/default"), ("nats-default-cr.yaml", "config/samples")];

/// Failed build of an artifact.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReleaseError {
    #[error(transparent)]
    Tool(#[from] nats_manager_harness::Error),
    #[error("kubectl kustomize {folder}: {cause}")]
    Kustomize { folder: &'static str, cause: String },
    #[error("config/manager has the image {IMAGE} in {0} places, not in one")]
    Image(usize),
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// Writes the artifacts.
pub(crate) fn run(options: &ReleaseOptions) -> Result<(), ReleaseError> {
    let output = workspace::root().join(&options.output);
    fs::create_dir_all(&output).map_err(at(&output))?;
    for (name, folder) in ARTIFACTS {
        let mut manifest = kustomize(folder)?;
        if folder == "config/default" {
            manifest = with_image(&manifest, &options.image)?;
        }
        let path = output.join(name);
        fs::write(&path, manifest).map_err(at(&path))?;
        terminal::note(path.display());
    }
    Ok(())
}

/// Builds a folder with kustomize.
fn kustomize(folder: &'static str) -> Result<String, ReleaseError> {
    let failed = |cause: String| ReleaseError::Kustomize { folder, cause };
    let mut kubectl = Command::new(Tool::Cluster(KubernetesVersion::default()).path_blocking()?);
    let output = kubectl.args(["kubectl", "kustomize"]).arg(workspace::path(folder)).output();
    let output = output.map_err(|error| failed(error.to_string()))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(failed(text(&output.stderr))) }
}

/// Replaces the image of the manager, which a manifest has to contain exactly once.
fn with_image(manifest: &str, image: &str) -> Result<String, ReleaseError> {
    let line = |image: &str| format!("image: {image}\n");
    match manifest.matches(&line(IMAGE)).count() {
        1 => Ok(manifest.replace(&line(IMAGE), &line(image))),
        count => Err(ReleaseError::Image(count)),
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> ReleaseError {
    let path = path.to_owned();
    |source| ReleaseError::Io { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_is_replaced_if_the_manifest_contains_it_once() {
        let manifest = format!("a:\n  image: {IMAGE}\n");
        assert_eq!(with_image(&manifest, "b.example/m:1").unwrap(), "a:\n  image: b.example/m:1\n");
        assert!(matches!(with_image(&manifest.repeat(2), "m:1"), Err(ReleaseError::Image(2))));
        assert!(matches!(with_image("a: b\n", "m:1"), Err(ReleaseError::Image(0))));
    }
}
