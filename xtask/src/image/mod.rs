//! `cargo xtask image`: build of the container image without Docker.

mod archive;
mod fips;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use clap::Args;

use crate::{
    local::{BuildError, Profile, build_with, revision},
    terminal, workspace,
};
use archive::Image;

/// Build the container image as an OCI archive.
#[derive(Debug, Default, Args)]
pub(crate) struct ImageOptions {
    /// Name and tag of the image [default: docker.io/library/nats-manager:latest, with --fips nats-manager-fips:latest]
    #[arg(long, value_name = "IMAGE")]
    name: Option<String>,
    /// File to write the archive to [default: target/image/nats-manager.tar, with --fips nats-manager-fips.tar]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Build with the FIPS module of AWS-LC: this needs cmake, go and perl
    #[arg(long)]
    fips: bool,
}

/// Default name and output of an image, and the features of its program.
struct Variant {
    name: &'static str,
    output: &'static str,
    features: &'static [&'static str],
}

const PLAIN: Variant =
    Variant { name: "docker.io/library/nats-manager:latest", output: "target/image/nats-manager.tar", features: &[] };
const FIPS: Variant = Variant {
    name: "docker.io/library/nats-manager-fips:latest",
    output: "target/image/nats-manager-fips.tar",
    features: &["fips"],
};

/// Failed build of the image.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImageError {
    #[error(transparent)]
    Build(#[from] BuildError),
    /// Program that a FIPS build needs.
    #[error(transparent)]
    Fips(#[from] fips::MissingProgram),
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// Builds the manager and writes the archive.
pub(crate) fn run(options: &ImageOptions) -> Result<(), ImageError> {
    if options.fips {
        fips::check_needs()?;
    }
    let variant = if options.fips { FIPS } else { PLAIN };
    let program = build_with(Profile::Static, variant.features)?;
    let image = Image {
        name: options.name.as_deref().unwrap_or(variant.name),
        version: env!("CARGO_PKG_VERSION"),
        revision: &revision(),
        program: &fs::read(&program).map_err(at(&program))?,
    };
    let output = options.output.as_deref().unwrap_or_else(|| Path::new(variant.output));
    let output = workspace::root().join(output);
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
