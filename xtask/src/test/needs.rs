//! Programs that the steps cannot do without, looked for before the first step runs.

use std::process::Command;

use crate::workspace;

/// Something that has to be installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    Rustfmt,
    Clippy,
    Go,
}

/// It is not installed, or too old.
#[derive(Debug, thiserror::Error)]
#[error("{what}; mend it with: {mend}")]
pub(crate) struct MissingPackages {
    what: String,
    mend: &'static str,
}

/// The minor version of Go in `go-1.37.mod` of the control plane.
const GO_MINOR: u32 = 26;
const INSTALL_GO: &str = "snap install go --classic (or brew install go; 1.26 or newer)";

/// Fails at the first that is missing.
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

fn component(subcommand: &str, what: &str, mend: &'static str) -> Result<(), MissingPackages> {
    match says(workspace::cargo().args([subcommand, "--version"])) {
        Some(_) => Ok(()),
        None => Err(MissingPackages { what: what.to_owned(), mend }),
    }
}

fn go() -> Result<(), MissingPackages> {
    let missing = |what: String| MissingPackages { what, mend: INSTALL_GO };
    let version =
        says(Command::new("go").args(["env", "GOVERSION"])).ok_or_else(|| missing("go is not in PATH".to_owned()))?;
    match minor(&version) {
        Some(minor) if minor < GO_MINOR => Err(missing(format!("{} is too old", version.trim()))),
        // A version that is not written as a release is a development version, newer than all.
        _ => Ok(()),
    }
}

/// `go1.26.8` is 26.
fn minor(version: &str) -> Option<u32> {
    let rest = version.trim().strip_prefix("go1.")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

fn says(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_go() {
        let cases = [("go1.24.0\n", Some(24)), ("go1.26rc1", Some(26)), ("go1.9", Some(9)), ("devel go1.27-abc", None)];
        for (version, expected) in cases {
            assert_eq!(minor(version), expected, "{version}");
        }
    }
}
