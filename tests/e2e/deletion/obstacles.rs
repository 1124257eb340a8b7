//! What comes in the way of a deletion.

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

use super::{CUSTOMER_STREAM, claims, claims_go, delete_and_go, deploy};
use crate::{
    jetstream,
    objects::STATEFUL_SET,
    refusals::REFUSAL,
    world::{NAME, NAMESPACE, SERVICE_ACCOUNT, SOON, World, condition},
};

#[tokio::test]
async fn a_deletion_that_was_cut_short_goes_on() {
    let world = World::new().await;
    let (mut server, options) = world.nats_server().await;
    let manager = world.manager_with(&options).await;
    deploy(&world, json!({})).await;
    world.refuse(&["DELETE"], "", "persistentvolumeclaims").await;
    let audit = world.cluster.audit().unwrap();
    let mark = audit.mark().await.unwrap();

    world.delete().await;
    let status = world.state_becomes("Warning").await;
    let (holds, reason, message) = condition(&status, "Deleted").unwrap();
    assert_eq!((holds.as_str(), reason.as_str()), ("True", "DeletionError"), "{message}");
    assert!(message.contains("cannot delete the PVCs") && message.contains(REFUSAL), "{message}");
    assert!(world.api::<StatefulSet>().get_opt(NAME).await.unwrap().is_none());
    // It is tried again and again, and told once.
    let nats = world.api::<Nats>();
    let version = nats.get(NAME).await.unwrap().resource_version();
    eventually("it was tried again", SOON, || async {
        let tries = audit.since(mark).await.unwrap().into_iter().filter(|event| {
            (event.user.as_str(), event.verb.as_str()) == (SERVICE_ACCOUNT, "delete")
                && event.resource == "persistentvolumeclaims"
        });
        tries.count() >= 4
    })
    .await;
    assert_eq!(nats.get(NAME).await.unwrap().resource_version(), version);
    let told = world.events().await.into_iter().filter(|(_, reason, _)| reason == "DeletionError");
    assert_eq!(told.count(), 1);
    manager.kill().await;
    server.stop().await.unwrap();
    assert_eq!(claims(&world).await.len(), 3);
    world.accept("persistentvolumeclaims").await;

    // JetStream cannot be asked any more, but was.
    let _next = world.manager_with(&options).await;
    world.gone().await;
    claims_go(&world).await;
}

#[tokio::test]
async fn a_stream_that_comes_before_the_servers_go_blocks_again() {
    let world = World::new().await;
    let (server, options) = world.nats_server().await;
    let _manager = world.manager_with(&options).await;
    let context = jetstream::connect(&server.url()).await;
    deploy(&world, json!({})).await;
    world.refuse(&["DELETE"], "apps", "statefulsets").await;

    world.delete().await;
    let status = world.state_becomes("Warning").await;
    let (holds, _, message) = condition(&status, "Deleted").unwrap();
    assert!(holds == "True" && message.contains("cannot delete the StatefulSet"), "{holds} {message}");
    jetstream::make_stream(&context, "orders").await;
    world
        .status_becomes("the stream blocks", |status| {
            condition(status, "Deleted")
                .is_some_and(|(holds, _, message)| holds == "False" && message == CUSTOMER_STREAM)
        })
        .await;
    world.accept("statefulsets").await;
    assert_eq!(claims(&world).await.len(), 3);

    jetstream::clear(&context).await;
    world.gone().await;
    claims_go(&world).await;
}

#[tokio::test]
async fn servers_that_somebody_else_controls_stay_with_their_volumes() {
    let world = World::new().await;
    let (_server, options) = world.nats_server().await;
    let _manager = world.manager_with(&options).await;
    deploy(&world, json!({})).await;
    let own = claims(&world).await;
    let owners = world.api::<ConfigMap>();
    let owner = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "other-owner"}});
    let owner = owners.patch("other-owner", &PatchParams::apply("somebody"), &Patch::Apply(&owner)).await.unwrap();
    let theirs = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "name": "other-owner", "uid": owner.uid(), "controller": true,
    });
    STATEFUL_SET.change(&world, json!({"metadata": {"ownerReferences": [{"$patch": "replace"}, theirs]}})).await;

    delete_and_go(&world).await;
    assert!(world.api::<StatefulSet>().get_opt(NAME).await.unwrap().is_some());
    assert_eq!(claims(&world).await, own);
    owners.delete("other-owner", &DeleteParams::default()).await.unwrap();
}

#[tokio::test]
async fn a_pod_that_does_not_end_holds_up_its_volume_alone() {
    let world = World::new().await;
    let (_server, options) = world.nats_server().await;
    let _manager = world.manager_with(&options).await;
    deploy(&world, json!({})).await;
    // One that no kubelet ends, as on a node that died.
    let labels = NamespacedName::new(NAMESPACE, NAME).pod_labels();
    let claim = "eventing-nats-js-pvc-eventing-nats-1";
    let pod = json!({
        "metadata": {"name": "eventing-nats-9", "labels": labels},
        "spec": {
            "nodeName": "dead",
            "containers": [{"name": "nats", "image": "nats"}],
            "volumes": [{"name": "js", "persistentVolumeClaim": {"claimName": claim}}],
        },
    });
    let pods = world.api::<Pod>();
    pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
    let dying = pods.delete("eventing-nats-9", &DeleteParams::default()).await.unwrap();
    assert!(dying.left().unwrap().metadata.deletion_timestamp.is_some());

    delete_and_go(&world).await;
    let held = BTreeSet::from([claim.to_owned()]);
    eventually("only its claim waits", SOON, || async { claims(&world).await == held }).await;
    let kill = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
    pods.delete("eventing-nats-9", &kill).await.unwrap();
    claims_go(&world).await;
}

#[tokio::test]
async fn a_foreground_deletion_that_is_blocked_keeps_the_servers() {
    let world = World::new().await;
    let (server, options) = world.nats_server().await;
    let _manager = world.manager_with(&options).await;
    let context = jetstream::connect(&server.url()).await;
    deploy(&world, json!({})).await;
    jetstream::make_stream(&context, "orders").await;
    let audit = world.cluster.audit().unwrap();

    world.api::<Nats>().delete(NAME, &DeleteParams::foreground()).await.unwrap();
    world.state_becomes("Warning").await;
    // The pause between two looks grows, and each try sees one through.
    eventually("the servers are there to stay", 4 * SOON, || async {
        let Some(before) = world.api::<StatefulSet>().get_opt(NAME).await.unwrap() else { return false };
        let mark = audit.mark().await.unwrap();
        world.looked_again().await;
        let after = world.api::<StatefulSet>().get_opt(NAME).await.unwrap();
        let ready = before.status.unwrap().ready_replicas == Some(3);
        let calm = audit.since(mark).await.unwrap().writes_of_user(SERVICE_ACCOUNT) <= 1;
        ready && calm && after.is_some_and(|after| after.metadata.uid == before.metadata.uid)
    })
    .await;
    assert_eq!(claims(&world).await.len(), 3);
    jetstream::clear(&context).await;
    world.gone().await;
}

#[tokio::test]
async fn only_our_own_finalizer_is_taken_off() {
    let world = World::new().await;
    let _manager = world.manager().await;
    let other = "test.example/backup";
    let resources = world.api::<Nats>();
    // A resource that was never deployed, under the finalizer of an older manager.
    for name in ["another", NAME] {
        let deployable = json!({"resources": {"requests": {"memory": "100Ti"}, "limits": {"memory": "100Ti"}}});
        world.create_as(NAMESPACE, name, deployable).await.unwrap();
        let finalizers = json!({"metadata": {"finalizers": [other, naming::FINALIZER]}});
        resources.patch(name, &PatchParams::default(), &Patch::Merge(finalizers)).await.unwrap();
        resources.delete(name, &DeleteParams::default()).await.unwrap();
        eventually("ours is off", SOON, || async {
            Ok::<_, kube::Error>(resources.get(name).await?.finalizers() == [other])
        })
        .await;
        let none = json!({"metadata": {"finalizers": null}});
        resources.patch(name, &PatchParams::default(), &Patch::Merge(none)).await.unwrap();
        assert!(resources.get_opt(name).await.unwrap().is_none());
    }
}
