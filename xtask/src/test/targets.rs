//! Test targets of the workspace, read from cargo: a new one runs without a change here.

use std::collections::BTreeSet;

use serde_json::Value;

use super::steps::StepError;
use crate::{terminal, workspace};

/// Kind of a test target, by the environment that it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TargetKind {
    /// No cluster.
    Integration,
    /// The manager on a control plane.
    EndToEnd,
    /// The manager on real Pods.
    Real,
    /// The control plane itself.
    Harness,
}

/// Package of the test support, with tests of its own.
const HARNESS: &str = "nats-manager-harness";
/// Test target that runs the manager on a control plane.
const END_TO_END: &str = "e2e";
/// Test target that runs the manager on real Pods, or its requests on real servers.
pub(super) const REAL: &str = "real";

/// Returns the names of all test targets of a kind.
pub(super) fn of_kind(kind: TargetKind) -> Result<BTreeSet<String>, StepError> {
    let mut cargo = workspace::cargo();
    cargo.args(["metadata", "--no-deps", "--format-version=1"]);
    let failed = |cause: String| StepError::Failed { command: terminal::words(&cargo), cause };
    let output = workspace::cargo()
        .args(["metadata", "--no-deps", "--format-version=1"])
        .output()
        .map_err(|error| failed(error.to_string()))?;
    let metadata: Value = serde_json::from_slice(&output.stdout).map_err(|error| failed(error.to_string()))?;
    Ok(names(&metadata, kind))
}

/// Returns the names of the test targets of a kind, from the output of `cargo metadata`.
fn names(metadata: &Value, kind: TargetKind) -> BTreeSet<String> {
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let targets = packages.flat_map(|package| {
        package["targets"].as_array().into_iter().flatten().map(move |target| (&package["name"], target))
    });
    let tests = targets.filter(|(_, target)| target["kind"][0] == "test");
    tests
        .filter_map(|(package, target)| Some((package.as_str()?, target["name"].as_str()?)))
        .filter(|(package, name)| kind_of(package, name) == kind)
        .map(|(_, name)| name.to_owned())
        .collect()
}

/// Returns the kind of a test target.
fn kind_of(package: &str, name: &str) -> TargetKind {
    match (package, name) {
        (HARNESS, _) => TargetKind::Harness,
        (_, END_TO_END) => TargetKind::EndToEnd,
        (_, REAL) => TargetKind::Real,
        _ => TargetKind::Integration,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn test_targets_are_classified() {
        let target = |kind: &str, name: &str| json!({"kind": [kind], "name": name});
        let metadata = json!({"packages": [
            {"name": "a", "targets": [target("lib", "a"), target("test", "rules"), target("test", "e2e"), target("test", "real")]},
            {"name": HARNESS, "targets": [target("test", "cluster")]},
        ]});
        let is = |kind, expected: &[&str]| {
            assert_eq!(names(&metadata, kind).iter().map(String::as_str).collect::<Vec<_>>(), expected);
        };
        is(TargetKind::Integration, &["rules"]);
        is(TargetKind::EndToEnd, &["e2e"]);
        is(TargetKind::Real, &["real"]);
        is(TargetKind::Harness, &["cluster"]);
    }
}
