//! Checks of the Go sources. The settings are those of the build of the control plane, so that both share Go's cache.

use std::process::Command;

use crate::workspace;

/// Folders of the Go modules: the control plane of the tests, the types of the resource, the tools for `GitOps`, those
/// for monitoring, and the webhook to which the benchmark compares ours.
pub(super) const SOURCES: [&str; 5] =
    ["tests/cluster", "api/go", "tests/gitops", "tests/monitoring", "tests/bench/gowebhook"];

/// Returns the command that lists unformatted files.
pub(super) fn unformatted() -> Command {
    let mut gofmt = workspace::command("gofmt");
    gofmt.arg("-l").args(SOURCES);
    gofmt
}

/// Returns the `go vet` command of a module.
pub(super) fn vet(module: &str) -> Command {
    go("vet", module)
}

/// Returns the `go test` command of a module.
pub(super) fn test(module: &str) -> Command {
    go("test", module)
}

fn go(subcommand: &str, module: &str) -> Command {
    let mut go = Command::new("go");
    go.args([subcommand, "-trimpath", "./..."]).current_dir(workspace::path(module));
    go.env_remove("GOFLAGS").env("GOWORK", "off").env("CGO_ENABLED", "0");
    go
}
