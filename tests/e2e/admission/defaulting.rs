//! What the webhook fills in, and what it leaves alone.

use serde_json::{Value, json};

use super::nats;
use crate::{
    objects::STATEFUL_SET,
    world::{NAMESPACE, World, kubectl},
};
use nats_manager_harness::Shell;

const SIZE: &str = "/jetStream/fileStorage/size";

#[tokio::test]
async fn what_is_missing_is_filled_in_and_what_is_set_stays_to_the_letter() {
    let world = World::new().await;
    let _manager = world.guarded().await;
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
        // Created, not applied: an apply shows numbers as texts.
        let api = crate::objects::nats(&world, NAMESPACE);
        let dry_run = kube::api::PostParams { dry_run: true, ..Default::default() };
        let made = api.create(&dry_run, &serde_json::from_value(object).unwrap()).await.unwrap();
        assert_eq!(made.data["spec"].pointer(pointer).unwrap_or(&Value::Null), &filled, "{spec}");
    }
    let created = world.create(json!({})).await;
    let before = world.stored().await;
    // Idempotent: what came complete out of the webhook goes through it unchanged.
    assert_eq!(world.tries(before.clone()).await.unwrap()["resources"], before["resources"]);
    let shell = Shell::new(&world.cluster);
    std::fs::write(shell.folder().join("stored.json"), nats(before).to_string()).unwrap();
    shell.done("kubectl replace -f stored.json").await;
    let after = world.api::<nats_manager_api::Nats>().get("eventing-nats").await.unwrap();
    assert_eq!(after.metadata.generation, created.metadata.generation);
}

#[tokio::test]
async fn the_size_of_the_file_store_stays_whatever_is_dropped() {
    let world = World::new().await;
    let _manager = world.guarded().await;
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
        let said = shell.done(&merge(dropped.clone())).await;
        assert_eq!(world.stored().await.pointer(SIZE), Some(&json!("2Gi")), "{dropped}: {said}");
        let said = shell.refused(&merge(size(json!("3Gi")))).await;
        assert!(said.contains("fileStorage is immutable once it was set"), "{said}");
    }
    shell.done(&merge(size(json!("2048Mi")))).await;
    let claims = kubectl(
        &world.cluster,
        &["get", "pvc", "-n", NAMESPACE, "-o", "jsonpath={.items[*].spec.resources.requests.storage}"],
    );
    assert_eq!(claims.await.unwrap(), "2Gi 2Gi 2Gi");
}

#[tokio::test]
async fn on_alicloud_the_file_store_is_20gi_at_least() {
    let world = World::new().await;
    world.provider("alicloud").await;
    let _manager = world.guarded().await;
    assert_eq!(world.tries(json!({})).await.unwrap().pointer(SIZE), Some(&json!("20Gi")));
    let size = |size: &str| json!({"jetStream": {"fileStorage": {"size": size}}});
    assert_eq!(world.tries(size("30Gi")).await.unwrap().pointer(SIZE), Some(&json!("30Gi")));
    let Err(kube::Error::Api(status)) = world.tries(size("10Gi")).await else { panic!("accepted") };
    let text = "spec.jetStream.fileStorage.size 10Gi is below the minimum required size of 20Gi for alicloud";
    assert!(status.message.contains(text), "{}", status.message);
    let cause = &status.details.unwrap().causes[0];
    assert_eq!(cause.field, "spec.jetStream.fileStorage.size");
}

#[tokio::test]
async fn what_is_deployed_comes_before_the_default_of_the_provider() {
    let world = World::new().await;
    // Without the webhook, as with the Go manager: nothing is filled in.
    let without = world.manager().await;
    let zero = json!({"jetStream": {"fileStorage": {"size": "0"}}});
    world.create(zero.clone()).await;
    world.state_becomes("Ready").await;
    assert_eq!(world.stored().await.pointer(SIZE), Some(&json!("0")));
    without.terminate().await;
    world.provider("alicloud").await;
    let _manager = world.guarded().await;

    let set = STATEFUL_SET.api(&world).get("eventing-nats").await.unwrap();
    let deployed = set.data.pointer("/spec/volumeClaimTemplates/0/spec/resources/requests/storage");
    assert_eq!(deployed, Some(&json!("1Gi")));
    world.patch(json!({"spec": {"logging": {"debug": true}}})).await.unwrap();
    assert_eq!(world.stored().await.pointer(SIZE), Some(&json!("1Gi")), "not 20Gi");
}

#[tokio::test]
async fn the_default_resource_and_other_samples_get_in_without_a_warning() {
    let world = World::new().await;
    let _manager = world.guarded().await;
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
        let said = shell.done(&format!("kubectl apply --dry-run=server -f {samples}/{sample}.yaml")).await;
        let warned: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("Warning: ")).collect();
        assert_eq!(warned.len(), warnings.len(), "{sample}: {said}");
        for (warned, expected) in warned.iter().zip(warnings) {
            assert!(warned.starts_with(expected), "{sample}: {said}");
        }
    }
    let files = std::fs::read_dir(samples).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(files.filter(|name| name != "kustomization.yaml").count(), 6, "a sample without a line here");
}
