//! Manifests in `config/`, as kustomize builds them and a real apiserver accepts them.

mod busola;
mod labels;
mod module;
mod modulectl;
mod monitoring;
mod overlays;
mod pages;
mod reference;
mod site;
mod takeover;

use std::{path::PathBuf, process::Command};

use nats_manager_harness::{KubernetesVersion, Tool};
use serde_json::Value;

/// Builds a folder in `config/` with kustomize, and returns the objects.
async fn kustomize(folder: &str) -> Vec<Value> {
    let program = Tool::Cluster(KubernetesVersion::default()).path().await.unwrap();
    let output =
        Command::new(program).args(["kubectl", "kustomize", &path(&format!("config/{folder}"))]).output().unwrap();
    assert!(output.status.success(), "{folder}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.split("\n---\n").map(|document| serde_saphyr::from_str(document).unwrap()).collect()
}

/// Downloads a Go module of another project, which contains its CRDs, and returns its folder.
fn go_module(module: &str) -> PathBuf {
    let output = Command::new("go").args(["mod", "download", "-json", module]).output().unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(output.status.success(), "{answer}");
    PathBuf::from(answer["Dir"].as_str().unwrap())
}

/// Returns the objects of a kind.
fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

/// Returns the absolute path of a file in the checkout.
fn path(relative: &str) -> String {
    format!("{}/{relative}", env!("CARGO_MANIFEST_DIR"))
}

/// Reads a file in the checkout.
fn read(relative: &str) -> String {
    std::fs::read_to_string(path(relative)).unwrap()
}
