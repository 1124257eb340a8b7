//! Build of the manager.

use std::{
    io,
    path::PathBuf,
    process::{Command, Stdio},
};

use serde_json::Value;

use super::Architecture;
use crate::{terminal, workspace};

/// Build profile of the manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Development profile: a build takes seconds, since tests have built most of it already.
    Dev,
    /// Release profile, statically linked as in the shipped image, which contains no other file.
    Static,
}

/// Program of `cargo xtask bench admission`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BenchProgram {
    /// Webhook of the manager without a cluster, and its floor, by the release profile.
    Webhook,
    /// Load generator, by the profile `load`, which is optimized for speed.
    Load,
}

/// Failed build of the manager.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildError {
    /// Failed start of cargo.
    #[error("cargo: {0}")]
    Cargo(#[from] io::Error),
    /// Compile error, printed by cargo.
    #[error("{0} does not build; see the output of cargo above")]
    Failed(&'static str),
    /// Part of the toolchain for another architecture.
    #[error("{what} is missing; install it with: {install}")]
    Missing { what: String, install: String },
    /// Platform without support for static programs: they need Linux with glibc.
    #[error("a static program can be built on Linux with glibc only, not for {0}; build the Dockerfile instead")]
    NotStatic(String),
}

const PROGRAM: &str = "nats-manager";
/// Flags of the shipped program, as in the Dockerfile.
const STATIC_FLAGS: &str = "-C target-feature=+crt-static";
/// Flag for packed relocations, by which the program itself needs less memory.
const PACKED: &str = "-C link-arg=-Wl,-z,pack-relative-relocs";
/// Version of glibc from which on a static program can relocate itself by packed relocations.
const PACKED_SINCE: [u32; 2] = [2, 36];

/// Builds the manager, shows cargo's progress, and returns the path of the program.
pub(crate) fn build(profile: Profile) -> Result<PathBuf, BuildError> {
    run(profile, &[], None)
}

/// Builds the program of an image as [`build`] does, with features of its package, for this or another architecture.
pub(crate) fn build_static(features: &[&str], architecture: Architecture) -> Result<PathBuf, BuildError> {
    let host = host()?;
    if architecture.target() == host {
        return run(Profile::Static, features, None);
    }
    architecture.check_needs()?;
    run(Profile::Static, features, Some(architecture))
}

/// Builds a program of the benchmark.
pub(crate) fn build_bench(program: BenchProgram) -> Result<PathBuf, BuildError> {
    let (name, profile) = match program {
        BenchProgram::Webhook => ("bench-webhook", "release"),
        BenchProgram::Load => ("bench-load", "load"),
    };
    let mut cargo = workspace::cargo();
    cargo.args(["build", "--package", "nats-manager-bench", "--bin", name, "--profile", profile]);
    finish(cargo, name)
}

/// Builds the manager. `cross` is an architecture other than that of this machine.
fn run(profile: Profile, features: &[&str], cross: Option<Architecture>) -> Result<PathBuf, BuildError> {
    let mut cargo = workspace::cargo();
    // With the workspace, the features of the dependencies are those of the tests, which are built already.
    let packages: &[&str] = if profile == Profile::Dev { &["--workspace"] } else { &["--package", PROGRAM] };
    cargo.arg("build").args(packages).args(["--bin", PROGRAM]);
    if !features.is_empty() {
        cargo.args(["--features", &features.join(",")]);
    }
    if profile != Profile::Dev {
        cargo.arg("--release");
    }
    if profile == Profile::Static {
        // With an explicit target, the flag does not apply to build scripts and macros, which have to be dynamic.
        let target = cross.map_or_else(host, |architecture| Ok(architecture.target()))?;
        cargo.args(["--locked", "--target", &target]);
        cargo.env("RUSTFLAGS", static_flags()).env("NATS_MANAGER_REVISION", revision());
    }
    if let Some(architecture) = cross {
        cargo.env(architecture.linker_variable(), architecture.compiler());
    }
    finish(cargo, PROGRAM)
}

/// Runs cargo, and returns the path of the program with the name.
fn finish(mut cargo: Command, program: &'static str) -> Result<PathBuf, BuildError> {
    terminal::typed(terminal::words(&cargo));
    // cargo reports the path of the program, which depends on the target folder.
    cargo.arg("--message-format=json-render-diagnostics").stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = cargo.output()?;
    let messages = String::from_utf8_lossy(&output.stdout);
    let mut messages = messages.lines().filter_map(|line| serde_json::from_str(line).ok());
    let path = messages.find_map(|message| executable(&message, program));
    path.filter(|_| output.status.success()).ok_or(BuildError::Failed(program))
}

/// Returns the flags of a static program that is linked with the glibc of this machine.
fn static_flags() -> String {
    let output = workspace::command("getconf").arg("GNU_LIBC_VERSION").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    if is_packed(&text) { format!("{STATIC_FLAGS} {PACKED}") } else { STATIC_FLAGS.to_owned() }
}

/// Returns whether a glibc supports packed relocations. `version` is a text such as `glibc 2.36`.
fn is_packed(version: &str) -> bool {
    let numbers = version.trim().strip_prefix("glibc ").unwrap_or_default().split('.');
    numbers.map_while(|number| number.parse().ok()).collect::<Vec<u32>>() >= PACKED_SINCE.to_vec()
}

/// Returns the commit of the checkout, or `unknown` outside of a clone.
pub(crate) fn revision() -> String {
    let git = workspace::command("git").args(["rev-parse", "HEAD"]).output();
    let revision = git.ok().filter(|output| output.status.success());
    revision.map_or_else(|| "unknown".to_owned(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Returns the host target of rustc. Fails if it does not support static programs.
fn host() -> Result<String, BuildError> {
    let output = workspace::command("rustc").arg("-vV").output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or("an unknown platform");
    if host.ends_with("-linux-gnu") { Ok(host.to_owned()) } else { Err(BuildError::NotStatic(host.to_owned())) }
}

/// Returns the path of a program from a message of cargo.
fn executable(message: &Value, program: &str) -> Option<PathBuf> {
    let is_ours = message["target"]["name"] == program;
    message["executable"].as_str().filter(|_| is_ours).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relocations_are_packed_from_glibc_2_36_on() {
        for (expected, version) in
            [(true, "glibc 2.36\n"), (true, "glibc 2.41"), (true, "glibc 3.0"), (false, "glibc 2.35"), (false, "")]
        {
            assert_eq!(is_packed(version), expected, "{version}");
        }
    }
}
