//! Needs of a FIPS build, checked before it starts: the build of AWS-LC reports a missing program only after minutes.

use std::process::{Command, Stdio};

/// Program that is not installed.
#[derive(Debug, thiserror::Error)]
#[error("a FIPS build needs {program}, which is not in PATH; install it with: {install}")]
pub(crate) struct MissingProgram {
    program: &'static str,
    install: &'static str,
}

/// Programs that the build of the FIPS module runs, each with the argument that prints its version.
const NEEDS: [(&str, &str, &str); 4] = [
    ("cc", "--version", "apt-get install gcc"),
    ("cmake", "--version", "apt-get install cmake"),
    ("go", "version", "snap install go --classic (or brew install go; 1.26 or newer)"),
    ("perl", "--version", "apt-get install perl"),
];

/// Checks the programs, and fails at the first that is missing.
pub(super) fn check_needs() -> Result<(), MissingProgram> {
    NEEDS.into_iter().try_for_each(|(program, version, install)| check(program, version, install))
}

fn check(program: &'static str, version: &str, install: &'static str) -> Result<(), MissingProgram> {
    let run = Command::new(program).arg(version).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if run.is_ok_and(|status| status.success()) { Ok(()) } else { Err(MissingProgram { program, install }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_program_is_named_with_the_command_that_installs_it() {
        let error = check("no-such-program", "--version", "apt-get install it").unwrap_err();
        assert_eq!(
            error.to_string(),
            "a FIPS build needs no-such-program, which is not in PATH; install it with: apt-get install it"
        );
    }
}
