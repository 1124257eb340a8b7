//! Defaulting by the webhook: fields that it sets, and values that it keeps.

use serde_json::{Value, json};

use super::nats;
use crate::{
    objects::STATEFUL_SET,
    world::{NAMESPACE, World},
};
use nats_manager_harness::Shell;

const SIZE: &str = "/jetStream/fileStorage/size";

#[tokio::test]
async fn missing_values_are_defaulted_and_set_values_are_kept_verbatim() {
    let world = World::new().await;
    let _manager = world.manager_with_webhook().await;
    let standard = json!({"limits": {"cpu": "500m", "memory": "1Gi"}, "requests": {"cpu": "40m", "memory": "64Mi"}});
    for (spec, pointer, filled) in [
        (json!({}), SIZE, json!("1Gi")),
        (json!({"jetStream": {}}), SIZE, json!("1Gi")),
        (json!({"jetStream": {"fileStorage": {"size": "0"}}}), SIZE, json!("1Gi")),
        (json!({"jetStream": {"fileStorage": {"size": "2048Mi"}}}), SIZE, json!("2048Mi")),
        (json!({"jetStream": {"fileStorage": {"size": 3_000_000_000_u64}}}), SIZE, json!(3_000_000_000_u64)),
        (json!({"jetStream": {"fileStorage": {"enabled": false}}}), SIZE, Value::Null),
        (json!({}), "/resources", standard.clone()),
        (json!({"resources": {}}), "/resources", standard.clone()),
        (json!({"resources": {"limits": {"cpu": "0.2"}}}), "/resources/limits", json!({"cpu": "0.2", "memory": "1Gi"})),
        // A limit becomes the larger of default and request, a request the smaller of default and limit.
        (
            json!({"resources": {"requests": {"memory": "2Gi"}}}),
            "/resources/limits",
            json!({"cpu": "500m", "memory": "2Gi"}),
        ),
        (
            json!({"resources": {"limits": {"cpu": "20m"}}}),
            "/resources/requests",
            json!({"cpu": "20m", "memory": "64Mi"}),
        ),
        (
            json!({"resources": {"limits": {"memory": "1024Mi", "ephemeral-storage": "1Gi"}}}),
            "/resources/limits",
            json!({"cpu": "500m", "memory": "1024Mi", "ephemeral-storage": "1Gi"}),
        ),
    ] {
        let mut object = nats(spec.clone());
        object["spec"] = spec.clone();
        // The test creates objects, since the response to an apply contains numbers as strings.
        let api = crate::objects::nats(&world, NAMESPACE);
        let dry_run = kube::api::PostParams { dry_run: true, ..Default::default() };
        let created = api.create(&dry_run, &serde_json::from_value(object).unwrap()).await.unwrap();
        assert_eq!(created.data["spec"].pointer(pointer).unwrap_or(&Value::Null), &filled, "{spec}");
    }
    let created = world.create(json!({})).await;
    let before = world.stored_spec().await;
    // Defaulting is idempotent: a complete spec passes the webhook unchanged.
    assert_eq!(world.dry_run(before.clone()).await.unwrap()["resources"], before["resources"]);
    let shell = Shell::new(&world.cluster);
    std::fs::write(shell.folder().join("stored.json"), nats(before).to_string()).unwrap();
    shell.done("kubectl replace -f stored.json").await;
    let after = world.api::<nats_manager_api::Nats>().get("eventing-nats").await.unwrap();
    assert_eq!(after.metadata.generation, created.metadata.generation);
}

#[tokio::test]
async fn file_store_size_is_kept_when_it_is_dropped() {
    let world = World::new().await;
    let _manager = world.manager_with_webhook().await;
    let shell = Shell::new(&world.cluster);
    let merge = |spec: Value| {
        format!("kubectl patch nats -n {NAMESPACE} eventing-nats --type merge -p '{}'", json!({"spec": spec}))
    };
    let size = |size: Value| json!({"jetStream": {"fileStorage": {"size": size}}});
    world.create(size(json!("2Gi"))).await;
    world.state_becomes("Ready").await;

    for dropped in
        [size(Value::Null), json!({"jetStream": {"fileStorage": null}}), json!({"jetStream": null}), size(json!("0"))]
    {
        let output = shell.done(&merge(dropped.clone())).await;
        assert_eq!(world.stored_spec().await.pointer(SIZE), Some(&json!("2Gi")), "{dropped}: {output}");
        let output = shell.refused(&merge(size(json!("3Gi")))).await;
        assert!(output.contains("fileStorage is immutable once it was set"), "{output}");
    }
    shell.done(&merge(size(json!("2048Mi")))).await;
    let sizes =
        world.kubectl(&["get", "pvc", "-n", NAMESPACE, "-o", "jsonpath={.items[*].spec.resources.requests.storage}"]);
    assert_eq!(sizes.await.unwrap(), "2Gi 2Gi 2Gi");
}

#[tokio::test]
async fn file_store_on_alicloud_is_at_least_20gi() {
    let world = World::new().await;
    world.set_provider("alicloud").await;
    let _manager = world.manager_with_webhook().await;
    assert_eq!(world.dry_run(json!({})).await.unwrap().pointer(SIZE), Some(&json!("20Gi")));
    let size = |size: &str| json!({"jetStream": {"fileStorage": {"size": size}}});
    assert_eq!(world.dry_run(size("30Gi")).await.unwrap().pointer(SIZE), Some(&json!("30Gi")));
    let Err(kube::Error::Api(status)) = world.dry_run(size("10Gi")).await else { panic!("accepted") };
    let text = "spec.jetStream.fileStorage.size 10Gi is below the minimum required size of 20Gi for alicloud";
    assert!(status.message.contains(text), "{}", status.message);
    let cause = &status.details.unwrap().causes[0];
    assert_eq!(cause.field, "spec.jetStream.fileStorage.size");
}

#[tokio::test]
async fn deployed_size_precedes_provider_default() {
    let world = World::new().await;
    // Without the webhook, as with the Go manager, the size has no default.
    let without = world.manager().await;
    let zero = json!({"jetStream": {"fileStorage": {"size": "0"}}});
    world.create(zero.clone()).await;
    world.state_becomes("Ready").await;
    assert_eq!(world.stored_spec().await.pointer(SIZE), Some(&json!("0")));
    without.terminate().await.unwrap();
    world.set_provider("alicloud").await;
    let _manager = world.manager_with_webhook().await;

    let set = STATEFUL_SET.api(&world).get("eventing-nats").await.unwrap();
    let deployed = set.data.pointer("/spec/volumeClaimTemplates/0/spec/resources/requests/storage");
    assert_eq!(deployed, Some(&json!("1Gi")));
    world.patch(json!({"spec": {"logging": {"debug": true}}})).await.unwrap();
    assert_eq!(world.stored_spec().await.pointer(SIZE), Some(&json!("1Gi")), "not 20Gi");
}

#[tokio::test]
async fn samples_are_accepted_with_expected_warnings() {
    let world = World::new().await;
    let _manager = world.manager_with_webhook().await;
    let shell = Shell::new(&world.cluster);
    let samples = concat!(env!("CARGO_MANIFEST_DIR"), "/config/samples");
    for (sample, warnings) in [
        ("default", &[][..]),
        ("minimal", &[]),
        (
            "full-spec",
            &["spec.jetStream.fileStorage.storageClassName: ", "spec.logging.trace: ", "spec.logging.debug: "],
        ),
        ("size-1", &["spec.cluster.size: "]),
        ("memory-only", &["spec.jetStream.fileStorage: "]),
        ("small-memory-store", &[]),
    ] {
        let output = shell.done(&format!("kubectl apply --dry-run=server -f {samples}/{sample}.yaml")).await;
        let warned: Vec<&str> = output.lines().filter_map(|line| line.strip_prefix("Warning: ")).collect();
        assert_eq!(warned.len(), warnings.len(), "{sample}: {output}");
        for (warned, expected) in warned.iter().zip(warnings) {
            assert!(warned.starts_with(expected), "{sample}: {output}");
        }
    }
    let files = std::fs::read_dir(samples).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(files.filter(|name| name != "kustomization.yaml").count(), 6, "every sample has a line here");
}
