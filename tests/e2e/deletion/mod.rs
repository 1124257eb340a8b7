//! Deletion of a NATS resource: the deletion guard keeps streams and consumers of users.

mod namespace;
mod obstacles;

use std::collections::BTreeSet;

use k8s_openapi::api::{
    core::v1::{ConfigMap, PersistentVolumeClaim, Pod, ResourceQuota, Service},
    events::v1::Event,
};
use kube::{
    ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use nats_manager_api::{Nats, naming};
use nats_manager_harness::{Seen, eventually};
use serde_json::{Value, json};

use crate::{
    jetstream,
    manager::ManagerProcess,
    objects::{BUDGET, CHILDREN, CONFIG_MAP, SERVICE, STATEFUL_SET},
    world::{NAME, NAMESPACE, SERVICE_ACCOUNT, TIMEOUT, World, condition},
};

const CUSTOMER_STREAM: &str = "Cannot delete NATS cluster as customer stream exists";
const CONSUMER: &str = "Cannot delete NATS cluster as stream consumer exists";

#[tokio::test]
async fn streams_and_consumers_block_deletion_until_they_are_deleted() {
    let world = World::new().await;
    let (server, options) = world.nats_server().await;
    let manager = world.manager_with(&options).await;
    let context = jetstream::connect(&server.url()).await;
    for (stream, consumer, message) in
        [("orders", false, CUSTOMER_STREAM), ("sap", true, CONSUMER), ("orders", true, CUSTOMER_STREAM)]
    {
        world.create(json!({})).await;
        world.state_becomes("Ready").await;
        jetstream::create_stream(&context, stream).await;
        if consumer {
            jetstream::create_consumer(&context, stream).await;
        }
        let blocked = blocked_reconciles(&manager).await;

        world.delete().await;
        let status = world.state_becomes("Warning").await;
        let expected = ("False".to_owned(), "DeletionError".to_owned(), message.to_owned());
        assert_eq!(condition(&status, "Deleted"), Some(expected));
        // The cluster keeps running, so that JetStream can still be polled.
        SERVICE.comes_back(&world).await;
        eventually("JetStream is polled again", TIMEOUT, || async {
            blocked_reconciles(&manager).await >= blocked + 3.0
        })
        .await;
        let events = world.events().await;
        let warnings: Vec<_> = events.iter().filter(|(kind, _, _)| kind == "Warning").collect();
        let expected = ("Warning".to_owned(), "DeletionError".to_owned(), message.to_owned());
        assert_eq!(warnings, [&expected], "reported once");
        assert_eq!(events.iter().filter(|(_, reason, _)| reason == "Deleting").count(), 1);
        assert_eq!(pvc_names(&world).await.len(), 3);

        // The user has to do no more than this.
        jetstream::delete_streams(&context).await;
        world.gone().await;
        pvcs_are_deleted(&world).await;
        world.api::<Event>().delete_collection(&DeleteParams::default(), &ListParams::default()).await.unwrap();
    }
}

#[tokio::test]
async fn blocked_deletion_restores_children_although_the_spec_is_invalid() {
    let world = World::new().await;
    let (server, options) = world.nats_server().await;
    let _manager = world.manager_with(&options).await;
    let context = jetstream::connect(&server.url()).await;
    world.create(json!({"cluster": {"size": 5}})).await;
    world.state_becomes("Ready").await;
    jetstream::create_stream(&context, "orders").await;
    world.delete().await;
    world.state_becomes("Warning").await;
    // As it was possible before the webhook reviewed resources that are being deleted.
    world.patch(json!({"spec": {"resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}}})).await.unwrap();
    for child in [SERVICE, BUDGET, CONFIG_MAP] {
        child.comes_back(&world).await;
    }
    let set = STATEFUL_SET.comes_back(&world).await;
    assert_eq!(set["spec"]["replicas"], 5, "the deployed size");

    jetstream::delete_streams(&context).await;
    world.gone().await;
    pvcs_are_deleted(&world).await;
}

#[tokio::test]
async fn deletion_without_user_data_is_not_blocked() {
    let world = World::new().await;
    let (mut server, options) = world.nats_server().await;
    let manager = world.manager_with(&options).await;
    let context = jetstream::connect(&server.url()).await;

    // JetStream reports no data of users.
    deploy(&world, json!({})).await;
    delete_with_pvcs(&world).await;
    jetstream::create_stream(&context, "sap").await;
    deploy(&world, json!({})).await;
    delete_with_pvcs(&world).await;
    jetstream::delete_streams(&context).await;
    let memory_only = json!({"jetStream": {"fileStorage": {"enabled": false}}});
    deploy(&world, memory_only).await;
    assert!(pvc_names(&world).await.is_empty());
    delete_with_pvcs(&world).await;
    // A resource with an invalid spec can still be deleted.
    deploy(&world, json!({})).await;
    world.patch(json!({"spec": {"labels": {"a b": "no label"}}})).await.unwrap();
    world.state_becomes("Error").await;
    delete_with_pvcs(&world).await;
    assert_eq!(manager.metric("nats_manager_cr_nats_nodes_count").await, Some(0.0));
    assert_eq!(manager.metric("nats_manager_availability_zones_used_count").await, Some(0.0));

    // JetStream is unreachable, but no server has started, so there is no data.
    server.stop().await.unwrap();
    let resources = json!({"requests": {"memory": "100Ti"}, "limits": {"memory": "100Ti"}});
    world.create(json!({"resources": resources})).await;
    eventually("all pods are pending", TIMEOUT, || async {
        Ok::<_, kube::Error>(world.api::<Pod>().list(&ListParams::default()).await?.items.len() == 3)
    })
    .await;
    world.status_becomes("that no server started is recorded", |status| status.servers_started == Some(false)).await;
    assert_eq!(pvc_names(&world).await.len(), 3);
    delete_with_pvcs(&world).await;
    // No server can start without its volume.
    let quota = json!({"metadata": {"name": "no-claims"}, "spec": {"hard": {"persistentvolumeclaims": "0"}}});
    let quotas = world.api::<ResourceQuota>();
    quotas.create(&PostParams::default(), &serde_json::from_value(quota).unwrap()).await.unwrap();
    world.create(json!({})).await;
    world.state_becomes("Processing").await;
    delete_with_pvcs(&world).await;
    quotas.delete("no-claims", &DeleteParams::default()).await.unwrap();
}

#[tokio::test]
async fn unreachable_jetstream_blocks_deletion_until_annotation_forces_it() {
    let world = World::new().await;
    let (mut server, options) = world.nats_server().await;
    let _manager = world.manager_with(&options).await;
    let context = jetstream::connect(&server.url()).await;
    jetstream::create_stream(&context, "orders").await;
    for spec in [json!({}), json!({"jetStream": {"fileStorage": {"enabled": false}}})] {
        deploy(&world, spec).await;
        server.stop().await.unwrap();
        world.delete().await;
        let status = world.state_becomes("Warning").await;
        let (holds, reason, message) = condition(&status, "Deleted").unwrap();
        assert_eq!((holds.as_str(), reason.as_str()), ("False", "DeletionError"));
        assert!(message.starts_with("Cannot delete NATS cluster as its streams cannot be listed"), "{message}");
        assert!(message.contains("Connection refused"), "{message}");
        let force = format!("kubectl annotate nats {NAME} -n {NAMESPACE} {}=true", naming::FORCE_DELETION);
        assert!(message.ends_with(&force), "{message}");
        let annotate = |value: &str| json!({"metadata": {"annotations": {naming::FORCE_DELETION: value}}});
        world.patch(annotate("false")).await.unwrap();
        server.start_again().await.unwrap();
        world
            .status_becomes("JetStream reports the stream", |status| {
                condition(status, "Deleted").is_some_and(|(_, _, message)| message == CUSTOMER_STREAM)
            })
            .await;
        world.patch(annotate("true")).await.unwrap();
        world.gone().await;
        pvcs_are_deleted(&world).await;
    }
}

#[tokio::test]
async fn servers_are_deleted_before_their_pvcs_and_not_recreated() {
    let world = World::new().await;
    let (_server, options) = world.nats_server().await;
    let _manager = world.manager_with(&options).await;
    let audit = world.cluster.audit().unwrap();
    deploy(&world, json!({})).await;
    let own = pvc_names(&world).await;
    assert_eq!(own.len(), 3);
    let others = [
        ("eventing-nats-js-pvc-other-0", "other"),
        ("eventing-nats2-js-pvc-eventing-nats2-0", "eventing"),
        ("data-eventing-nats-0", "eventing"),
        ("eventing-nats-js-pvc-eventing-nats-0-restored", "eventing"),
        ("eventing-nats-js-pvc-eventing-nats-backup", "eventing"),
        ("eventing-nats-js-pvc-eventing-nats-04", "eventing"),
    ];
    for (name, instance) in others {
        create_pvc(&world, name, instance).await;
    }
    // A PVC belongs to a server by its name, even without labels.
    world.change_pvc("eventing-nats-js-pvc-eventing-nats-1", json!({"metadata": {"labels": null}})).await;
    let mark = audit.mark().await.unwrap();

    delete_and_wait(&world).await;
    eventually("all other objects are collected", TIMEOUT, || async {
        let pods = world.api::<Pod>().list(&ListParams::default()).await?.items.len();
        let services = world.api::<Service>().list(&ListParams::default()).await?.items.len();
        let own = pvc_names(&world).await.intersection(&own).count();
        Ok::<_, kube::Error>(if pods + services + own == 0 {
            Seen::Done(())
        } else {
            Seen::NotYet(format!("{pods} pods, {services} services, {own} PVCs"))
        })
    })
    .await;

    assert_eq!(pvc_names(&world).await, others.iter().map(|(name, _)| (*name).to_owned()).collect());
    let requests = audit.since(mark).await.unwrap();
    let writes: Vec<_> = requests.writes().filter(|event| event.code < 300).collect();
    let first = |resource: &str| {
        writes
            .iter()
            .position(|event| event.resource == resource && event.verb == "delete" && event.user == SERVICE_ACCOUNT)
    };
    assert!(first("statefulsets") < first("persistentvolumeclaims"), "{writes:#?}");
    let made: Vec<_> = writes
        .iter()
        .filter(|event| matches!(event.resource.as_str(), "statefulsets" | "pods" | "persistentvolumeclaims"))
        .filter(|event| event.verb == "create" || event.verb == "patch" && event.user == SERVICE_ACCOUNT)
        .collect();
    assert!(made.is_empty(), "{made:#?}");
    // A new resource of the same name starts without data.
    let status = deploy(&world, json!({})).await;
    assert_eq!(condition(&status, "Deleted"), None);
}

/// The garbage collector deletes no children here, because a foreign finalizer keeps the resource.
#[tokio::test]
async fn children_are_deleted_before_the_finalizer_is_removed() {
    let world = World::new().await;
    world.install_istio().await;
    let (_server, options) = world.nats_server().await;
    let _manager = world.manager_with(&options).await;
    deploy(&world, json!({})).await;
    let owners = world.api::<ConfigMap>();
    let owner = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "other-owner"}});
    let owner = owners.patch("other-owner", &PatchParams::apply("other-manager"), &Patch::Apply(&owner)).await.unwrap();
    let theirs = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "name": "other-owner", "uid": owner.uid(), "controller": true,
    });
    BUDGET.change(&world, json!({"metadata": {"ownerReferences": [{"$patch": "replace"}, theirs]}})).await;
    let finalizers = json!({"metadata": {"finalizers": ["test.example/backup", naming::FINALIZER]}});
    world.patch(finalizers).await.unwrap();

    world.delete().await;
    let resources = world.api::<Nats>();
    eventually("the manager removed its finalizer", TIMEOUT, || async {
        Ok::<_, kube::Error>(resources.get(NAME).await?.finalizers() == ["test.example/backup"])
    })
    .await;
    for child in CHILDREN {
        let is_there = child.api(&world).get_opt(child.name).await.unwrap().is_some();
        assert_eq!(is_there, child.kind == BUDGET.kind, "{}", child.kind);
    }

    world.patch(json!({"metadata": {"finalizers": null}})).await.unwrap();
    world.gone().await;
    BUDGET.delete(&world).await;
    owners.delete("other-owner", &DeleteParams::default()).await.unwrap();
}

/// Returns the number of reconciles that ended blocked.
async fn blocked_reconciles(manager: &ManagerProcess) -> f64 {
    manager.metric("nats_manager_reconciles_total{outcome=\"blocked\"}").await.unwrap_or_default()
}

/// Creates the NATS resource, waits until it is ready, and returns its status.
async fn deploy(world: &World, spec: Value) -> nats_manager_api::NatsStatus {
    world.create(spec).await;
    world.state_becomes("Ready").await
}

/// Deletes the NATS resource and waits until it is deleted.
async fn delete_and_wait(world: &World) {
    world.delete().await;
    world.gone().await;
}

/// Deletes the NATS resource, and waits until the resource and its PVCs are deleted.
async fn delete_with_pvcs(world: &World) {
    delete_and_wait(world).await;
    pvcs_are_deleted(world).await;
}

/// Returns the names of the PVCs.
async fn pvc_names(world: &World) -> BTreeSet<String> {
    let pvcs = world.api::<PersistentVolumeClaim>().list(&ListParams::default()).await.unwrap().items;
    pvcs.iter().map(ResourceExt::name_any).collect()
}

/// Waits until all PVCs are deleted.
async fn pvcs_are_deleted(world: &World) {
    eventually("the PVCs are deleted", TIMEOUT, || async {
        let names = pvc_names(world).await;
        if names.is_empty() { Seen::Done(()) } else { Seen::NotYet(format!("{names:?}")) }
    })
    .await;
}

/// Creates a PVC with an instance label.
async fn create_pvc(world: &World, name: &str, instance: &str) {
    let pvc = json!({
        "metadata": {"name": name, "labels": {naming::INSTANCE_LABEL: instance}},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    });
    let api = world.api::<PersistentVolumeClaim>();
    api.create(&PostParams::default(), &serde_json::from_value(pvc).unwrap()).await.unwrap();
}
