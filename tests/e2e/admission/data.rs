//! What JetStream holds, as the stored status tells it.

use kube::api::{Patch, PatchParams};
use nats_manager_api::Nats;
use serde_json::{Value, json};

use super::with_webhook;
use crate::{
    jetstream,
    manager::Options,
    objects,
    world::{NAME, NAMESPACE, World},
};
use nats_manager_harness::Shell;

impl World {
    /// Writes into the status what JetStream holds, as the manager does once it has looked.
    pub async fn holds(&self, jet_stream: Value) {
        let status = Patch::Merge(json!({"status": {"jetStream": jet_stream}}));
        self.api::<Nats>().patch_status(NAME, &PatchParams::default(), &status).await.unwrap();
    }
}

#[tokio::test]
async fn who_deletes_data_is_warned_and_nobody_held_up() {
    let world = World::new().await;
    // Not the one that is deployed, so that its status stays as the test writes it.
    world.create_as("default", "another", json!({})).await.unwrap();
    let manager = world.guarded().await;
    let shell = Shell::new(&world.cluster);
    let api = objects::nats(&world, "default");
    let delete = "kubectl delete nats -n default another --dry-run=server";
    let asked = || async {
        manager.metric("nats_manager_admission_reviews_total{webhook=\"delete\",verdict=\"allowed\"}").await
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
        let said = shell.done(delete).await;
        assert!(!said.contains("Warning"), "{said}");
    }
    assert_eq!(asked().await, Some(0.0), "there is nothing to warn of, so nobody is asked");

    write(json!({"status": {"jetStream": {"streams": true, "customerData": true}}}), true).await;
    let said = shell.done(delete).await;
    assert!(said.starts_with("Warning: NATS another has streams or consumers of yours: its deletion waits"), "{said}");
    assert!(said.contains("nats consumer ls sap\n"), "nothing is cut off: {said}");
    assert_eq!(asked().await, Some(1.0));
    let force = json!({"metadata": {"annotations": {"nats.operator.kyma-project.io/force-deletion": "true"}}});
    write(force, false).await;
    let said = shell.done(delete).await;
    assert!(said.starts_with("Warning: NATS another has streams or consumers of yours, which are deleted"), "{said}");
    // On its way out it is not asked about again, and neither is what the manager does itself.
    write(json!({"metadata": {"finalizers": ["example.com/hold"]}}), false).await;
    let said = shell.done("kubectl delete nats -n default another --wait=false").await;
    assert!(said.starts_with("Warning: "), "{said}");
    let said = shell.done("kubectl delete nats -n default another --wait=false").await;
    assert!(!said.contains("Warning"), "{said}");
    assert_eq!(asked().await, Some(3.0));
    write(json!({"metadata": {"finalizers": null}}), false).await;

    // Without an answer it goes on.
    world.create(json!({})).await;
    manager.kill().await;
    world.holds(json!({"customerData": true})).await;
    let said = shell.done(&format!("kubectl delete nats -n {NAMESPACE} {NAME} --dry-run=server")).await;
    assert!(!said.contains("has streams"), "{said}");
}

#[tokio::test]
async fn growing_that_is_held_can_be_taken_back() {
    let world = World::new().await;
    let (server, options) = world.nats_server().await;
    world.create(json!({"cluster": {"size": 1}})).await;
    let context = jetstream::connect(&server.url()).await;
    jetstream::make_stream(&context, "orders").await;
    let size = |size: i64| json!({"spec": {"cluster": {"size": size}}});

    // Below the webhook.
    let manager = world.manager_with(&options).await;
    world.state_becomes("Ready").await;
    world.patch(size(3)).await.unwrap();
    is_held(&world).await;
    let four = world.patch(size(4)).await.unwrap_err();
    assert!(four.to_string().contains("size only accepts odd numbers"), "{four}");
    world.patch(size(1)).await.unwrap();
    world.status_becomes("nothing is held", |status| !says_held(status)).await;
    world.patch(size(3)).await.unwrap();
    is_held(&world).await;
    manager.terminate().await;

    // And with it, once it knows what is deployed.
    let _manager = world.manager_with(&Options { nats_url: options.nats_url, ..with_webhook() }).await;
    world.is_guarded().await;
    world.patch(size(1)).await.unwrap();
    world.status_becomes("nothing is held", |status| !says_held(status)).await;
    world.holds(json!({"streams": true, "highestReplicas": 1})).await;
    let refused = world.patch(size(3)).await.unwrap_err();
    assert!(refused.to_string().contains("cannot be set to 3 while there are streams"), "{refused}");

    // Once it was carried out there is no way back.
    jetstream::clear(&context).await;
    world.holds(json!({"streams": false})).await;
    world.patch(size(3)).await.unwrap();
    world.status_becomes("it is a cluster", |status| status.members == Some(3)).await;
    let Err(kube::Error::Api(status)) = world.patch(size(1)).await else { panic!("accepted") };
    let causes = status.details.unwrap().causes;
    assert_eq!(causes[0].field, "spec.cluster.size");
    assert!(causes[0].message.contains("cannot be set to 1 if size was greater than 1"), "{causes:?}");
}

fn says_held(status: &nats_manager_api::NatsStatus) -> bool {
    status
        .condition(nats_manager_api::ConditionType::Stalled)
        .is_some_and(|condition| condition.reason == "ScalingBlocked")
}

async fn is_held(world: &World) {
    world.status_becomes("the change is held", says_held).await;
}
