//! `cargo xtask image`: build of the container image without Docker.

mod archive;
mod fips;

use std::{
    fs, io,
    path::{Path, PathBuf},
    process,
};

use clap::Args;

use crate::{
    local::{Architecture, BuildError, build_static, revision},
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
    /// Architecture of the image; another one than that of this machine needs a cross compiler
    /// [default: that of this machine]. The default name and file have it as a suffix
    #[arg(long, value_enum, conflicts_with = "fips")]
    arch: Option<Architecture>,
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
    let architecture = options.arch.map_or_else(Architecture::host, Ok)?;
    let program = build_static(variant.features, architecture)?;
    let (name, output) = options.destination(&variant);
    let image = Image {
        name: &name,
        architecture: architecture.oci_name(),
        version: env!("CARGO_PKG_VERSION"),
        revision: &revision(),
        program: &fs::read(&program).map_err(at(&program))?,
    };
    let output = workspace::root().join(output);
    if let Some(folder) = output.parent() {
        fs::create_dir_all(folder).map_err(at(folder))?;
    }
    let archive = image.archive().map_err(at(&output))?;
    // Renamed when it is complete: a test may load the archive while another one builds it.
    let partial = output.with_extension(format!("{}.partial", process::id()));
    let written = fs::write(&partial, &archive).and_then(|()| fs::rename(&partial, &output));
    written.inspect_err(|_| _ = fs::remove_file(&partial)).map_err(at(&output))?;
    terminal::note(format!("{}, {} KiB: {}", image.name, archive.len() >> 10, output.display()));
    Ok(())
}

impl ImageOptions {
    /// Returns the name of the image and the file of the archive.
    fn destination(&self, variant: &Variant) -> (String, PathBuf) {
        let suffix = self.arch.map(|architecture| format!("-{}", architecture.oci_name())).unwrap_or_default();
        let name = self.name.clone().unwrap_or_else(|| format!("{}{suffix}", variant.name));
        let file = variant.output.strip_suffix(".tar").unwrap_or(variant.output);
        (name, self.output.clone().unwrap_or_else(|| format!("{file}{suffix}.tar").into()))
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> ImageError {
    let path = path.to_owned();
    |source| ImageError::Io { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requested_architecture_is_a_suffix_of_the_default_destination() {
        let destination = |arch, name: Option<&str>| {
            let options = ImageOptions { arch, name: name.map(str::to_owned), ..ImageOptions::default() };
            options.destination(&PLAIN)
        };
        for (arch, name, expected_name, expected_file) in [
            (None, None, "docker.io/library/nats-manager:latest", "target/image/nats-manager.tar"),
            (
                Some(Architecture::Arm64),
                None,
                "docker.io/library/nats-manager:latest-arm64",
                "target/image/nats-manager-arm64.tar",
            ),
            (Some(Architecture::Arm64), Some("a.example/m:1"), "a.example/m:1", "target/image/nats-manager-arm64.tar"),
        ] {
            assert_eq!(destination(arch, name), (expected_name.to_owned(), PathBuf::from(expected_file)));
        }
    }
}
