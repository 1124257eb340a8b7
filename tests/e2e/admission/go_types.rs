//! A client with the predecessor's Go types, which writes values that the user did not set.

use nats_manager_harness::Shell;
use serde_json::{Value, json};

use crate::world::{NAME, NAMESPACE, World};

/// `NATS{}` with a name, as `tests/go_types` finds that the types write it.
fn zero_value() -> Value {
    json!({
        "apiVersion": "operator.kyma-project.io/v1alpha1", "kind": "NATS",
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "spec": written("the zero value"),
        "status": {"state": ""},
    })
}

/// Returns the spec that a client with the Go types writes in a case of `api/tests/go_types.yaml`.
pub fn written(case: &str) -> Value {
    let rows: Vec<Value> = serde_saphyr::from_str(include_str!("../../../api/tests/go_types.yaml")).unwrap();
    let row = rows.into_iter().find(|row| row["case"] == case);
    row.unwrap_or_else(|| panic!("no case {case}"))["written"].clone()
}

#[tokio::test]
async fn zero_value_of_go_types_is_stored_with_a_warning_and_stays_editable() {
    let world = World::new().await;
    let _manager = world.manager_with_webhook().await;
    let shell = Shell::new(&world.cluster);
    std::fs::write(shell.folder().join("zero.json"), zero_value().to_string()).unwrap();

    let created = shell.done("kubectl create -f zero.json").await;
    assert!(
        created
            .contains("Warning: spec.jetStream.memStorage.size: 0 turns the memory store off: streams in memory fail"),
        "{created}"
    );
    world.state_becomes("Ready").await;
    let conf = shell.done("kubectl get configmap -n kyma-system eventing-nats-config -o yaml").await;
    assert!(conf.contains("max_memory_store: 0"), "{conf}");

    // What is written back: an absent `false`, and all that the type has no field for is left out.
    let mut edited = zero_value();
    edited["spec"]["cluster"]["size"] = json!(5);
    edited["spec"]["jetStream"]["memStorage"]["enabled"] = json!(true);
    edited["spec"]["jetStream"]["fileStorage"]["storageClassName"] = json!("default");
    std::fs::write(shell.folder().join("edited.json"), edited.to_string()).unwrap();
    let replaced = shell.done("kubectl replace -f edited.json").await;
    assert!(replaced.contains("nats.operator.kyma-project.io/eventing-nats replaced"), "{replaced}");
    let integer = shell
        .refused(&format!(
            "kubectl patch nats -n {NAMESPACE} {NAME} --type merge -p '{{\"spec\":{{\"jetStream\":{{\"memStorage\":{{\"size\":0}}}}}}}}'"
        ))
        .await;
    assert!(integer.contains("can only be enabled if size is not 0"), "{integer}");
}
