//! Resources that were stored past the webhook: they stay editable, and can go.

use kube::api::DeleteParams;
use nats_manager_api::Nats;
use serde_json::json;

use crate::world::{NAME, NAMESPACE, World};
use nats_manager_harness::Shell;

const FINALIZER: &str = "nats.operator.kyma-project.io/finalizer";

/// As the Go manager stores a resource, and with rules broken that it does not have.
fn by_the_reference() -> serde_json::Value {
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
async fn what_breaks_rules_but_is_stored_stays_editable() {
    let world = World::new().await;
    world.create(by_the_reference()).await;
    let _manager = world.guarded().await;
    let shell = Shell::new(&world.cluster);
    let merge =
        |patch: &serde_json::Value| format!("kubectl patch nats -n {NAMESPACE} {NAME} --type merge -p '{patch}'");

    for elsewhere in [
        json!({"spec": {"logging": {"debug": true}}}),
        json!({"spec": {"cluster": {"size": 5}}}),
        json!({"spec": {"labels": {"mine": "1"}}}),
        json!({"metadata": {"labels": {"kyma-project.io/managed-by": "someone"}}}),
        json!({"metadata": {"finalizers": [FINALIZER, "example.com/another"]}}),
    ] {
        let said = shell.done(&merge(&elsewhere)).await;
        for warning in ["Warning: spec.jetStream.memStorage.size: ", "Warning: spec.resources.requests.cpu: "] {
            assert!(said.contains(warning), "{elsewhere}: {said}");
        }
    }
    // The part that breaks a rule can be mended, and must not become worse.
    let worse = json!({"spec": {"jetStream": {"memStorage": {"size": "3Gi"}}}});
    let said = shell.refused(&merge(&worse)).await;
    assert!(said.contains("must not be more than the memory limit 1Gi"), "{said}");
    let said = shell.done(&merge(&json!({"spec": {"jetStream": {"memStorage": {"size": "512Mi"}}}}))).await;
    assert!(!said.contains("memStorage"), "{said}");

    shell.done(&merge(&json!({"metadata": {"finalizers": null}}))).await;
    shell.done(&format!("kubectl delete nats -n {NAMESPACE} {NAME} --wait=false")).await;
    world.gone().await;
}

#[tokio::test]
async fn a_resource_of_a_wrong_name_that_is_stored_can_be_changed_and_deleted() {
    let world = World::new().await;
    world.create_as("default", "another", json!({})).await.unwrap();
    let _manager = world.guarded().await;
    let shell = Shell::new(&world.cluster);
    shell.done("kubectl label nats -n default another a=b").await;
    shell.done("kubectl delete nats -n default another --timeout=30s").await;
    let again = world.create_as("default", "another", json!({})).await;
    assert!(matches!(again, Err(kube::Error::Api(status)) if status.code == 403));
}

#[tokio::test]
async fn a_resource_on_its_way_out_is_not_reviewed() {
    let world = World::new().await;
    let manager = world.guarded().await;
    let holding = json!({"metadata": {"finalizers": [FINALIZER, "example.com/hold"]}});
    world.create(json!({})).await;
    world.patch(holding).await.unwrap();
    let reviews = || async {
        let mut sum = 0.0;
        for webhook in ["mutate", "validate"] {
            for verdict in ["allowed", "patched", "refused", "ignored", "unreadable", "failed"] {
                let name =
                    format!("nats_manager_admission_reviews_total{{webhook=\"{webhook}\",verdict=\"{verdict}\"}}");
                sum += manager.metric(&name).await.unwrap_or_default();
            }
        }
        sum
    };
    let before = reviews().await;
    assert!(before > 0.0);

    world.api::<Nats>().delete(NAME, &DeleteParams::default()).await.unwrap();
    for rule_breaking in [
        json!({"metadata": {"annotations": {"a": "b"}}}),
        json!({"spec": {"jetStream": {"memStorage": {"size": "3Gi"}}}}),
        json!({"metadata": {"finalizers": null}}),
    ] {
        world.patch(rule_breaking).await.unwrap();
    }
    world.gone().await;
    assert!((reviews().await - before).abs() < 0.5, "{before}");
    // The count moves where it should.
    world.create(json!({})).await;
    assert!(reviews().await > before + 1.5);
}
