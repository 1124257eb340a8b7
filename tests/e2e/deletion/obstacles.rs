//! Obstacles during a deletion: failed requests, new streams, foreign owners, Pods that do not terminate.

use std::collections::BTreeSet;

use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{ConfigMap, Pod},
};
use kube::{
    ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use nats_manager_api::{NamespacedName, Nats, naming};
use nats_manager_harness::eventually;
use serde_json::json;

use super::{CUSTOMER_STREAM, delete_and_wait, deploy, pvc_names, pvcs_are_deleted};
use crate::{
    jetstream,
    objects::STATEFUL_SET,
    rejections::REJECTION,
    world::{NAME, NAMESPACE, SERVICE_ACCOUNT, TIMEOUT, World, condition},
};

#[tokio::test]
async fn interrupted_deletion_continues() {
    let world = World::new().await;
    let (mut server, options) = world.nats_server().await;
    let manager = world.manager_with(&options).await;
    deploy(&world, json!({})).await;
    world.reject(&["DELETE"], "", "persistentvolumeclaims").await;
    let audit = world.cluster.audit().unwrap();
    let mark = audit.mark().await.unwrap();

    world.delete().await;
    let status = world.state_becomes("Warning").await;
    let (holds, reason, message) = condition(&status, "Deleted").unwrap();
    assert_eq!((holds.as_str(), reason.as_str()), ("True", "DeletionError"), "{message}");
    assert!(message.contains("cannot delete the PVCs") && message.contains(REJECTION), "{message}");
    assert!(world.api::<StatefulSet>().get_opt(NAME).await.unwrap().is_none());
    // The deletion is retried, and reported once.
    let nats = world.api::<Nats>();
    let version = nats.get(NAME).await.unwrap().resource_version();
    eventually("the deletion was retried", TIMEOUT, || async {
        let tries = audit.since(mark).await.unwrap().into_iter().filter(|event| {
            (event.user.as_str(), event.verb.as_str()) == (SERVICE_ACCOUNT, "delete")
                && event.resource == "persistentvolumeclaims"
        });
        tries.count() >= 4
    })
    .await;
    assert_eq!(nats.get(NAME).await.unwrap().resource_version(), version);
    let errors = world.events().await.into_iter().filter(|(_, reason, _)| reason == "DeletionError");
    assert_eq!(errors.count(), 1);
    manager.kill().await.unwrap();
    server.stop().await.unwrap();
    assert_eq!(pvc_names(&world).await.len(), 3);
    world.accept("persistentvolumeclaims").await;

    // JetStream is unreachable now, but has confirmed the deletion before.
    let _next = world.manager_with(&options).await;
    world.gone().await;
    pvcs_are_deleted(&world).await;
}

#[tokio::test]
async fn stream_created_before_server_deletion_blocks_again() {
    let world = World::new().await;
    let (server, options) = world.nats_server().await;
    let _manager = world.manager_with(&options).await;
    let context = jetstream::connect(&server.url()).await;
    deploy(&world, json!({})).await;
    world.reject(&["DELETE"], "apps", "statefulsets").await;

    world.delete().await;
    let status = world.state_becomes("Warning").await;
    let (holds, _, message) = condition(&status, "Deleted").unwrap();
    assert!(holds == "True" && message.contains("cannot delete the StatefulSet"), "{holds} {message}");
    jetstream::create_stream(&context, "orders").await;
    world
        .status_becomes("the stream blocks", |status| {
            condition(status, "Deleted")
                .is_some_and(|(holds, _, message)| holds == "False" && message == CUSTOMER_STREAM)
        })
        .await;
    world.accept("statefulsets").await;
    assert_eq!(pvc_names(&world).await.len(), 3);

    jetstream::delete_streams(&context).await;
    world.gone().await;
    pvcs_are_deleted(&world).await;
}

#[tokio::test]
async fn servers_with_foreign_controller_are_kept_with_their_volumes() {
    let world = World::new().await;
    let (_server, options) = world.nats_server().await;
    let _manager = world.manager_with(&options).await;
    deploy(&world, json!({})).await;
    let own = pvc_names(&world).await;
    let owners = world.api::<ConfigMap>();
    let owner = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "other-owner"}});
    let owner = owners.patch("other-owner", &PatchParams::apply("other-manager"), &Patch::Apply(&owner)).await.unwrap();
    let theirs = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "name": "other-owner", "uid": owner.uid(), "controller": true,
    });
    STATEFUL_SET.change(&world, json!({"metadata": {"ownerReferences": [{"$patch": "replace"}, theirs]}})).await;

    delete_and_wait(&world).await;
    assert!(world.api::<StatefulSet>().get_opt(NAME).await.unwrap().is_some());
    assert_eq!(pvc_names(&world).await, own);
    owners.delete("other-owner", &DeleteParams::default()).await.unwrap();
}

#[tokio::test]
async fn finalizer_that_keeps_the_stateful_set_is_named() {
    let world = World::new().await;
    let (_server, options) = world.nats_server().await;
    let _manager = world.manager_with(&options).await;
    deploy(&world, json!({})).await;
    STATEFUL_SET.change(&world, json!({"metadata": {"finalizers": ["test.example/backup"]}})).await;

    world.delete().await;
    let status = world.status_becomes("the finalizer is named", |status| {
        condition(status, "Deleted").is_some_and(|(_, _, message)| message.contains("test.example/backup"))
    });
    let (_, reason, message) = condition(&status.await, "Deleted").unwrap();
    assert!(message.starts_with("the StatefulSet eventing-nats is kept by the finalizer "), "{message}");
    assert_eq!(reason, "DeletionError");
    assert_eq!(pvc_names(&world).await.len(), 3);

    STATEFUL_SET.change(&world, json!({"metadata": {"finalizers": null}})).await;
    world.gone().await;
    pvcs_are_deleted(&world).await;
}

#[tokio::test]
async fn pod_that_does_not_terminate_delays_only_its_own_volume() {
    let world = World::new().await;
    let (_server, options) = world.nats_server().await;
    let _manager = world.manager_with(&options).await;
    deploy(&world, json!({})).await;
    // No kubelet terminates this Pod, as on a failed node.
    let labels = NamespacedName::new(NAMESPACE, NAME).pod_labels();
    let pvc = "eventing-nats-js-pvc-eventing-nats-1";
    let pod = json!({
        "metadata": {"name": "eventing-nats-9", "labels": labels},
        "spec": {
            "nodeName": "dead",
            "containers": [{"name": "nats", "image": "nats"}],
            "volumes": [{"name": "js", "persistentVolumeClaim": {"claimName": pvc}}],
        },
    });
    let pods = world.api::<Pod>();
    pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
    let dying = pods.delete("eventing-nats-9", &DeleteParams::default()).await.unwrap();
    assert!(dying.left().unwrap().metadata.deletion_timestamp.is_some());

    delete_and_wait(&world).await;
    let remaining = BTreeSet::from([pvc.to_owned()]);
    eventually("only its PVC remains", TIMEOUT, || async { pvc_names(&world).await == remaining }).await;
    let kill = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
    pods.delete("eventing-nats-9", &kill).await.unwrap();
    pvcs_are_deleted(&world).await;
}

#[tokio::test]
async fn blocked_foreground_deletion_keeps_the_servers() {
    let world = World::new().await;
    let (server, options) = world.nats_server().await;
    let _manager = world.manager_with(&options).await;
    let context = jetstream::connect(&server.url()).await;
    deploy(&world, json!({})).await;
    jetstream::create_stream(&context, "orders").await;
    let audit = world.cluster.audit().unwrap();

    world.api::<Nats>().delete(NAME, &DeleteParams::foreground()).await.unwrap();
    world.state_becomes("Warning").await;
    // The backoff grows, and each attempt waits for one reconcile.
    eventually("the servers stay", 4 * TIMEOUT, || async {
        let Some(before) = world.api::<StatefulSet>().get_opt(NAME).await.unwrap() else { return false };
        let mark = audit.mark().await.unwrap();
        world.reconcile_again().await;
        let after = world.api::<StatefulSet>().get_opt(NAME).await.unwrap();
        let is_ready = before.status.unwrap().ready_replicas == Some(3);
        let is_calm = audit.since(mark).await.unwrap().writes_of_user(SERVICE_ACCOUNT) <= 1;
        is_ready && is_calm && after.is_some_and(|after| after.metadata.uid == before.metadata.uid)
    })
    .await;
    assert_eq!(pvc_names(&world).await.len(), 3);
    jetstream::delete_streams(&context).await;
    world.gone().await;
}

#[tokio::test]
async fn only_own_finalizer_is_removed() {
    let world = World::new().await;
    let _manager = world.manager().await;
    let other = "test.example/backup";
    let resources = world.api::<Nats>();
    // The resource was never deployed, and has the finalizer of an older manager.
    for name in ["another", NAME] {
        let deployable = json!({"resources": {"requests": {"memory": "100Ti"}, "limits": {"memory": "100Ti"}}});
        world.create_as(NAMESPACE, name, deployable).await.unwrap();
        let finalizers = json!({"metadata": {"finalizers": [other, naming::FINALIZER]}});
        resources.patch(name, &PatchParams::default(), &Patch::Merge(finalizers)).await.unwrap();
        resources.delete(name, &DeleteParams::default()).await.unwrap();
        eventually("our finalizer is removed", TIMEOUT, || async {
            Ok::<_, kube::Error>(resources.get(name).await?.finalizers() == [other])
        })
        .await;
        if name == NAME {
            let status = world.status_becomes("the other finalizer is named", |status| {
                condition(status, "Deleted").is_some_and(|(_, _, message)| message.contains(other))
            });
            assert_eq!(status.await.state, "Deleting");
        }
        let none = json!({"metadata": {"finalizers": null}});
        resources.patch(name, &PatchParams::default(), &Patch::Merge(none)).await.unwrap();
        assert!(resources.get_opt(name).await.unwrap().is_none());
    }
}
