//! Ownership of children: foreign controllers, and adoption of existing objects.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams},
};
use nats_manager_harness::eventually;
use serde_json::{Value, json};

use super::password;
use crate::{
    objects::{BUDGET, CONFIG_MAP, Child, SECRET, SERVICE, STATEFUL_SET},
    world::{TIMEOUT, World, condition},
};

#[tokio::test]
async fn child_with_foreign_controller_is_not_taken_over() {
    let world = World::new().await;
    let owner = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "other-owner"}});
    let owners: Api<ConfigMap> = world.api();
    let owner = owners.patch("other-owner", &PatchParams::apply("other-manager"), &Patch::Apply(&owner)).await.unwrap();
    let foreign = |kind: &str| {
        let metadata = json!({
            "labels": {"whose": "theirs"},
            "ownerReferences": [{
                "apiVersion": "v1", "kind": "ConfigMap", "name": "other-owner", "uid": owner.uid(), "controller": true,
            }],
        });
        let spec = match kind {
            "Service" => json!({"ports": [{"port": 1}], "clusterIP": "None"}),
            "StatefulSet" => json!({
                "replicas": 0,
                "serviceName": "theirs",
                "selector": {"matchLabels": {"whose": "theirs"}},
                "template": {
                    "metadata": {"labels": {"whose": "theirs"}},
                    "spec": {"containers": [{"name": "a", "image": "a"}]},
                },
            }),
            _ => json!({}),
        };
        match kind {
            "Secret" | "ConfigMap" => json!({"metadata": metadata, "data": {}}),
            _ => json!({"metadata": metadata, "spec": spec}),
        }
    };
    let children: [Child; 5] = [SECRET, CONFIG_MAP, SERVICE, BUDGET, STATEFUL_SET];
    for child in children {
        child.create(&world, "other-manager", foreign(child.kind)).await;
    }
    let _manager = world.manager().await;
    world.create(json!({})).await;

    let cause = |child: &Child| {
        format!(
            "{} {} belongs to ConfigMap other-owner and is not taken over; delete it, or remove its owner reference, to let NATS Manager create its own",
            child.kind, child.name
        )
    };
    for (index, child) in children.into_iter().enumerate() {
        // Each object is reported, and none keeps another from being applied.
        let remaining = &children[index..];
        let causes: Vec<String> = remaining.iter().map(cause).collect();
        let status = world
            .status_becomes(&format!("Error that names the {}", child.kind), |status| {
                let is_reported = |message: &str| causes.iter().all(|cause| message.contains(cause));
                condition(status, "Available").is_some_and(|(_, _, message)| is_reported(&message))
                    && condition(status, "Stalled").is_some_and(|(_, _, message)| is_reported(&message))
            })
            .await;
        assert_eq!(status.state, "Error");
        let (holds, reason, message) = condition(&status, "Available").unwrap();
        assert_eq!((holds.as_str(), reason.as_str()), ("False", "FailedProcessing"));
        assert_eq!(condition(&status, "StatefulSet").unwrap().1, "FailedToSyncResources");
        eventually("an event names them", TIMEOUT, || async {
            let events = world.events().await;
            events.iter().any(|(_, reason, note)| reason == "FailedProcessing" && note.starts_with(&message))
        })
        .await;
        let object = child.get(&world).await;
        assert_eq!(object["metadata"]["labels"]["whose"], "theirs", "{}", child.kind);
        assert_eq!(object["metadata"]["labels"]["app.kubernetes.io/name"], Value::Null, "{}", child.kind);
        if child.kind == BUDGET.kind {
            child.change(&world, json!({"metadata": {"ownerReferences": null}})).await;
        } else {
            child.delete(&world).await;
        }
    }
    world.state_becomes("Ready").await;
    assert_eq!(BUDGET.get(&world).await["spec"]["maxUnavailable"], 1);
    owners.delete("other-owner", &DeleteParams::default()).await.unwrap();
}

#[tokio::test]
async fn password_is_generated_once_and_kept() {
    let world = World::new().await;
    let old = json!({"metadata": {}, "type": "Opaque", "stringData": {"resolver.conf": "accounts: {} # another's"}});
    SECRET.create(&world, "other-manager", old).await;
    let before = SECRET.get(&world).await;
    let kept = |now: &Value| now["data"]["resolver.conf"] == before["data"]["resolver.conf"];

    let manager = world.manager().await;
    world.create(json!({})).await;
    world.state_becomes("Ready").await;
    let taken_over = SECRET.get(&world).await;
    assert_eq!(taken_over["metadata"]["ownerReferences"][0]["kind"], "NATS");
    assert!(kept(&taken_over));

    world.patch(json!({"spec": {"labels": {"a": "1"}}})).await.unwrap();
    SECRET
        .becomes(&world, "is applied again with its content", |now| now["metadata"]["labels"]["a"] == "1" && kept(now))
        .await;
    manager.terminate().await.unwrap();
    let _manager = world.manager().await;
    world.reconcile_again().await;
    assert!(kept(&SECRET.get(&world).await));

    // Servers cannot use an empty Secret.
    SECRET.change(&world, json!({"data": {"resolver.conf": null}})).await;
    SECRET.becomes(&world, "gets a password", |now| password(now).len() == 60).await;
}
