//! Commands in the user documentation, with their output.
//!
//! A block after `<!-- checked -->` is run, and its output is compared with the lines after its commands.
//! `UPDATE_DOCS=1` writes these lines instead. A block after `<!-- checked: PLACE -->` is run in another environment.

use std::{fmt::Write, path::PathBuf};

use serde_json::json;

use crate::world::World;
use nats_manager_harness::Shell;

const END: &str = "```\n";

#[tokio::test]
async fn rejections_match_documentation() {
    let inventory = |highest_replicas: u32| {
        json!({
            "streams": true, "customerData": true, "highestReplicas": highest_replicas,
            "memoryStreams": true, "memoryUsed": "64Mi",
        })
    };
    {
        let world = World::new().await;
        let _manager = world.manager_with_webhook().await;
        world.create(json!({"cluster": {"size": 1}})).await;
        world.is_ready_for_the_newest_spec().await;
        world.set_jetstream_inventory(inventory(1)).await;
        let checked = check(&Shell::new(&world.cluster), "refusals.md", ": one server").await;
        assert!(checked >= 1, "only {checked} blocks");
    }
    let world = World::new().await;
    let _manager = world.manager_with_webhook().await;
    let shell = Shell::new(&world.cluster);
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/config/samples/default.yaml");
    shell.done(&format!("kubectl apply -f {sample}")).await;
    world.patch(json!({"spec": {"cluster": {"size": 5}}})).await.unwrap();
    world.is_ready_for_the_newest_spec().await;
    world.set_jetstream_inventory(inventory(5)).await;
    let before = world.stored_spec().await;
    let checked = check(&shell, "refusals.md", "").await;
    assert!(checked >= 16, "only {checked} blocks");
    let checked = check(&shell, "scaling.md", "").await;
    assert!(checked >= 1, "only {checked} blocks");
    assert_eq!(world.stored_spec().await, before, "something was stored");
}

#[tokio::test]
async fn recovery_from_outage_matches_documentation() {
    let world = World::new().await;
    let manager = world.manager_with_webhook().await;
    world.create(json!({})).await;
    let shell = Shell::new(&world.cluster);
    manager.kill().await.unwrap();
    let deployment = concat!(env!("CARGO_MANIFEST_DIR"), "/config/manager/deployment.yaml");
    shell.done(&format!("kubectl apply -f {deployment}")).await;
    let checked = check(&shell, "webhook.md", "").await;
    assert!(checked >= 5, "only {checked} blocks");
    shell.done(&format!("kubectl delete -f {deployment}")).await;
}

/// Runs each block of a page that is for `place`, compares the output, and returns the number of blocks.
async fn check(shell: &Shell, file: &str, place: &str) -> usize {
    let mark = format!("<!-- checked{place} -->\n```console\n");
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/user")).join(file);
    let text = std::fs::read_to_string(&path).unwrap();
    let mut parts = text.split(&mark);
    let mut found = parts.next().unwrap_or_default().to_owned();
    let mut blocks = 0;
    for part in parts {
        let (block, rest) = part.split_once(END).unwrap_or_else(|| panic!("a block without an end: {part}"));
        let _ = write!(found, "{mark}{}{END}{rest}", run(shell, block).await);
        blocks += 1;
    }
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, found).unwrap();
    } else {
        assert!(found == text, "{file} differs from the output of kubectl; UPDATE_DOCS=1 updates it:\n{found}");
    }
    blocks
}

/// Returns the commands of a block with their current output.
async fn run(shell: &Shell, block: &str) -> String {
    let mut printed = String::new();
    let mut commands: Vec<String> = Vec::new();
    for line in block.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            commands.push(command.to_owned());
        } else if let (Some(more), Some(command)) = (line.strip_prefix("> "), commands.last_mut()) {
            let _ = write!(command, "\n{more}");
        }
    }
    for command in commands {
        let output = shell.run(&command).await;
        let _ = writeln!(printed, "$ {}", command.replace('\n', "\n> "));
        for line in output.text.lines() {
            let _ = writeln!(printed, "{}", line.trim_end());
        }
    }
    printed
}
