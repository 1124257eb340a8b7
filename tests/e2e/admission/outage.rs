//! The manager is down: what goes on, and how one gets out.

use kube::api::{DeleteParams, Patch, PatchParams};
use nats_manager_api::Nats;
use nats_manager_harness::eventually;
use serde_json::json;

use crate::world::{NAME, NAMESPACE, SOON, World};
use nats_manager_harness::Shell;

#[tokio::test]
async fn with_the_manager_down_nothing_gets_in_but_what_is_there_can_go() {
    let world = World::new().await;
    let manager = world.guarded().await;
    world.create(json!({})).await;
    world.state_becomes("Ready").await;
    manager.kill().await;
    let shell = Shell::new(&world.cluster);

    let patch = format!(
        "kubectl patch nats -n {NAMESPACE} {NAME} --type merge -p '{{\"spec\":{{\"logging\":{{\"debug\":true}}}}}}'"
    );
    let other = format!("kubectl create -f {}/config/samples/default.yaml", env!("CARGO_MANIFEST_DIR"));
    for command in [
        &*patch,
        &other,
        &format!("{patch} --dry-run=server"),
        &format!("kubectl label nats -n {NAMESPACE} {NAME} a=b"),
    ] {
        let said = shell.refused(command).await;
        let expected = "failed calling webhook \"validate.nats.operator.kyma-project.io\"";
        assert!(said.contains(expected) && said.contains("connection refused"), "{command}: {said}");
    }
    // The status is written past the webhook.
    let status = json!({"status": {"url": "nats://elsewhere"}});
    world.api::<Nats>().patch_status(NAME, &PatchParams::default(), &Patch::Merge(status)).await.unwrap();

    // A deletion goes its way, finalizers and all.
    world.api::<Nats>().delete(NAME, &DeleteParams::default()).await.unwrap();
    let held = world.api::<Nats>().get(NAME).await.unwrap();
    assert!(held.metadata.deletion_timestamp.is_some());
    world.patch(json!({"metadata": {"labels": {"a": "b"}}})).await.unwrap();
    world.patch(json!({"metadata": {"finalizers": null}})).await.unwrap();
    world.gone().await;

    // The way out that the documentation names.
    shell.done("kubectl delete validatingwebhookconfiguration nats-manager").await;
    eventually("resources get in again", SOON, || async { world.tries(json!({})).await.map(|_| true) }).await;
}
