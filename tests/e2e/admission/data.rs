//! Admission that depends on the JetStream inventory in the stored status.

use kube::api::{Patch, PatchParams};
use nats_manager_api::Nats;
use serde_json::{Value, json};

use super::webhook_options;
use crate::{
    jetstream,
    manager::ManagerOptions,
    objects,
    world::{NAME, NAMESPACE, TIMEOUT, World},
};
use nats_manager_harness::{Shell, eventually};

impl World {
    /// Writes an inventory of JetStream into the status, as the manager does after a poll.
    pub async fn set_jetstream_inventory(&self, jet_stream: Value) {
        let status = Patch::Merge(json!({"status": {"jetStream": jet_stream}}));
        self.api::<Nats>().patch_status(NAME, &PatchParams::default(), &status).await.unwrap();
    }
}

#[tokio::test]
async fn deletion_of_data_is_warned_about_but_not_rejected() {
    let world = World::new().await;
    // The manager does not deploy this resource, so it does not overwrite the status that the test writes.
    world.create_as("default", "another", json!({})).await.unwrap();
    let manager = world.manager_with_webhook().await;
    let shell = Shell::new(&world.cluster);
    let api = objects::nats(&world, "default");
    let delete = "kubectl delete nats -n default another --dry-run=server";
    let reviews = || async {
        manager.metric("nats_manager_admission_reviews_total{webhook=\"delete\",outcome=\"allowed\"}").await
    };
    let write = |patch: Value, status: bool| {
        let (api, patch) = (api.clone(), Patch::Merge(patch));
        async move {
            let parameters = PatchParams::default();
            let written = if status {
                api.patch_status("another", &parameters, &patch).await
            } else {
                api.patch("another", &parameters, &patch).await
            };
            written.unwrap();
        }
    };

    for harmless in [json!({}), json!({"jetStream": {"streams": true, "customerData": false}})] {
        write(json!({"status": harmless}), true).await;
        let output = shell.done(delete).await;
        assert!(!output.contains("Warning"), "{output}");
    }
    assert_eq!(reviews().await, Some(0.0), "without data the webhook is not called");

    write(json!({"status": {"jetStream": {"streams": true, "customerData": true}}}), true).await;
    let output = shell.done(delete).await;
    assert!(
        output.starts_with("Warning: NATS another has streams or consumers of users: its deletion waits"),
        "{output}"
    );
    assert!(output.contains("nats consumer ls sap\n"), "the warning is complete: {output}");
    assert_eq!(reviews().await, Some(1.0));
    let force = json!({"metadata": {"annotations": {"nats.operator.kyma-project.io/force-deletion": "true"}}});
    write(force, false).await;
    let output = shell.done(delete).await;
    assert!(
        output.starts_with("Warning: NATS another has streams or consumers of users, which are deleted"),
        "{output}"
    );
    // A resource that is being deleted is not reviewed again, and neither are requests of the manager.
    write(json!({"metadata": {"finalizers": ["example.com/hold"]}}), false).await;
    let output = shell.done("kubectl delete nats -n default another --wait=false").await;
    assert!(output.starts_with("Warning: "), "{output}");
    let output = shell.done("kubectl delete nats -n default another --wait=false").await;
    assert!(!output.contains("Warning"), "{output}");
    assert_eq!(reviews().await, Some(3.0));
    write(json!({"metadata": {"finalizers": null}}), false).await;

    // Without a response the deletion continues.
    world.create(json!({})).await;
    manager.kill().await.unwrap();
    world.set_jetstream_inventory(json!({"customerData": true})).await;
    let output = shell.done(&format!("kubectl delete nats -n {NAMESPACE} {NAME} --dry-run=server")).await;
    assert!(!output.contains("has streams"), "{output}");
}

#[tokio::test]
async fn blocked_scale_up_can_be_reverted() {
    let world = World::new().await;
    let (server, options) = world.nats_server().await;
    world.create(json!({"cluster": {"size": 1}})).await;
    let context = jetstream::connect(&server.url()).await;
    jetstream::create_stream(&context, "orders").await;
    let size = |size: i64| json!({"spec": {"cluster": {"size": size}}});

    // Without the webhook, only the CRD validates.
    let manager = world.manager_with(&options).await;
    world.state_becomes("Ready").await;
    world.patch(size(3)).await.unwrap();
    scaling_becomes_blocked(&world).await;
    let four = world.patch(size(4)).await.unwrap_err();
    assert!(four.to_string().contains("size only accepts odd numbers"), "{four}");
    world.patch(size(1)).await.unwrap();
    world.status_becomes("nothing is blocked", |status| !is_scaling_blocked(status)).await;
    world.patch(size(3)).await.unwrap();
    scaling_becomes_blocked(&world).await;
    manager.terminate().await.unwrap();

    // The webhook validates too, once it has read the deployed objects.
    let _manager = world.manager_with(&ManagerOptions { nats_url: options.nats_url, ..webhook_options() }).await;
    world.webhook_is_active().await;
    world.patch(size(1)).await.unwrap();
    world.status_becomes("nothing is blocked", |status| !is_scaling_blocked(status)).await;
    world.set_jetstream_inventory(json!({"streams": true, "highestReplicas": 1})).await;
    let rejected = world.patch(size(3)).await.unwrap_err();
    assert!(rejected.to_string().contains("cannot be set to 3 while there are streams"), "{rejected}");

    // A completed scale-up cannot be undone.
    jetstream::delete_streams(&context).await;
    // The manager may be about to write another field of the earlier inventory, and the inventory with it.
    eventually("the scale-up is accepted", TIMEOUT, || async {
        world.set_jetstream_inventory(json!({"streams": false})).await;
        world.patch(size(3)).await.map(|_| true)
    })
    .await;
    world.status_becomes("it is a cluster", |status| status.members == Some(3)).await;
    let Err(kube::Error::Api(status)) = world.patch(size(1)).await else { panic!("accepted") };
    let causes = status.details.unwrap().causes;
    assert_eq!(causes[0].field, "spec.cluster.size");
    assert!(causes[0].message.contains("cannot be set to 1 if size was greater than 1"), "{causes:?}");
}

/// Returns whether the status reports a blocked change of the size.
fn is_scaling_blocked(status: &nats_manager_api::NatsStatus) -> bool {
    status
        .condition(nats_manager_api::ConditionType::Stalled)
        .is_some_and(|condition| condition.reason == "ScalingBlocked")
}

/// Waits until the status reports a blocked change of the size.
async fn scaling_becomes_blocked(world: &World) {
    world.status_becomes("the change is blocked", is_scaling_blocked).await;
}
