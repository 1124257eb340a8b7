//! Resources that were stored without the webhook: they stay editable and deletable.

use kube::api::DeleteParams;
use nats_manager_api::Nats;
use serde_json::json;

use crate::world::{NAME, NAMESPACE, World};
use nats_manager_harness::Shell;

const FINALIZER: &str = "nats.operator.kyma-project.io/finalizer";

/// Returns a spec as the Go manager stores it, with violations of rules that the Go manager does not have.
fn spec_of_go_manager() -> serde_json::Value {
    json!({
        "cluster": {"size": 3},
        "jetStream": {
            "fileStorage": {"size": "0", "storageClassName": "default"},
            "memStorage": {"enabled": true, "size": "2Gi"},
        },
        "resources": {"limits": {"cpu": "20m", "memory": "1Gi"}, "requests": {"cpu": "40m", "memory": "64Mi"}},
    })
}

#[tokio::test]
async fn stored_violations_do_not_block_other_changes() {
    let world = World::new().await;
    world.create(spec_of_go_manager()).await;
    let _manager = world.manager_with_webhook().await;
    let shell = Shell::new(&world.cluster);
    let merge =
        |patch: &serde_json::Value| format!("kubectl patch nats -n {NAMESPACE} {NAME} --type merge -p '{patch}'");

    for elsewhere in [
        json!({"spec": {"logging": {"debug": true}}}),
        json!({"spec": {"cluster": {"size": 5}}}),
        json!({"spec": {"labels": {"mine": "1"}}}),
    ] {
        let output = shell.done(&merge(&elsewhere)).await;
        for warning in ["Warning: spec.jetStream.memStorage.size: ", "Warning: spec.resources.requests.cpu: "] {
            assert!(output.contains(warning), "{elsewhere}: {output}");
        }
    }
    let metadata =
        json!({"labels": {"kyma-project.io/managed-by": "other"}, "finalizers": [FINALIZER, "example.com/another"]});
    let output = shell.done(&merge(&json!({"metadata": metadata}))).await;
    assert!(!output.contains("Warning"), "not reviewed: {output}");
    // The violating part can be corrected, and must not become worse.
    let worse = json!({"spec": {"jetStream": {"memStorage": {"size": "3Gi"}}}});
    let output = shell.refused(&merge(&worse)).await;
    assert!(output.contains("must not be more than the memory limit 1Gi"), "{output}");
    let output = shell.done(&merge(&json!({"spec": {"jetStream": {"memStorage": {"size": "512Mi"}}}}))).await;
    assert!(!output.contains("memStorage"), "{output}");

    shell.done(&merge(&json!({"metadata": {"finalizers": null}}))).await;
    shell.done(&format!("kubectl delete nats -n {NAMESPACE} {NAME} --wait=false")).await;
    world.gone().await;
}

#[tokio::test]
async fn stored_resource_with_wrong_name_can_be_changed_and_deleted() {
    let world = World::new().await;
    world.create_as("default", "another", json!({})).await.unwrap();
    let _manager = world.manager_with_webhook().await;
    let shell = Shell::new(&world.cluster);
    shell.done("kubectl label nats -n default another a=b").await;
    shell.done("kubectl delete nats -n default another --timeout=30s").await;
    let again = world.create_as("default", "another", json!({})).await;
    assert!(matches!(again, Err(kube::Error::Api(status)) if status.code == 403));
}

#[tokio::test]
async fn only_changes_of_the_spec_are_reviewed() {
    let world = World::new().await;
    let manager = world.manager_with_webhook().await;
    // As large as labels and annotations may be: the match condition compares them.
    let labels: serde_json::Map<_, _> =
        (0..900).map(|index| (format!("{}.example.com/{index:03}", "a".repeat(63)), json!("b".repeat(63)))).collect();
    world.create(json!({"labels": labels, "annotations": {"mine": "c".repeat(120_000)}})).await;
    world.patch(json!({"metadata": {"finalizers": [FINALIZER, "example.com/hold"]}})).await.unwrap();
    world.state_becomes("Ready").await;
    let reviews = || async {
        let mut sum = 0.0;
        for webhook in ["mutate", "validate"] {
            for outcome in ["allowed", "patched", "rejected", "ignored", "unreadable", "failed"] {
                let name =
                    format!("nats_manager_admission_reviews_total{{webhook=\"{webhook}\",outcome=\"{outcome}\"}}");
                sum += manager.metric(&name).await.unwrap_or_default();
            }
        }
        sum
    };
    let before = reviews().await;
    assert!(before > 0.0);
    let same = world.api::<Nats>().get(NAME).await.unwrap().spec;
    for unreviewed in [
        json!({"metadata": {"annotations": {"a": "b"}}}),
        json!({"metadata": {"labels": {"a": "b"}}}),
        json!({"metadata": {"annotations": {"nats.operator.kyma-project.io/force-deletion": "true"}}}),
        json!({"spec": same}),
    ] {
        world.patch(unreviewed).await.unwrap();
    }
    assert!((reviews().await - before).abs() < 0.5, "{before}");
    world.patch(json!({"spec": {"logging": {"debug": true}}})).await.unwrap();
    assert!(reviews().await > before + 1.5);

    // A resource that is being deleted is no exception, but its finalizers come off.
    world.api::<Nats>().delete(NAME, &DeleteParams::default()).await.unwrap();
    let invalid = world.patch(json!({"spec": {"jetStream": {"memStorage": {"size": "3Gi"}}}})).await;
    assert!(matches!(invalid, Err(kube::Error::Api(status)) if status.code == 422));
    world.patch(json!({"metadata": {"finalizers": null}})).await.unwrap();
    world.gone().await;
}
