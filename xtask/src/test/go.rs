//! Checks of the control plane's Go sources. The settings are those of its build, so that both share Go's cache.

use std::process::Command;

use crate::workspace;

/// Folder of the control plane's sources.
pub(super) const SOURCES: &str = "tests/cluster";

/// Returns the command that lists unformatted files.
pub(super) fn unformatted() -> Command {
    let mut gofmt = workspace::command("gofmt");
    gofmt.args(["-l", SOURCES]);
    gofmt
}

/// Returns the `go vet` command.
pub(super) fn vet() -> Command {
    go("vet")
}

/// Returns the `go test` command.
pub(super) fn test() -> Command {
    go("test")
}

fn go(subcommand: &str) -> Command {
    let mut go = Command::new("go");
    go.args([subcommand, "-trimpath", "./..."]).current_dir(workspace::path(SOURCES));
    go.env_remove("GOFLAGS").env("GOWORK", "off").env("CGO_ENABLED", "0");
    go
}
