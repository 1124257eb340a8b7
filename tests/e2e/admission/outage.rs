//! Outage of the manager: effects on requests, and the documented recovery.

use kube::api::{DeleteParams, Patch, PatchParams};
use nats_manager_api::Nats;
use nats_manager_harness::eventually;
use serde_json::json;

use crate::world::{NAME, NAMESPACE, TIMEOUT, World};
use nats_manager_harness::Shell;

#[tokio::test]
async fn outage_rejects_changes_of_the_spec_only() {
    let world = World::new().await;
    let manager = world.manager_with_webhook().await;
    world.create(json!({})).await;
    world.state_becomes("Ready").await;
    manager.kill().await.unwrap();
    let shell = Shell::new(&world.cluster);

    let patch = format!(
        "kubectl patch nats -n {NAMESPACE} {NAME} --type merge -p '{{\"spec\":{{\"logging\":{{\"debug\":true}}}}}}'"
    );
    let other = format!("kubectl create -f {}/config/samples/default.yaml", env!("CARGO_MANIFEST_DIR"));
    for command in [&*patch, &other, &format!("{patch} --dry-run=server")] {
        let output = shell.refused(command).await;
        let expected = "failed calling webhook \"validate.nats.operator.kyma-project.io\"";
        assert!(output.contains(expected) && output.contains("connection refused"), "{command}: {output}");
    }
    // Status writes bypass the webhook.
    let status = json!({"status": {"url": "nats://elsewhere"}});
    world.api::<Nats>().patch_status(NAME, &PatchParams::default(), &Patch::Merge(status)).await.unwrap();

    // Changes of metadata bypass the webhook.
    let annotate = format!("kubectl annotate nats -n {NAMESPACE} {NAME}");
    for command in [
        &format!("kubectl label nats -n {NAMESPACE} {NAME} a=b"),
        &format!("{annotate} nats.operator.kyma-project.io/force-rollout=true"),
        &format!("{annotate} nats.operator.kyma-project.io/force-deletion=true"),
    ] {
        shell.done(command).await;
    }

    // A deletion works, including the removal of finalizers.
    world.api::<Nats>().delete(NAME, &DeleteParams::default()).await.unwrap();
    let deleted = world.api::<Nats>().get(NAME).await.unwrap();
    assert!(deleted.metadata.deletion_timestamp.is_some());
    let output = shell.refused(&patch).await;
    assert!(output.contains("failed calling webhook"), "a terminating resource is reviewed too: {output}");
    world.patch(json!({"metadata": {"finalizers": null}})).await.unwrap();
    world.gone().await;

    // This is the recovery that the documentation describes.
    shell.done("kubectl delete validatingwebhookconfiguration nats-manager").await;
    eventually("resources are accepted again", TIMEOUT, || async { world.dry_run(json!({})).await.map(|_| true) })
        .await;
}
