//! The examples in `tests/situations`: what kubectl prints of the NATS resource in ten situations, and the stored
//! resources. Tools for `GitOps` are tested with them (`tests/gitops`).
//!
//! Values that differ between runs (times, ids) are replaced. `UPDATE_SITUATIONS=1` writes the examples.

use std::{env, fs, path::PathBuf};

use k8s_openapi::jiff::Timestamp;
use kube::Api;
use nats_manager_api::{
    Nats, NatsStatus,
    naming::{FINALIZER, PAUSE, REMOVED_PEERS},
};
use nats_manager_planner::snapshot::PeerId;
use serde_json::json;

use crate::{
    jetstream,
    objects::STATEFUL_SET,
    world::{NAME, NAMESPACE, World, condition},
};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/situations");

#[tokio::test]
async fn deployment_and_pause_read_as_their_examples() {
    let world = World::new().await;
    let _manager = world.manager().await;
    // Pods wait for a StorageClass that does not exist yet.
    world.create(json!({"jetStream": {"fileStorage": {"storageClassName": "later"}}})).await;
    world.state_becomes("Processing").await;
    world.matches("deploying", NAME).await;

    world.create_storage_class("later").await;
    world.is_ready_for_the_newest_spec().await;
    world.matches("ready", NAME).await;

    world.patch(json!({"metadata": {"annotations": {PAUSE: "true"}}})).await.unwrap();
    world.status_becomes("paused", |status| has(status, "Stalled", "True Paused", "")).await;
    world.matches("paused", NAME).await;
    world.patch(json!({"metadata": {"annotations": {PAUSE: null}}})).await.unwrap();

    world.patch(json!({"spec": {"labels": {"a b": "c"}}})).await.unwrap();
    world.state_becomes("Error").await;
    world.matches("invalid-spec", NAME).await;
    world.delete_storage_class("later").await;
}

#[tokio::test]
async fn scaling_reads_as_its_example() {
    let world = World::new().await;
    let _manager = world.manager().await;
    world.create(json!({})).await;
    world.is_ready_for_the_newest_spec().await;
    // A server that was removed a moment ago keeps the scale-up in progress.
    let removed = format!("{}={}", PeerId::of("eventing-nats-3").0, Timestamp::now().as_second());
    STATEFUL_SET.change(&world, json!({"metadata": {"annotations": {REMOVED_PEERS: removed}}})).await;
    world.patch(json!({"spec": {"cluster": {"size": 5}}})).await.unwrap();
    world.status_becomes("scaling", |status| has(status, "Reconciling", "True ScaleUp", "was removed")).await;
    world.matches("scaling", NAME).await;
}

#[tokio::test]
async fn deletion_reads_as_its_examples() {
    let world = World::new().await;
    let (server, options) = world.nats_server().await;
    let _manager = world.manager_with(&options).await;
    world.create(json!({})).await;
    world.state_becomes("Ready").await;
    let context = jetstream::connect(&server.url()).await;
    jetstream::create_stream(&context, "orders").await;
    world.patch(json!({"metadata": {"finalizers": ["example.com/backup", FINALIZER]}})).await.unwrap();

    world.delete().await;
    world.state_becomes("Warning").await;
    world.matches("deletion-blocked", NAME).await;

    jetstream::delete_streams(&context).await;
    world.status_becomes("deleted", |status| has(status, "Deleted", "True Deleting", "example.com/backup")).await;
    world.matches("deleting", NAME).await;
    world.patch(json!({"metadata": {"finalizers": null}})).await.unwrap();
    world.gone().await;
}

#[tokio::test]
async fn blocked_change_reads_as_its_example() {
    let world = World::new().await;
    let (server, options) = world.nats_server().await;
    let _manager = world.manager_with(&options).await;
    world.create(json!({"cluster": {"size": 1}})).await;
    world.state_becomes("Ready").await;
    jetstream::create_stream(&jetstream::connect(&server.url()).await, "orders").await;
    world.patch(json!({"spec": {"cluster": {"size": 3}}})).await.unwrap();
    world.status_becomes("blocked", |status| has(status, "Stalled", "True ScalingBlocked", "orders")).await;
    world.matches("blocked", NAME).await;
}

#[tokio::test]
async fn wrong_name_and_missing_zones_read_as_their_examples() {
    let world = World::new().await;
    let three = [("node-a", Some("zone-a")), ("node-b", Some("zone-b")), ("node-c", Some("zone-c"))];
    world.set_zones(three.map(|(node, _)| (node, Some("zone-a")))).await;
    let _manager = world.manager().await;
    world.create(json!({})).await;
    world.state_becomes("Warning").await;
    world.matches("zone-warning", NAME).await;
    world.set_zones(three).await;

    world.create_as(NAMESPACE, "second-nats", json!({})).await.unwrap();
    world.becomes_state("second-nats", "Error").await;
    world.matches("wrong-name", "second-nats").await;
}

fn has(status: &NatsStatus, kind: &str, brief: &str, text: &str) -> bool {
    condition(status, kind)
        .is_some_and(|(holds, reason, message)| format!("{holds} {reason}") == brief && message.contains(text))
}

impl World {
    async fn becomes_state(&self, name: &str, state: &str) {
        let api: Api<Nats> = self.api();
        nats_manager_harness::eventually(&format!("{name} has the state {state}"), crate::world::TIMEOUT, || async {
            api.get(name).await.map(|nats| nats.status.unwrap_or_default().state == state)
        })
        .await;
    }

    /// Compares what kubectl prints of a resource with the example of a situation.
    async fn matches(&self, situation: &str, name: &str) {
        let about = ["nats", name, "-n", NAMESPACE];
        let run = |command: &'static [&'static str], more: &'static [&'static str]| {
            let args: Vec<&str> = command.iter().chain(&about).chain(more).copied().collect();
            async move { self.kubectl(&args).await.unwrap() }
        };
        let shown = [
            ("kubectl get", run(&["get"], &[]).await),
            ("kubectl get -o wide", run(&["get"], &["-o", "wide"]).await),
            ("kubectl describe", run(&["describe"], &["--show-events=false"]).await),
        ];
        let text: Vec<String> =
            shown.iter().map(|(command, output)| format!("{command}\n\n{}", normalized(output))).collect();
        compare(&format!("{situation}.txt"), &text.join("\n"));
        compare(&format!("{situation}.yaml"), &normalized(&run(&["get"], &["-o", "yaml"]).await));
    }
}

/// Replaces times, ages and ids, which differ between runs.
fn normalized(output: &str) -> String {
    let mut text: Vec<String> = output.lines().map(line).collect();
    // The column of ages is as wide as its content.
    if let Some(header) = text.first().filter(|header| header.starts_with("NAME ")).cloned() {
        let columns: Vec<usize> = column_starts(&header);
        let age = columns.iter().position(|start| header[*start..].starts_with("AGE")).unwrap();
        text = text.iter().map(|row| with_age(row, &columns, age)).collect();
    }
    text.join("\n") + "\n"
}

/// Returns where the columns of a table begin.
fn column_starts(header: &str) -> Vec<usize> {
    let bytes = header.as_bytes();
    (0..bytes.len()).filter(|at| bytes[*at] != b' ' && (*at == 0 || bytes[at - 1] == b' ')).collect()
}

/// Replaces the age in a row of a table.
fn with_age(row: &str, columns: &[usize], age: usize) -> String {
    let start = columns[age];
    let end = columns.get(age + 1).copied().unwrap_or(row.len());
    let value = if row[start..].starts_with("AGE") { "AGE" } else { "1m" };
    format!("{}{value:<6}{}", &row[..start], &row[end..]).trim_end().to_owned()
}

fn line(line: &str) -> String {
    let Some((key, value)) = line.split_once(':') else { return line.to_owned() };
    let indentation: String = value.chars().take_while(|letter| *letter == ' ').collect();
    let value = value.trim();
    let replaced = match key.trim().trim_start_matches("- ") {
        "uid" | "UID" => "00000000-0000-0000-0000-000000000000",
        "resourceVersion" => "\"1\"",
        "Resource Version" => "1",
        _ if is_time(value.trim_matches('"')) => {
            return format!(
                "{key}:{indentation}{}",
                if value.starts_with('"') { "\"2026-11-01T00:00:00Z\"" } else { "2026-11-01T00:00:00Z" }
            );
        }
        _ => return line.trim_end().to_owned(),
    };
    format!("{key}:{indentation}{replaced}")
}

/// Returns whether a value is a time such as `2026-11-01T00:00:00Z`.
fn is_time(value: &str) -> bool {
    let digits = value.bytes().filter(u8::is_ascii_digit).count();
    value.len() >= 20 && value.ends_with('Z') && value.as_bytes()[10] == b'T' && digits >= 14
}

fn compare(file: &str, actual: &str) {
    let path = PathBuf::from(FOLDER).join(file);
    if env::var_os("UPDATE_SITUATIONS").is_some() {
        fs::write(&path, actual).unwrap();
        return;
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert!(expected == actual, "{file} differs, write it with UPDATE_SITUATIONS=1:\n{actual}");
}
