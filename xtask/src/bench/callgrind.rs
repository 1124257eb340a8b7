//! Instructions of a process from start to end, counted by callgrind: they do not depend on the load of the machine.

use std::{
    process::{Command, Stdio},
    str::FromStr,
};

/// Tool that runs a program under callgrind.
pub(super) const PROGRAM: &str = "valgrind";
/// Arguments of the tool, before the program.
pub(super) const ARGUMENTS: [&str; 2] = ["--tool=callgrind", "--callgrind-out-file=/dev/null"];
/// Text for the reader where the tool is missing.
pub(super) const MISSING: &str = "valgrind is not installed";

/// Returns whether the tool is installed.
pub(super) fn is_installed() -> bool {
    Command::new(PROGRAM).arg("--version").stdout(Stdio::null()).status().is_ok()
}

/// Returns the number of instructions that callgrind prints at its end; `None` if it has printed none.
pub(super) fn collected<T: FromStr>(log: &str) -> Option<T> {
    log.lines().rev().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn count_is_the_last_line_of_callgrind() {
        assert_eq!(collected("==1== Events    : Ir\n==1== Collected : 123\n==1==\n"), Some(123));
        assert_eq!(collected::<u64>("{}\n"), None);
    }
}
