//! Counts of a reconcile that changes nothing: allocations, as a test counts them, and instructions, as callgrind counts
//! them for the program of the image on an apiserver stand-in.

use std::{fs, path::Path, process::Stdio, time::Duration};

use nats_manager_harness::{ManagerProcess, memory_apiserver::PODS};
use serde_json::json;
use tokio::{process::Command, time::sleep};

use super::super::{BenchError, callgrind, stand_in::StandIn, wait::until};
use crate::{
    local::{NAME, NAMESPACE},
    workspace,
};

/// Test that counts allocations, and fails beyond the recorded ones.
const TEST: &str = "controller::reconcile::tests::unchanged_reconcile_allocates_no_more_than_recorded";
/// Numbers of events in two runs, whose difference has no start and no end.
const FEW: u32 = 20;
const MANY: u32 = 120;
/// Time between two events, each of which causes a reconcile: longer than the time for which events are collected.
const PACE: Duration = Duration::from_millis(250);
const SERVERS: u32 = 3;
/// JetStream is not polled: an event then costs a reconcile, and nothing else.
const NO_POLLS: &str = "--nats-url=nats://127.0.0.1:1";
const RECONCILED: &str = r#"nats_manager_reconciles_total{outcome="success"}"#;

/// Runs the test that counts allocations. Returns its lines: the contents of the cluster, and the allocations.
pub(super) fn allocations() -> Result<Vec<(String, u64)>, BenchError> {
    let mut cargo = workspace::cargo();
    cargo.args(["test", "--workspace", "--lib", TEST, "--", "--exact", "--nocapture"]);
    let output = cargo.stderr(Stdio::inherit()).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        return Err(BenchError::Counts(format!("the test {TEST} fails:\n{text}")));
    }
    let counted = text.lines().filter_map(|line| {
        let (contents, rest) = line.trim().split_once(": ")?;
        Some((contents.to_owned(), rest.split_once(" allocations, recorded")?.0.parse().ok()?))
    });
    Ok(counted.collect())
}

/// Counts the instructions of a reconcile with its watch event. `None` where valgrind is missing.
pub(super) async fn instructions(program: &Path) -> Result<Option<u64>, BenchError> {
    if !callgrind::is_installed() {
        return Ok(None);
    }
    let stand_in = StandIn::start().await?;
    stand_in.apiserver.put_nodes(SERVERS as usize);
    stand_in.run_cluster(program, &[NO_POLLS], SERVERS, |server| [10, 0, 0, server.to_le_bytes()[0]].into()).await?;
    let few = run(&stand_in, program, FEW).await?;
    let many = run(&stand_in, program, MANY).await?;
    let reconciles = many.reconciles.saturating_sub(few.reconciles).max(1);
    Ok(Some(many.instructions.saturating_sub(few.instructions) / reconciles))
}

/// Instructions of a process, and the reconciles that are a part of them.
struct Run {
    instructions: u64,
    reconciles: u64,
}

/// Runs the manager under callgrind for a number of events.
async fn run(stand_in: &StandIn, program: &Path, events: u32) -> Result<Run, BenchError> {
    let mut command = Command::new(callgrind::PROGRAM);
    command.args(callgrind::ARGUMENTS).arg(program).arg(NO_POLLS);
    let manager = stand_in.ready_manager(command).await?;
    let log = manager.log_path().to_owned();
    // Each check reads the metrics, which costs instructions.
    until("the first reconcile", PACE, async || Ok(reconciles(&manager).await > 0)).await?;
    // The manager's metrics cost instructions too, so they are not read between the events.
    for index in 0..events {
        change_pod(stand_in, index);
        sleep(PACE).await;
    }
    let reconciles = reconciles(&manager).await;
    manager.terminate().await?;
    let instructions = callgrind::collected(&fs::read_to_string(log)?);
    let instructions = instructions.ok_or_else(|| BenchError::Counts("callgrind has printed no count".to_owned()))?;
    Ok(Run { instructions, reconciles })
}

/// Changes the status of a Pod in a way that no reconcile acts upon.
fn change_pod(stand_in: &StandIn, index: u32) {
    let name = format!("{NAME}-0");
    if let Some(mut pod) = stand_in.apiserver.get(PODS, NAMESPACE, &name) {
        pod["status"]["message"] = json!(format!("change {index}"));
        stand_in.apiserver.put(PODS, pod);
    }
}

async fn reconciles(manager: &ManagerProcess) -> u64 {
    let count = manager.metric(RECONCILED).await.unwrap_or_default();
    // A small whole number.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let count = count as u64;
    count
}
