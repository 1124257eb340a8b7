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
        (json!({}), "/resources", standard),
        // Values that follow from others are not stored.
        (json!({"resources": {}}), "/resources", json!({})),
        (json!({"resources": {"limits": {"cpu": "0.2"}}}), "/resources", json!({"limits": {"cpu": "0.2"}})),
        (json!({"resources": {"requests": {"memory": "2Gi"}}}), "/resources", json!({"requests": {"memory": "2Gi"}})),
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
async fn default_limit_that_no_apply_set_follows_an_applied_request() {
    let world = World::new().await;
    let _manager = world.manager_with_webhook().await;
    let shell = Shell::new(&world.cluster);
    let write = |resources: Value| {
        let spec = if resources.is_null() { json!({}) } else { json!({"resources": resources}) };
        std::fs::write(shell.folder().join("nats.json"), nats(spec).to_string()).unwrap();
    };
    let servers_have = async |limits: Value, requests: Value| {
        let resources = json!({"limits": limits, "requests": requests});
        let what = format!("the servers have {resources}");
        STATEFUL_SET
            .becomes(&world, &what, |set| set["spec"]["template"]["spec"]["containers"][2]["resources"] == resources)
            .await;
    };
    let (limits, requests) = (json!({"cpu": "500m", "memory": "1Gi"}), json!({"cpu": "40m", "memory": "64Mi"}));
    for apply in ["kubectl apply -f nats.json", "kubectl apply --server-side --force-conflicts -f nats.json"] {
        write(Value::Null);
        shell.done(apply).await;
        assert_eq!(world.stored_spec().await["resources"]["limits"], limits, "{apply}");
        servers_have(limits.clone(), requests.clone()).await;

        write(json!({"requests": {"memory": "2Gi"}}));
        let output = shell.done(apply).await;
        let warning = "Warning: spec.resources.limits.memory: the stored default 1Gi is ignored";
        assert!(output.contains(warning), "{apply}: {output}");
        servers_have(json!({"cpu": "500m", "memory": "2Gi"}), json!({"cpu": "40m", "memory": "2Gi"})).await;

        // A limit of 0 is no limit.
        write(json!({"requests": {"memory": "2Gi"}, "limits": {"cpu": "0", "memory": "3Gi"}}));
        let output = shell.done(apply).await;
        assert!(!output.contains("Warning"), "{apply}: {output}");
        servers_have(json!({"memory": "3Gi"}), json!({"cpu": "40m", "memory": "2Gi"})).await;

        // Without evidence, the rejection states what to write.
        let patch = |spec: Value| {
            format!("kubectl patch nats -n {NAMESPACE} eventing-nats --type merge -p '{}'", json!({"spec": spec}))
        };
        shell.done(&patch(json!({"resources": null}))).await;
        servers_have(limits.clone(), requests.clone()).await;
        let output = shell.refused(&patch(json!({"resources": {"requests": {"cpu": "1"}}}))).await;
        let expected = "must not be more than the limit 500m, which is the default that is stored if no resources are set; set spec.resources.limits.cpu too";
        assert!(output.contains(expected), "{output}");
        // The servers cannot be asked for streams.
        let forced = "nats.operator.kyma-project.io/force-deletion=true";
        shell.done(&format!("kubectl annotate nats -n {NAMESPACE} eventing-nats {forced}")).await;
        shell.done(&format!("kubectl delete nats -n {NAMESPACE} eventing-nats --timeout=60s")).await;
    }
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
        let output = shell.refused(&merge(size(json!("1Gi")))).await;
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
