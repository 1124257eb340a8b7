//! The subresource `scale`: the same checks as for the size in the spec.

use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::{
    objects,
    world::{NAME, NAMESPACE, TIMEOUT, World},
};
use nats_manager_harness::{Shell, eventually};

#[tokio::test]
async fn kubectl_scale_passes_the_rules_of_the_size() {
    let world = World::new().await;
    // The manager does not deploy this resource, so it does not overwrite the status that the test writes.
    world.create_as("default", "another", json!({"cluster": {"size": 5}})).await.unwrap();
    let _manager = world.manager_with_webhook().await;
    let api = objects::nats(&world, "default");
    let status = json!({"status": {"jetStream": {"streams": true, "highestReplicas": 5}}});
    api.patch_status("another", &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
    let shell = Shell::new(&world.cluster);
    let scale = |size: i32| format!("kubectl scale nats -n default another --replicas={size}");

    // Only the webhook has this rule. Its cache follows the status with a delay.
    let expected = "spec.cluster.size: Invalid value: 3: is too small for a stream with 5 replicas";
    eventually("a size below the replicas of a stream is rejected", TIMEOUT, || async {
        shell.run(&format!("{} --dry-run=server", scale(3))).await.text.contains(expected)
    })
    .await;
    for (size, expected) in [
        (4, "size only accepts odd numbers"),
        (0, "should be greater than or equal to 1"),
        (1, "cannot be set to 1 if size was greater than 1"),
    ] {
        let output = shell.refused(&scale(size)).await;
        assert!(output.contains(expected), "{size}: {output}");
    }
    shell.done(&scale(7)).await;

    world.create(json!({})).await;
    world.state_becomes("Ready").await;
    let fields = "jsonpath={.spec.replicas} {.status.replicas}";
    let shown = world.kubectl(&["get", "nats", "-n", NAMESPACE, NAME, "--subresource=scale", "-o", fields]).await;
    assert_eq!(shown.unwrap(), "3 3");
}
