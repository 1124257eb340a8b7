//! `cargo xtask release-manifests`: what a release of the Kyma module consists of, beside the image.

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
    /// The manager's image; the module's pipeline wants the module's version for its tag
    #[arg(long, value_name = "IMAGE", default_value = IMAGE)]
    image: String,
    /// The folder that they go to
    #[arg(long, value_name = "FOLDER", default_value = "target/release-manifests")]
    output: PathBuf,
}

/// What `config/manager` says.
const IMAGE: &str = concat!("europe-docker.pkg.dev/kyma-project/prod/nats-manager:", env!("CARGO_PKG_VERSION"));

/// Each artifact, and where it comes from.
const ARTIFACTS: [(&str, &str); 2] =
    [("nats-manager.yaml", "config/default"), ("nats-default-cr.yaml", "config/samples")];

/// An artifact could not be made.
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

fn kustomize(folder: &'static str) -> Result<String, ReleaseError> {
    let failed = |cause: String| ReleaseError::Kustomize { folder, cause };
    let mut kubectl = Command::new(Tool::Cluster(KubernetesVersion::default()).path_blocking()?);
    let output = kubectl.args(["kubectl", "kustomize"]).arg(workspace::path(folder)).output();
    let output = output.map_err(|error| failed(error.to_string()))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(failed(text(&output.stderr))) }
}

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
    fn the_image_is_named_once() {
        let manifest = format!("a:\n  image: {IMAGE}\n");
        assert_eq!(with_image(&manifest, "b.example/m:1").unwrap(), "a:\n  image: b.example/m:1\n");
        assert!(matches!(with_image(&manifest.repeat(2), "m:1"), Err(ReleaseError::Image(2))));
        assert!(matches!(with_image("a: b\n", "m:1"), Err(ReleaseError::Image(0))));
    }
}
