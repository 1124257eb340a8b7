//! Targets of the shipped program.

use std::process::{Command, Stdio};

use clap::ValueEnum;

use super::BuildError;
use crate::workspace;

/// Architecture of an image, by its name in the OCI specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Architecture {
    /// `x86_64`.
    Amd64,
    /// `aarch64`.
    Arm64,
}

impl Architecture {
    /// Returns the architecture of this machine. Fails if there is no image for it.
    pub(crate) fn host() -> Result<Self, BuildError> {
        match std::env::consts::ARCH {
            "x86_64" => Ok(Self::Amd64),
            "aarch64" => Ok(Self::Arm64),
            other => Err(BuildError::NotStatic(other.to_owned())),
        }
    }

    /// Returns the name in the OCI specification.
    pub(crate) fn oci_name(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// Returns the target of rustc.
    pub(crate) fn target(self) -> String {
        format!("{}-unknown-linux-gnu", self.processor())
    }

    /// Returns the cross compiler of Debian for C, which also links the program.
    pub(super) fn compiler(self) -> String {
        format!("{}-linux-gnu-gcc", self.processor())
    }

    fn processor(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64",
            Self::Arm64 => "aarch64",
        }
    }

    /// Returns the variable with which cargo chooses the linker.
    pub(super) fn linker_variable(self) -> String {
        format!("CARGO_TARGET_{}_LINKER", self.target().to_uppercase().replace('-', "_"))
    }

    /// Fails with the commands that install what a build for another architecture needs, if it is missing.
    pub(super) fn check_needs(self) -> Result<(), BuildError> {
        let compiler = self.compiler();
        let run = Command::new(&compiler).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !run.is_ok_and(|status| status.success()) {
            let name = self.oci_name();
            let package = format!("gcc-{}-linux-gnu libc6-dev-{name}-cross", self.processor().replace('_', "-"));
            return Err(BuildError::Missing { what: compiler, install: format!("apt-get install {package}") });
        }
        let target = self.target();
        let libraries = workspace::command("rustc").args(["--print", "target-libdir", "--target", &target]).output()?;
        let folder = String::from_utf8_lossy(&libraries.stdout).trim().to_owned();
        if !std::path::Path::new(&folder).exists() {
            let install = format!("rustup target add {target}");
            return Err(BuildError::Missing { what: format!("the standard library of {target}"), install });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_an_architecture_follow_each_tool() {
        for (architecture, oci, target, compiler, variable) in [
            (
                Architecture::Amd64,
                "amd64",
                "x86_64-unknown-linux-gnu",
                "x86_64-linux-gnu-gcc",
                "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER",
            ),
            (
                Architecture::Arm64,
                "arm64",
                "aarch64-unknown-linux-gnu",
                "aarch64-linux-gnu-gcc",
                "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER",
            ),
        ] {
            assert_eq!(architecture.oci_name(), oci);
            assert_eq!(architecture.target(), target);
            assert_eq!(architecture.compiler(), compiler);
            assert_eq!(architecture.linker_variable(), variable);
        }
    }

    #[test]
    fn dockerfile_builds_for_every_architecture() {
        let dockerfile = std::fs::read_to_string(workspace::path("Dockerfile")).unwrap();
        for architecture in Architecture::value_variants() {
            let line = format!(
                "{}) target={} compiler={} ",
                architecture.oci_name(),
                architecture.target(),
                architecture.compiler().trim_end_matches("-gcc"),
            );
            assert!(dockerfile.contains(&line), "{line}");
        }
    }
}
