//! Growth of the volumes of a running cluster, on classes that expand in different ways.
//!
//! The volume driver is the stand-in of `tests/cluster/resizer.go`.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{PersistentVolumeClaim, Pod},
    storage::v1::StorageClass,
};
use kube::{
    Api, ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use nats_manager_api::NatsStatus;
use nats_manager_harness::{Seen, eventually};
use serde_json::{Value, json};

use crate::{
    manager::ManagerProcess,
    servers::is_ready,
    storage::in_volume,
    typed::User,
    world::{NAME, World, real},
};

const PAGE: &str = "docs/user/expand-volumes.md";
const GIB: u64 = 1 << 30;
/// Timeout of an expansion with a restart of all servers, each two minutes after its volume has expanded.
const EXPANDED: Duration = Duration::from_mins(10);

/// Starts a manager and three servers with volumes of the default size, and creates the stream of Eventing.
async fn running(world: &World<'_>, class: &str) -> ManagerProcess {
    let manager = world.manager().await;
    world
        .create(
            json!({"cluster": {"size": 3}, "jetStream": {"fileStorage": {"size": "1Gi", "storageClassName": class}}}),
        )
        .await;
    world.state_becomes("Ready").await;
    world.make_stream(3).await;
    manager
}

/// Raises the size to 2Gi.
async fn raise(world: &World<'_>) {
    world.patch(json!({"spec": {"jetStream": {"fileStorage": {"size": "2Gi"}}}})).await.unwrap();
}

/// Waits until every volume has 2Gi, the StatefulSet is another one with that size, and every server has the larger
/// limit.
async fn is_expanded(world: &World<'_>, old: &StatefulSet) {
    servers_are_expanded(world, old, 3).await;
}

/// Waits for the same of this number of servers.
async fn servers_are_expanded(world: &World<'_>, old: &StatefulSet, count: usize) {
    eventually("volumes, StatefulSet and file stores have the new size", EXPANDED, || async {
        let seen = sizes(world, old).await?;
        Ok::<_, kube::Error>(if seen["is expanded"] == true && seen["stores"].as_array().map(Vec::len) == Some(count) {
            Seen::Done(())
        } else {
            Seen::NotYet(seen.to_string())
        })
    })
    .await;
    for (ordinal, server) in world.pods().await.iter().enumerate() {
        let (store, blocks) = (file_store(world, server).await, file_system(world, ordinal).await);
        assert!(blocks > GIB * 3 / 2 && store < blocks, "{}: {store} in {blocks}", server.name_any());
    }
    let status = world.state_becomes("Ready").await;
    assert_eq!(status.operation, None);
}

/// Returns the sizes of PVCs, StatefulSet and file stores.
async fn sizes(world: &World<'_>, old: &StatefulSet) -> kube::Result<Value> {
    let pvcs = world.api::<PersistentVolumeClaim>().list(&ListParams::default()).await?.items;
    let pvcs: Vec<_> = pvcs
        .into_iter()
        .map(|pvc| pvc.status.and_then(|status| status.capacity?.get("storage").map(|size| size.0.clone())))
        .collect();
    let set = world.api::<StatefulSet>().get_opt(NAME).await?;
    let template = set.as_ref().and_then(|set| {
        let templates = set.spec.as_ref()?.volume_claim_templates.as_ref()?;
        Some(templates.first()?.spec.as_ref()?.resources.as_ref()?.requests.as_ref()?.get("storage")?.0.clone())
    });
    let mut stores = Vec::new();
    for server in world.pods().await {
        stores.push(if is_ready(&server) { file_store(world, &server).await } else { 0 });
    }
    let is_new = set.is_some_and(|set| set.uid() != old.uid());
    let is_large = |size: &Option<String>| size.as_deref() == Some("2Gi");
    let is_expanded =
        is_new && pvcs.iter().all(is_large) && is_large(&template) && stores.iter().all(|store| *store > GIB);
    Ok(json!({"pvcs": pvcs, "template": template, "stores": stores, "is new": is_new, "is expanded": is_expanded}))
}

/// Returns the limit of the file store that a server reports.
async fn file_store(world: &World<'_>, server: &Pod) -> u64 {
    world.monitor(server, "/jsz").await["config"]["max_storage"].as_u64().unwrap()
}

/// Returns the size of the file system in the volume of a server, in bytes.
async fn file_system(world: &World<'_>, ordinal: usize) -> u64 {
    let figures = in_volume(world, ordinal, "stat --file-system --format='%b %S' $0").await;
    figures.split_whitespace().map(|figure| figure.parse::<u64>().unwrap()).product()
}

/// Returns uid and restart count of each server's Pod.
async fn incarnations(world: &World<'_>) -> BTreeMap<String, (Option<String>, i32)> {
    let restarts = |pod: &Pod| {
        let status = pod.status.as_ref().and_then(|status| status.container_statuses.as_deref());
        status.unwrap_or_default().iter().map(|container| container.restart_count).sum()
    };
    world.pods().await.iter().map(|pod| (pod.name_any(), (pod.uid(), restarts(pod)))).collect()
}

async fn stateful_set(world: &World<'_>) -> StatefulSet {
    world.api().get(NAME).await.unwrap()
}

/// Returns the message of a condition that is True for a reason.
fn message(status: &NatsStatus, kind: &str, reason: &str) -> Option<String> {
    let mut conditions = status.conditions.iter();
    let found = conditions.find(|one| one.type_ == kind && one.reason == reason && one.status == "True");
    found.map(|condition| condition.message.clone())
}

/// Sets how the volumes of a class expand (`tests/cluster/resizer.go`).
async fn set_expansion(world: &World<'_>, class: &str, expansion: &str) {
    let patch = json!({"metadata": {"annotations": {"nats-manager.local/expansion": expansion}}});
    let classes: Api<StorageClass> = Api::all(world.client.clone());
    classes.patch(class, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
}

#[test]
fn volumes_expand_online_while_publishing_without_a_restart() {
    real(async |world| {
        let _manager = running(world, "expands-online").await;
        let publisher = world.publisher();
        publisher.makes_progress().await;
        let (old, before) = (stateful_set(world).await, incarnations(world).await);

        User::new(world).await.follows(PAGE, "run").await;
        is_expanded(world, &old).await;

        publisher.makes_progress().await;
        world.verify(&publisher.stop().await).await;
        assert_eq!(incarnations(world).await, before, "a server restarted");
    });
}

#[test]
#[ignore = "long: cargo xtask test --only real-all"]
fn volumes_that_expand_at_a_restart_restart_one_server_at_a_time() {
    real(async |world| {
        let _manager = running(world, "expands-at-restart").await;
        let publisher = world.publisher();
        publisher.makes_progress().await;
        let (old, before, watch) = (stateful_set(world).await, incarnations(world).await, world.watch_servers(3));

        raise(world).await;
        is_expanded(world, &old).await;

        publisher.makes_progress().await;
        watch.at_most_one_server_down();
        world.verify(&publisher.stop().await).await;
        for (server, (uid, restarts)) in incarnations(world).await {
            assert_ne!(uid, before[&server].0, "{server} did not restart");
            assert_eq!(restarts, 0, "{server}");
        }
    });
}

#[test]
#[ignore = "long: cargo xtask test --only real-all"]
fn volumes_grow_with_a_scale_up_and_a_rollout_in_the_same_edit() {
    real(async |world| {
        let _manager = running(world, "expands-online").await;
        let publisher = world.publisher();
        publisher.makes_progress().await;
        let (old, watch) = (stateful_set(world).await, world.watch_servers(3));
        let before = world.pods().await;

        let resources =
            json!({"limits": {"cpu": "600m", "memory": "1Gi"}, "requests": {"cpu": "40m", "memory": "64Mi"}});
        world
            .patch(json!({"spec": {
                "cluster": {"size": 5},
                "resources": resources,
                "jetStream": {"fileStorage": {"size": "2Gi"}},
            }}))
            .await
            .unwrap();
        servers_are_expanded(world, &old, 5).await;
        assert_eq!(world.servers_are_ready(5, &before).await.len(), 5);

        publisher.makes_progress().await;
        watch.at_most_one_server_down();
        world.verify(&publisher.stop().await).await;
    });
}

#[test]
fn volume_that_cannot_expand_is_named_and_expands_when_the_cause_is_gone() {
    real(async |world| {
        set_expansion(world, "expansion-fails", "fails").await;
        let _manager = running(world, "expansion-fails").await;
        let (old, before) = (stateful_set(world).await, incarnations(world).await);

        raise(world).await;
        let status = world
            .status_becomes("the failed expansion is reported", |status| {
                message(status, "Stalled", "VolumeExpansionBlocked").is_some_and(|text| text.contains("OutOfRange"))
            })
            .await;
        let text = message(&status, "Stalled", "VolumeExpansionBlocked").unwrap();
        let cause = "the requested size is above the maximum of the provider";
        assert!(text.contains("eventing-nats-js-pvc-eventing-nats-0") && text.contains(cause), "{text}");
        let events = world.kubectl(&["get", "events", "-n", "kyma-system"]).await.unwrap();
        assert!(events.contains("VolumeResizeFailed") && events.contains(cause), "{events}");
        assert_eq!(stateful_set(world).await.uid(), old.uid());

        set_expansion(world, "expansion-fails", "online").await;
        is_expanded(world, &old).await;
        assert_eq!(incarnations(world).await, before, "a server restarted");
    });
}

#[test]
fn slow_expansion_is_named_in_the_operation() {
    real(async |world| {
        let _manager = running(world, "expands-slowly").await;
        let old = stateful_set(world).await;
        raise(world).await;
        let status = world
            .status_becomes("the operation names step and PVC", |status| {
                let waits = status.operation.as_ref().and_then(|operation| operation.waiting_for.as_deref());
                waits.is_some_and(|cause| cause.contains("the volume of PVC eventing-nats-js-pvc-eventing-nats-"))
            })
            .await;
        let operation = status.operation.as_ref().unwrap();
        assert_eq!((operation.type_.as_str(), operation.step.as_str()), ("ExpandVolumes", "ExpandPvc"));
        assert!(message(&status, "Reconciling", "ExpandVolumes").is_some(), "{status:?}");
        is_expanded(world, &old).await;
    });
}
