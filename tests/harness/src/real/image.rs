//! Images with one program, as stand-ins for images of a registry.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::json;
use sha2::{Digest, Sha256};

use super::RealCluster;
use crate::error::{Error, Result, blocking};

impl RealCluster {
    /// Loads an image that contains one static program, found in its `PATH` under the name of its file, into every
    /// running node.
    pub async fn load_program(&self, image: &str, program: &Path) -> Result<()> {
        let folder = tempfile::tempdir_in(self.folder()).map_err(Error::io(self.folder().display()))?;
        let (name, program, target) = (image.to_owned(), program.to_owned(), folder.path().to_owned());
        let archive = blocking(move || write_archive(&name, &program, &target)).await?;
        self.load_image(&archive).await
    }
}

/// Writes an archive as `docker save` does, with a single layer, and returns its path.
fn write_archive(image: &str, program: &Path, folder: &Path) -> Result<PathBuf> {
    let layer = folder.join("layer.tar");
    let (source, name) = (program.parent().unwrap_or(program), program.file_name().unwrap_or_default());
    run(Command::new("tar").arg("-C").arg(source).arg("-cf").arg(&layer).arg(name))?;
    let digest = Sha256::digest(fs::read(&layer).map_err(Error::io(layer.display()))?);
    let config = json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "os": "linux",
        "config": {"Env": ["PATH=/"]},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", base16ct::lower::encode_string(&digest))]},
    });
    let manifest = json!([{"Config": "config.json", "RepoTags": [image], "Layers": ["layer.tar"]}]);
    for (file, content) in [("config.json", config), ("manifest.json", manifest)] {
        fs::write(folder.join(file), content.to_string()).map_err(Error::io(file))?;
    }
    let archive = folder.join("image.tar");
    run(Command::new("tar").arg("-C").arg(folder).arg("-cf").arg(&archive).args([
        "manifest.json",
        "config.json",
        "layer.tar",
    ]))?;
    Ok(archive)
}

fn run(tar: &mut Command) -> Result<()> {
    let status = tar.status().map_err(Error::io("tar"))?;
    if status.success() { Ok(()) } else { Err(Error::Node(format!("tar: {status}"))) }
}
