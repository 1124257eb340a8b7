//! Checks of the control plane's Go sources, with the settings of its build, so that both share Go's cache.

use std::process::Command;

use crate::workspace;

/// Where the control plane's sources are.
pub(super) const SOURCES: &str = "tests/cluster";

/// Lists the files that are not formatted.
pub(super) fn unformatted() -> Command {
    let mut gofmt = workspace::command("gofmt");
    gofmt.args(["-l", SOURCES]);
    gofmt
}

/// `go vet`.
pub(super) fn vet() -> Command {
    go("vet")
}

/// `go test`.
pub(super) fn test() -> Command {
    go("test")
}

fn go(subcommand: &str) -> Command {
    let mut go = Command::new("go");
    go.args([subcommand, "-trimpath", "./..."]).current_dir(workspace::path(SOURCES));
    go.env_remove("GOFLAGS").env("GOWORK", "off").env("CGO_ENABLED", "0");
    go
}
