//! `cargo xtask image`: build of the container image without Docker.

mod archive;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use clap::Args;

use crate::{
    local::{BuildError, Profile, build, revision},
    terminal, workspace,
};
use archive::Image;

/// Build the container image as an OCI archive.
#[derive(Debug, Args)]
pub(crate) struct ImageOptions {
    /// Name and tag of the image
    #[arg(long, value_name = "IMAGE", default_value = NAME)]
    name: String,
    /// File to write the archive to
    #[arg(long, value_name = "FILE", default_value = OUTPUT)]
    output: PathBuf,
}

impl Default for ImageOptions {
    fn default() -> Self {
        Self { name: NAME.to_owned(), output: PathBuf::from(OUTPUT) }
    }
}

const NAME: &str = "docker.io/library/nats-manager:latest";
const OUTPUT: &str = "target/image/nats-manager.tar";

/// Failed build of the image.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImageError {
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// Builds the manager and writes the archive.
pub(crate) fn run(options: &ImageOptions) -> Result<(), ImageError> {
    let program = build(Profile::Static)?;
    let image = Image {
        name: &options.name,
        version: env!("CARGO_PKG_VERSION"),
        revision: &revision(),
        program: &fs::read(&program).map_err(at(&program))?,
    };
    let output = workspace::root().join(&options.output);
    if let Some(folder) = output.parent() {
        fs::create_dir_all(folder).map_err(at(folder))?;
    }
    let archive = image.archive().map_err(at(&output))?;
    fs::write(&output, &archive).map_err(at(&output))?;
    terminal::note(format!("{}, {} KiB: {}", image.name, archive.len() >> 10, output.display()));
    Ok(())
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> ImageError {
    let path = path.to_owned();
    |source| ImageError::Io { path, source }
}
