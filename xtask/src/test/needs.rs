//! Programs that the steps need, checked before the first step runs.

use std::process::Command;

use crate::workspace;

/// Program that has to be installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    Rustfmt,
    Clippy,
    Go,
}

/// Program that is not installed or too old.
#[derive(Debug, thiserror::Error)]
#[error("{what}; install it with: {install}")]
pub(crate) struct MissingPackages {
    what: String,
    install: &'static str,
}

/// Minor version of Go in `go-1.37.mod` of the control plane.
const GO_MINOR: u32 = 26;
const INSTALL_GO: &str = "snap install go --classic (or brew install go; 1.26 or newer)";

/// Checks the programs, and fails at the first that is missing.
pub(super) fn check(needs: &[Need]) -> Result<(), MissingPackages> {
    needs.iter().try_for_each(|need| need.check())
}

impl Need {
    fn check(self) -> Result<(), MissingPackages> {
        match self {
            Self::Rustfmt => component("fmt", "rustfmt is not installed", "rustup component add rustfmt"),
            Self::Clippy => component("clippy", "clippy is not installed", "rustup component add clippy"),
            Self::Go => go(),
        }
    }
}

/// Checks a component of the Rust toolchain.
fn component(subcommand: &str, what: &str, install: &'static str) -> Result<(), MissingPackages> {
    match output_of(workspace::cargo().args([subcommand, "--version"])) {
        Some(_) => Ok(()),
        None => Err(MissingPackages { what: what.to_owned(), install }),
    }
}

/// Checks the version of Go.
fn go() -> Result<(), MissingPackages> {
    let missing = |what: String| MissingPackages { what, install: INSTALL_GO };
    let version = output_of(Command::new("go").args(["env", "GOVERSION"]))
        .ok_or_else(|| missing("go is not in PATH".to_owned()))?;
    match minor(&version) {
        Some(minor) if minor < GO_MINOR => Err(missing(format!("{} is too old", version.trim()))),
        // A version without a release number is a development version, newer than all releases.
        _ => Ok(()),
    }
}

/// Parses the minor version: `go1.26.8` is 26.
fn minor(version: &str) -> Option<u32> {
    let rest = version.trim().strip_prefix("go1.")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// Returns the standard output of a command that succeeds.
fn output_of(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_versions_are_parsed() {
        let cases = [("go1.24.0\n", Some(24)), ("go1.26rc1", Some(26)), ("go1.9", Some(9)), ("devel go1.27-abc", None)];
        for (version, expected) in cases {
            assert_eq!(minor(version), expected, "{version}");
        }
    }
}
