//! The steps, in their order.

use std::process::Command;

use nats_manager_harness::Tool;

use super::{
    go,
    needs::Need,
    targets::{self, Kind},
};
use crate::{generate, terminal, workspace};

/// A check.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    /// What it is called on the command line.
    pub(super) name: &'static str,
    /// What it checks.
    pub(super) what: &'static str,
    /// What it cannot do without.
    pub(super) needs: &'static [Need],
    /// Runs it; told whether to go on after a failure.
    pub(super) run: fn(bool) -> Result<(), StepError>,
}

/// A step did not pass.
#[derive(Debug, thiserror::Error)]
pub(super) enum StepError {
    #[error("{command}: {cause}")]
    Failed { command: String, cause: String },
    #[error("not formatted: {files}; mend it with: gofmt -w {}", go::SOURCES)]
    Unformatted { files: String },
    #[error(transparent)]
    Generate(#[from] generate::GenerateError),
    #[error(transparent)]
    Tool(#[from] nats_manager_harness::Error),
}

/// What fails fast comes first; nothing builds while something else does.
pub(super) const STEPS: &[Step] = &[
    Step { name: "format", what: "Rust and Go are formatted", needs: &[Need::Rustfmt, Need::Go], run: format },
    Step { name: "clippy", what: "no lint has anything to say", needs: &[Need::Clippy], run: clippy },
    Step {
        name: "generated",
        what: "generated files are what the code says",
        needs: &[],
        run: |_| Ok(generate::check()?),
    },
    Step { name: "unit", what: "tests beside the code", needs: &[], run: unit },
    Step { name: "docs", what: "the documentation builds, its examples pass", needs: &[], run: docs },
    Step {
        name: "integration",
        what: "tests that need no cluster",
        needs: &[],
        run: |on| tests(Kind::Integration, on),
    },
    Step { name: "tools", what: "the control plane, kwok and NATS are built", needs: &[Need::Go], run: tools },
    Step { name: "go", what: "the control plane's sources", needs: &[Need::Go], run: go_checks },
    Step {
        name: "e2e",
        what: "the manager on a control plane",
        needs: &[Need::Go],
        run: |on| tests(Kind::EndToEnd, on),
    },
    Step { name: "harness", what: "the control plane itself", needs: &[Need::Go], run: |on| tests(Kind::Harness, on) },
];

/// The step of a name.
pub(super) fn parse(name: &str) -> Result<&'static Step, String> {
    let names = || STEPS.iter().map(|step| step.name).collect::<Vec<_>>().join(", ");
    STEPS.iter().find(|step| step.name == name).ok_or_else(|| format!("expected one of {}", names()))
}

fn format(_: bool) -> Result<(), StepError> {
    pass(workspace::cargo().args(["fmt", "--all", "--check"]))?;
    let mut gofmt = go::unformatted();
    let failed = |cause: String| StepError::Failed { command: terminal::words(&go::unformatted()), cause };
    let output = gofmt.output().map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    let files = String::from_utf8_lossy(&output.stdout);
    let files = files.split_whitespace().collect::<Vec<_>>().join(" ");
    if files.is_empty() { Ok(()) } else { Err(StepError::Unformatted { files }) }
}

fn clippy(_: bool) -> Result<(), StepError> {
    pass(workspace::cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))
}

fn unit(keep_going: bool) -> Result<(), StepError> {
    pass(cargo_test(keep_going).args(["--lib", "--bins"]))
}

fn docs(keep_going: bool) -> Result<(), StepError> {
    pass(workspace::cargo().args(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))?;
    pass(cargo_test(keep_going).arg("--doc"))
}

fn tools(_: bool) -> Result<(), StepError> {
    for tool in [Tool::Cluster, Tool::Kwok, Tool::NatsServer] {
        let path = tool.path_blocking()?;
        terminal::note(path.display());
    }
    Ok(())
}

fn go_checks(_: bool) -> Result<(), StepError> {
    pass(&mut go::vet())?;
    pass(&mut go::test())
}

fn tests(kind: Kind, keep_going: bool) -> Result<(), StepError> {
    let names = targets::of_kind(kind)?;
    if names.is_empty() {
        terminal::note("there is none");
        return Ok(());
    }
    let mut test = cargo_test(keep_going);
    for name in names {
        test.args(["--test", &name]);
    }
    pass(&mut test)
}

/// Always the whole workspace: a part of it would need its dependencies with other features, built once more.
fn cargo_test(keep_going: bool) -> Command {
    let mut cargo = workspace::cargo();
    cargo.args(["test", "--workspace"]).args(keep_going.then_some("--no-fail-fast"));
    cargo
}

/// Runs a command; what it prints goes straight to the reader.
fn pass(command: &mut Command) -> Result<(), StepError> {
    terminal::typed(terminal::words(command));
    let failed = |command: &Command, cause: String| StepError::Failed { command: terminal::words(command), cause };
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(failed(command, status.to_string())),
        Err(error) => Err(failed(command, error.to_string())),
    }
}
