//! Messages that users of kubectl get for invalid specs.

use serde_json::{Value, json};

use super::nats;
use crate::world::{NAME, NAMESPACE, World};
use nats_manager_harness::Shell;

const MEMORY: &str =
    "spec.jetStream.memStorage.size: Invalid value: \"3Gi\": must not be more than the memory limit 1Gi";
const CPU: &str = "spec.resources.requests.cpu: Invalid value: \"2\": must not be more than the limit 1";

/// Returns a spec with two mistakes that only the webhook finds.
fn invalid_spec() -> Value {
    json!({
        "jetStream": {"memStorage": {"size": "3Gi"}},
        "resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}},
    })
}

/// Writes a JSON file into the folder of a shell.
fn file(shell: &Shell, name: &str, content: &Value) {
    std::fs::write(shell.folder().join(name), content.to_string()).unwrap();
}

#[tokio::test]
async fn every_create_command_reports_all_mistakes_and_stores_nothing() {
    let world = World::new().await;
    let _manager = world.manager_with_webhook().await;
    let shell = Shell::new(&world.cluster);
    file(&shell, "bad.json", &nats(invalid_spec()));
    file(&shell, "good.json", &nats(json!({"cluster": {"size": 1}})));

    for command in [
        "create -f bad.json",
        "create -f bad.json --dry-run=server",
        "apply -f bad.json",
        "apply -f bad.json --dry-run=server",
        "apply -f bad.json --server-side",
        "apply -f bad.json --server-side --dry-run=server",
        "replace --force -f bad.json",
    ] {
        let output = shell.refused(&format!("kubectl {command}")).await;
        assert!(output.contains("The NATS \"eventing-nats\" is invalid"), "{command}: {output}");
        for mistake in [MEMORY, CPU] {
            assert!(output.contains(mistake), "{command}: {mistake}: {output}");
        }
        assert_eq!(shell.done("kubectl get nats -A -o name").await, "", "{command}");
    }
    for command in ["create -f good.json --dry-run=server", "apply -f good.json --server-side --dry-run=server"] {
        let output = shell.done(&format!("kubectl {command}")).await;
        assert!(output.contains("Warning: spec.cluster.size: "), "{command}: {output}");
        assert!(output.contains("server dry run"), "{command}: {output}");
        assert_eq!(shell.done("kubectl get nats -A -o name").await, "", "{command}");
    }
    let shown = shell.done("kubectl create -f good.json --dry-run=server -o json 2>/dev/null").await;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["spec"]["jetStream"]["fileStorage"]["size"], "1Gi", "a dry run shows the defaults");
    let output = shell.done("kubectl create -f good.json").await;
    assert!(output.contains("Warning: spec.cluster.size: "), "{output}");
}

#[tokio::test]
async fn every_change_command_reports_all_mistakes_and_stores_nothing() {
    let world = World::new().await;
    let _manager = world.manager_with_webhook().await;
    let shell = Shell::new(&world.cluster);
    file(&shell, "good.json", &nats(json!({})));
    shell.done("kubectl apply -f good.json").await;
    world.state_becomes("Ready").await;
    let before = world.stored_spec().await;
    file(&shell, "bad.json", &nats(invalid_spec()));
    std::fs::write(shell.folder().join("patch.json"), json!({"spec": invalid_spec()}).to_string()).unwrap();
    let operations = json!([
        {"op": "replace", "path": "/spec/jetStream/memStorage/size", "value": "3Gi"},
        {"op": "replace", "path": "/spec/resources", "value": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}},
    ]);
    file(&shell, "operations.json", &operations);

    let patch = format!("patch nats -n {NAMESPACE} {NAME}");
    for command in [
        "apply -f bad.json".to_owned(),
        "apply -f bad.json --dry-run=server".to_owned(),
        "apply -f bad.json --server-side --force-conflicts".to_owned(),
        "replace -f bad.json".to_owned(),
        "replace -f bad.json --dry-run=server".to_owned(),
        format!("{patch} --type merge --patch-file patch.json"),
        format!("{patch} --type merge --patch-file patch.json --dry-run=server"),
        format!("{patch} --type json --patch-file operations.json"),
    ] {
        let output = shell.refused(&format!("kubectl {command}")).await;
        assert!(output.contains("\"eventing-nats\" is invalid"), "{command}: {output}");
        for mistake in [MEMORY, CPU] {
            assert!(output.contains(mistake), "{command}: {mistake}: {output}");
        }
        assert_eq!(world.stored_spec().await, before, "{command}");
    }
    let output = shell
        .done(&format!("kubectl {patch} --type merge -p '{}'", json!({"spec": {"logging": {"trace": true}}})))
        .await;
    assert!(output.contains("Warning: spec.logging.trace: "), "{output}");
}

#[tokio::test]
async fn rejected_edit_shows_the_reason_in_the_editor() {
    let world = World::new().await;
    let _manager = world.manager_with_webhook().await;
    world.create(json!({})).await;
    let shell = Shell::new(&world.cluster);
    // The editor records each file that it opens. The second time there is nothing left to replace.
    let editor = "#!/bin/sh\ncp \"$1\" \"shown-$(ls shown-* 2>/dev/null | wc -l)\"\nsed -i \"$(cat change)\" \"$1\"\n";
    std::fs::write(shell.folder().join("editor"), editor).unwrap();
    shell.done("chmod +x editor").await;
    let edit = format!("KUBE_EDITOR=./editor kubectl edit nats -n {NAMESPACE} {NAME}");

    let cpu = "spec.resources.requests.cpu: Invalid value: \"40m\": must not be more than the limit 10m";
    for (change, reason) in [("s/500m/10m/", cpu), ("s/  size: 3$/  size: 4/", "size only accepts odd numbers")] {
        std::fs::write(shell.folder().join("change"), change).unwrap();
        let output = shell.refused(&edit).await;
        assert!(output.contains("Edit cancelled, no valid changes were saved"), "{output}");
        let shown = std::fs::read_to_string(shell.folder().join("shown-1")).unwrap();
        assert!(shown.lines().any(|line| line.starts_with("# ") && line.contains(reason)), "{shown}");
        assert_eq!(world.stored_spec().await["cluster"]["size"], 3);
        shell.done("rm shown-*").await;
    }

    std::fs::write(shell.folder().join("change"), "s/  size: 3$/  size: 5/").unwrap();
    shell.done(&edit).await;
    assert_eq!(world.stored_spec().await["cluster"]["size"], 5);
}
