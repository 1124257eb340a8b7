//! The steps, in their order.

use std::{process::Command, thread};

use nats_manager_harness::{
    KubernetesVersion, NatsVersion, RealCluster, Tool,
    real::{CLUSTERS, is_required},
};

use super::{
    go,
    needs::Need,
    targets::{self, TargetKind},
};
use crate::{
    generate,
    image::{self, ImageError},
    language,
    local::BuildError,
    terminal, workspace,
};

/// A check.
#[derive(Debug, Clone, Copy)]
pub(super) struct TestStep {
    /// What it is called on the command line.
    pub(super) name: &'static str,
    /// What it checks.
    pub(super) what: &'static str,
    /// What it cannot do without.
    pub(super) needs: &'static [Need],
    /// Whether it runs unasked.
    pub(super) usual: bool,
    /// Runs the check. The argument is `--keep-going`.
    pub(super) run: fn(bool) -> Result<StepOutcome, StepError>,
}

/// A step did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StepOutcome {
    /// It checked what it checks.
    Passed,
    /// It could not be run here, and said why.
    LeftOut,
}

/// A step did not pass.
#[derive(Debug, thiserror::Error)]
pub(super) enum StepError {
    #[error("{command}: {cause}")]
    Failed { command: String, cause: String },
    #[error("not formatted: {files}; fix it with: gofmt -w {}", go::SOURCES.join(" "))]
    Unformatted { files: String },
    #[error(transparent)]
    Generate(#[from] generate::GenerateError),
    #[error(transparent)]
    Language(#[from] language::LanguageError),
    #[error(transparent)]
    Image(#[from] ImageError),
    #[error(transparent)]
    Tool(#[from] nats_manager_harness::Error),
}

/// All steps: the quick ones first. No two of them build at a time, and only the image is built while tests run.
pub(super) const STEPS: &[TestStep] = &[
    TestStep::new("format", "Rust and Go are formatted", &[Need::Rustfmt, Need::Go], format),
    TestStep::new("language", "terms of the field, doc comments, spelling", &[], language),
    TestStep::new("clippy", "no lint reports anything", &[Need::Clippy], clippy),
    TestStep::new("generated", "generated files are what the code says", &[], generated),
    TestStep::new("unit", "tests beside the code", &[], unit),
    TestStep::new("docs", "the documentation builds, its examples pass", &[], docs),
    TestStep::new("integration", "tests that need no cluster", &[], |on| tests(TargetKind::Integration, on)),
    TestStep::new("tools", "the control plane, kwok and NATS are built", &[Need::Go], tools),
    TestStep::new("go", "the control plane's sources, tools for GitOps", &[Need::Go], go_checks),
    TestStep::new("e2e", "the manager on a control plane", &[Need::Go], |on| tests(TargetKind::EndToEnd, on)),
    TestStep::new("e2e-1.37", "rollout, scaling and repair on Kubernetes 1.37", &[Need::Go], end_to_end_on_1_37),
    TestStep::new("demo", "the demo of the README", &[Need::Go], demo),
    TestStep::new("real", "the manager on real pods", &[Need::Go], real),
    TestStep::new("image", "the container image", &[], |_| image()),
    TestStep::new("install", "the image as a module on real pods", &[Need::Go], |on| on_real_pods(&[INSTALL], on)),
    TestStep::new("harness", "the control plane itself", &[Need::Go], |on| tests(TargetKind::Harness, on)),
    TestStep {
        usual: false,
        ..TestStep::new("bench", "counts of the benchmark; only when asked for", &[Need::Go], |_| bench())
    },
    TestStep {
        usual: false,
        ..TestStep::new("real-all", "real and install, with their long tests; only when asked for", &[Need::Go], |on| {
            on_real_pods(&["--include-ignored"], on)
        })
    },
];

/// Name filters of the end-to-end tests that depend on the StatefulSet controller.
const ROLLOUT_TESTS: [&str; 4] = ["rolling::", "rollout::", "scaling::", "repair::"];

/// Name filter of the tests on real pods that need the image.
const INSTALL: &str = "install::";

impl TestStep {
    const fn new(
        name: &'static str,
        what: &'static str,
        needs: &'static [Need],
        run: fn(bool) -> Result<StepOutcome, StepError>,
    ) -> Self {
        Self { name, what, needs, usual: true, run }
    }
}

/// The step of a name.
pub(super) fn parse(name: &str) -> Result<&'static TestStep, String> {
    let names = || STEPS.iter().map(|step| step.name).collect::<Vec<_>>().join(", ");
    STEPS.iter().find(|step| step.name == name).ok_or_else(|| format!("expected one of {}", names()))
}

fn format(_: bool) -> Result<StepOutcome, StepError> {
    pass(workspace::cargo().args(["fmt", "--all", "--check"]))?;
    let mut gofmt = go::unformatted();
    let failed = |cause: String| StepError::Failed { command: terminal::words(&go::unformatted()), cause };
    let output = gofmt.output().map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    let files = String::from_utf8_lossy(&output.stdout);
    let files = files.split_whitespace().collect::<Vec<_>>().join(" ");
    if files.is_empty() { Ok(StepOutcome::Passed) } else { Err(StepError::Unformatted { files }) }
}

fn language(_: bool) -> Result<StepOutcome, StepError> {
    language::run()?;
    Ok(StepOutcome::Passed)
}

fn clippy(_: bool) -> Result<StepOutcome, StepError> {
    pass(workspace::cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))
}

fn generated(_: bool) -> Result<StepOutcome, StepError> {
    generate::check()?;
    Ok(StepOutcome::Passed)
}

fn unit(keep_going: bool) -> Result<StepOutcome, StepError> {
    pass(cargo_test(keep_going).args(["--lib", "--bins"]))
}

fn docs(keep_going: bool) -> Result<StepOutcome, StepError> {
    pass(workspace::cargo().args(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))?;
    pass(cargo_test(keep_going).arg("--doc"))
}

fn tools(_: bool) -> Result<StepOutcome, StepError> {
    let mut tools: Vec<Tool> = KubernetesVersion::ALL.map(Tool::Cluster).into();
    tools.push(Tool::Kwok);
    if RealCluster::available().is_ok() {
        tools.extend([Tool::CoreDns, Tool::StandIn, Tool::NatsCli]);
        tools.extend(NatsVersion::ALL.map(Tool::NatsServer));
    } else {
        tools.push(Tool::NatsServer(NatsVersion::selected()?));
    }
    for tool in tools {
        let path = tool.path_blocking()?;
        terminal::note(path.display());
    }
    Ok(StepOutcome::Passed)
}

fn go_checks(_: bool) -> Result<StepOutcome, StepError> {
    for module in go::SOURCES {
        pass(&mut go::vet(module))?;
        pass(&mut go::test(module))?;
    }
    Ok(StepOutcome::Passed)
}

/// As README.md shows it, but for the end.
fn demo(_: bool) -> Result<StepOutcome, StepError> {
    pass(workspace::cargo().args(["xtask", "demo", "--once"]))?;
    if RealCluster::available().is_ok() {
        pass(workspace::cargo().args(["xtask", "demo", "--real", "--once", "--sample", "default"]))?;
    }
    Ok(StepOutcome::Passed)
}

fn image() -> Result<StepOutcome, StepError> {
    match image::run(&image::ImageOptions::default()) {
        Err(ImageError::Build(unfit @ BuildError::NotStatic(_))) => {
            terminal::note(format!("left out: {unfit}"));
            Ok(StepOutcome::LeftOut)
        }
        built => Ok(built.map(|()| StepOutcome::Passed)?),
    }
}

/// Takes the counts that do not depend on the machine.
fn bench() -> Result<StepOutcome, StepError> {
    pass(workspace::cargo().args(["xtask", "bench", "--quick"]))
}

fn tests(kind: TargetKind, keep_going: bool) -> Result<StepOutcome, StepError> {
    tests_with(kind, &[], keep_going)
}

/// Runs the tests on real pods that do not need the image. They mostly wait for Kubernetes, so the image is built
/// meanwhile, and the step `image` finds it. A failed test is reported when the image is built.
fn real(keep_going: bool) -> Result<StepOutcome, StepError> {
    let tests = || on_real_pods(&["--skip", INSTALL], keep_going);
    if RealCluster::available().is_err() {
        return tests();
    }
    pass(cargo_test(keep_going).args(["--test", targets::REAL, "--no-run"]))?;
    thread::scope(|scope| {
        scope.spawn(|| {
            // The tests have priority. On Linux this is the priority of the thread and of what it starts.
            let _ = rustix::process::nice(5);
            // The step `image` reports a failure.
            let _ = image();
        });
        tests()
    })
}

/// Says why where there can be no real pods; where they are required, the tests themselves fail.
fn on_real_pods(arguments: &[&str], keep_going: bool) -> Result<StepOutcome, StepError> {
    match RealCluster::available() {
        Err(unavailable) if !is_required() => {
            terminal::note(format!("left out: {unavailable}"));
            Ok(StepOutcome::LeftOut)
        }
        _ => {
            let threads = format!("--test-threads={CLUSTERS}");
            let arguments: Vec<&str> = [threads.as_str()].into_iter().chain(arguments.iter().copied()).collect();
            tests_with(TargetKind::Real, &arguments, keep_going)
        }
    }
}

/// Runs the tests of what the StatefulSet controller of 1.37 does differently: it honours `maxUnavailable`.
fn end_to_end_on_1_37(keep_going: bool) -> Result<StepOutcome, StepError> {
    let Some(mut test) = test_command(TargetKind::EndToEnd, &ROLLOUT_TESTS, keep_going)? else {
        return Ok(StepOutcome::LeftOut);
    };
    pass(test.env(KubernetesVersion::variable(), KubernetesVersion::V1_37_2.number()))
}

fn tests_with(kind: TargetKind, arguments: &[&str], keep_going: bool) -> Result<StepOutcome, StepError> {
    match test_command(kind, arguments, keep_going)? {
        Some(mut test) => pass(&mut test),
        None => Ok(StepOutcome::LeftOut),
    }
}

/// Returns the command that runs the tests of a kind; none if there are no such tests.
fn test_command(kind: TargetKind, arguments: &[&str], keep_going: bool) -> Result<Option<Command>, StepError> {
    let names = targets::of_kind(kind)?;
    if names.is_empty() {
        terminal::note("there is none");
        return Ok(None);
    }
    let mut test = cargo_test(keep_going);
    for name in names {
        test.args(["--test", &name]);
    }
    test.arg("--").args(arguments);
    Ok(Some(test))
}

/// Always the whole workspace: a part of it would need its dependencies with other features, built once more.
fn cargo_test(keep_going: bool) -> Command {
    let mut cargo = workspace::cargo();
    cargo.args(["test", "--workspace"]).args(keep_going.then_some("--no-fail-fast"));
    cargo
}

/// Runs a command; what it prints goes straight to the reader.
fn pass(command: &mut Command) -> Result<StepOutcome, StepError> {
    terminal::typed(terminal::words(command));
    let failed = |command: &Command, cause: String| StepError::Failed { command: terminal::words(command), cause };
    match command.status() {
        Ok(status) if status.success() => Ok(StepOutcome::Passed),
        Ok(status) => Err(failed(command, status.to_string())),
        Err(error) => Err(failed(command, error.to_string())),
    }
}
