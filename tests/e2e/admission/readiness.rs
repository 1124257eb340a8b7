//! Readiness of the webhook in `/readyz`.

use jiff::Timestamp;
use k8s_openapi::api::{coordination::v1::Lease, core::v1::Secret, rbac::v1::Role};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use nats_manager_harness::{Seen, eventually};
use serde_json::{Value, json};

use super::{certificates::CA, webhook_options};
use crate::world::{NAMESPACE, TIMEOUT, World};

#[tokio::test]
async fn readiness_names_missing_permission_and_missing_ca() {
    let world = World::new().await;
    let roles = world.api::<Role>();
    let complete = roles.get("nats-manager-webhook").await.unwrap();
    let mut reduced = complete.clone();
    for rule in reduced.rules.iter_mut().flatten() {
        if rule.resource_names.as_ref().is_some_and(|names| names.iter().any(|name| name == CA)) {
            rule.verbs.retain(|verb| verb == "list" || verb == "watch");
        }
    }
    roles.replace("nats-manager-webhook", &PostParams::default(), &reduced).await.unwrap();
    let manager = world.spawn(&webhook_options());
    let named = "[-]webhook-certificate: cannot write the Secret nats-manager-webhook-ca: ";
    eventually("the permission is named", TIMEOUT, || async {
        match manager.readyz().await {
            Some((503, text)) if text.contains(named) && text.contains("cannot patch resource \"secrets\"") => {
                Seen::Done(())
            }
            other => Seen::NotYet(format!("{other:?}")),
        }
    })
    .await;
    let folder = format!("{}/config/rbac", env!("CARGO_MANIFEST_DIR"));
    world.kubectl(&["apply", "--server-side", "--force-conflicts", "-k", &folder]).await.unwrap();
    manager.ready().await.terminate().await.unwrap();

    // Another replica leads and has not generated the CA.
    world.api::<Secret>().delete(CA, &DeleteParams::default()).await.unwrap();
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "nats-manager", "namespace": NAMESPACE},
        "spec": {
            "holderIdentity": "another",
            "leaseDurationSeconds": 3600,
            "acquireTime": micro_time(),
            "renewTime": micro_time(),
        },
    });
    world
        .api::<Lease>()
        .patch("nats-manager", &PatchParams::apply("another").force(), &Patch::Apply(&lease))
        .await
        .unwrap();
    let mut options = webhook_options();
    options.args.push("--leader-elect".to_owned());
    let follower = world.spawn(&options);
    eventually("it waits for the leader", TIMEOUT, || async {
        match follower.readyz().await {
            Some((503, text)) if text.contains("[-]webhook-certificate: waiting for the leader to create the CA") => {
                Seen::Done(())
            }
            other => Seen::NotYet(format!("{other:?}")),
        }
    })
    .await;
    assert_eq!(follower.terminate().await.unwrap(), Some(0));
}

fn micro_time() -> Value {
    json!(Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.000000Z").to_string())
}
