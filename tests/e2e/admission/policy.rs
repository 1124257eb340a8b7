//! The policy that limits the content of the webhook configurations.

use kube::api::{Patch, PatchParams};
use nats_manager_harness::{Seen, Shell, documented, eventually};
use serde_json::json;

use super::{configurations::configurations, webhook_options};
use crate::world::{TIMEOUT, World};

#[tokio::test]
async fn policy_limits_webhook_configurations_to_nats_resources() {
    let world = World::new().await;
    let shell = Shell::new(&world.cluster);
    std::os::unix::fs::symlink(concat!(env!("CARGO_MANIFEST_DIR"), "/config"), shell.folder().join("config")).unwrap();
    let blocks = documented::blocks("docs/user/permissions.md", "run: policy");
    assert_eq!(blocks.len(), 1);
    shell.done(&blocks[0].text).await;

    // The manager creates both configurations.
    let _manager = world.manager_with(&webhook_options()).await;
    world.webhook_is_active().await;
    for api in configurations(&world) {
        let foreign = json!([{"apiGroups": [""], "apiVersions": ["*"], "operations": ["*"], "resources": ["secrets"]}]);
        let mut object = serde_json::to_value(api.get("nats-manager").await.unwrap()).unwrap();
        object["webhooks"][0]["rules"] = foreign;
        let webhooks = Patch::Merge(json!({"webhooks": object["webhooks"]}));
        let dry_run = PatchParams { dry_run: true, ..PatchParams::default() };
        // A policy is in force with a delay.
        eventually("other kinds are rejected", TIMEOUT, || async {
            match api.patch("nats-manager", &dry_run, &webhooks).await {
                Err(kube::Error::Api(status)) if status.message.contains("are for NATS resources only") => {
                    Seen::Done(())
                }
                other => Seen::NotYet(format!("{other:?}")),
            }
        })
        .await;
        let label = Patch::Merge(json!({"metadata": {"labels": {"a": "b"}}}));
        api.patch("nats-manager", &PatchParams::default(), &label).await.unwrap();
    }
    let check = &documented::blocks("docs/user/permissions.md", "run: policy check")[0];
    assert!(shell.done(&check.text).await.trim().ends_with("yes"));
    shell.done(&blocks[0].text.replace("kubectl apply", "kubectl delete")).await;
}
