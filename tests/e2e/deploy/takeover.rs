//! Takeover of a cluster that the predecessor deployed.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::{
    ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use nats_manager_api::Nats;
use nats_manager_harness::{Seen, eventually};
use serde_json::{Value, json};

use crate::{
    manager::ManagerProcess,
    objects::{CHILDREN, CONFIG_MAP, Child, SECRET, STATEFUL_SET, nats, system_account},
    world::{NAME, NAMESPACE, TIMEOUT, World, condition},
};

const LONG_AGO: &str = "2026-01-01T00:00:00Z";
const OLD_PASSWORD: &str = r#"accounts: {"$SYS": {users: [{user: "admin", password: "old"}]}}"#;

#[tokio::test]
async fn takes_over_default_cluster() {
    takes_over(include_str!("../../reference/default.yaml")).await;
}

#[tokio::test]
async fn takes_over_cluster_with_full_spec() {
    takes_over(include_str!("../../reference/full-spec.yaml")).await;
}

#[tokio::test]
async fn takes_over_standalone_server() {
    takes_over(include_str!("../../reference/size-1.yaml")).await;
}

#[tokio::test]
async fn takes_over_cluster_with_small_memory_store() {
    takes_over(include_str!("../../reference/small-memory-store.yaml")).await;
}

#[tokio::test]
async fn takes_over_cluster_without_file_size() {
    let (world, _manager) = takes_over(include_str!("../../reference/minimal.yaml")).await;
    let sizes = |size: &str| json!({"spec": {"jetStream": {"fileStorage": {"size": size}}}});
    let size = |nats: &Nats| nats.spec.jet_stream.file_storage.size.clone().unwrap().text;
    assert_eq!(size(&world.patch(json!({"spec": {"logging": {"debug": false}}})).await.unwrap()), "0");

    assert_eq!(size(&world.patch(sizes("1024Mi")).await.unwrap()), "1024Mi");
    let rejected = world.patch(sizes("512Mi")).await.unwrap_err().to_string();
    assert!(rejected.contains(nats_manager_api::resource::message::GROWS_ONLY), "{rejected}");
    world.is_ready_for_the_newest_spec().await;
    assert_eq!(pvc_sizes(&world).await, ["1Gi"]);
}

/// The predecessor accepts a size that was not set before, and ignores it.
#[tokio::test]
async fn file_size_above_the_deployed_one_is_blocked_where_the_class_forbids_it() {
    let (world, _manager) = takes_over(include_str!("../../reference/minimal.yaml")).await;
    world.patch(json!({"spec": {"jetStream": {"fileStorage": {"size": "3Gi"}}}})).await.unwrap();
    world
        .status_becomes("the PVC and the cause are named", |status| {
            condition(status, "Stalled").is_some_and(|(_, reason, message)| {
                reason == "VolumeExpansionBlocked"
                    && message.contains("PVC eventing-nats-js-pvc-eventing-nats-0 cannot be expanded")
                    && message.contains("storageclass that provisions the pvc must support resize")
            })
        })
        .await;
    assert_eq!(condition(&world.status().await, "Available").unwrap().0, "True");
    assert_eq!(pvc_sizes(&world).await, ["1Gi"]);
    let config = CONFIG_MAP.get(&world).await["data"]["nats.conf"].to_string();
    assert!(config.contains("max_file_store: 1Gi"), "{config}");
}

/// Deploys the cluster of a reference file, starts the manager, and checks that the objects are adopted, not recreated.
async fn takes_over(file: &str) -> (World, ManagerProcess) {
    let world = World::new().await;
    world.install_istio().await;
    let old = deploy_as_predecessor(&world, file).await;
    let identities = identities(&world).await;
    let before = STATEFUL_SET.get(&world).await;

    let manager = world.manager().await;
    let status =
        world.status_becomes("a status of ours", |status| status.observed_generation == old.metadata.generation).await;
    assert_eq!(status.state, "Ready");
    world.reconcile_again().await;
    let status = world.state_becomes("Ready").await;
    assert_eq!(condition(&status, "Available").unwrap().1, "Deployed");

    assert_eq!(self::identities(&world).await, identities);
    assert_eq!(system_account(&SECRET.get(&world).await), OLD_PASSWORD);
    let now = STATEFUL_SET.get(&world).await;
    for immutable in ["selector", "serviceName", "podManagementPolicy", "volumeClaimTemplates"] {
        assert_eq!(now["spec"][immutable], before["spec"][immutable]);
    }
    for child in CHILDREN {
        let metadata = child.get(&world).await["metadata"].clone();
        assert!(metadata["annotations"]["nats.operator.kyma-project.io/applied-hash"].is_string(), "{}", child.kind);
    }
    world.patch(json!({"spec": {"logging": {"debug": true}}})).await.unwrap();
    CONFIG_MAP
        .becomes(&world, "has debug messages enabled", |now| {
            now["data"]["nats.conf"].to_string().contains("debug: true")
        })
        .await;
    let status = world.is_ready_for_the_newest_spec().await;
    assert_eq!(self::identities(&world).await, identities);
    // The servers have been restarted, which is an outage only for a standalone server.
    if before["spec"]["replicas"] != 1 {
        assert_eq!(world.events().await, []);
        let available = status.conditions.iter().find(|condition| condition.type_ == "Available").unwrap();
        assert_eq!(json!(available.last_transition_time), LONG_AGO);
    }
    (world, manager)
}

/// Creates the NATS resource, its running objects and its status, as the predecessor does.
async fn deploy_as_predecessor(world: &World, file: &str) -> Nats {
    // One of the files uses this StorageClass.
    world.create_storage_class("gce-sc-hdd").await;
    let mut documents = serde_saphyr::from_multiple::<Value>(file).unwrap().into_iter();
    let mut stored = documents.next().unwrap();
    let mut status = stored.as_object_mut().unwrap().remove("status").unwrap();
    stored["metadata"].as_object_mut().unwrap().remove("generation");
    let api = nats(world, NAMESPACE);
    let created = api.patch(NAME, &PatchParams::apply("user").force(), &Patch::Apply(&stored)).await.unwrap();
    let uid = created.uid().unwrap();
    for mut object in documents {
        object["metadata"]["ownerReferences"][0]["uid"] = json!(uid);
        match object["kind"].as_str().unwrap() {
            "Secret" => object["stringData"] = json!({"resolver.conf": OLD_PASSWORD}),
            "ConfigMap" => object["data"]["nats.conf"] = json!(configuration(&object)),
            _ => {}
        }
        let child = CHILDREN.into_iter().find(|child| child.kind == object["kind"]).unwrap();
        child.create(world, "nats-manager", object).await;
    }
    eventually("the cluster of the predecessor runs", TIMEOUT, || async {
        let set = STATEFUL_SET.api(world).get(NAME).await?.data;
        let ready = &set["status"]["readyReplicas"];
        Ok::<_, kube::Error>(if *ready == set["spec"]["replicas"] {
            Seen::Done(())
        } else {
            Seen::NotYet(ready.to_string())
        })
    })
    .await;
    for condition in status["conditions"].as_array_mut().unwrap() {
        condition["lastTransitionTime"] = json!(LONG_AGO);
        let (holds, reason, message) = match condition["type"].as_str().unwrap() {
            "StatefulSet" => ("True", "Available", "StatefulSet is ready"),
            "Available" => ("True", "Deployed", "NATS is deployed"),
            _ => ("True", "Deployed", "NATS is deployed in different availability zones."),
        };
        condition["status"] = json!(holds);
        condition["reason"] = json!(reason);
        condition["message"] = json!(message);
    }
    status["state"] = json!("Ready");
    status["url"] = json!("nats://eventing-nats.kyma-system.svc.cluster.local:4222");
    status["availabilityZonesUsed"] = json!(3);
    let patch = Patch::Merge(json!({"status": status}));
    api.patch_status(NAME, &PatchParams::default(), &patch).await.unwrap();
    world.api::<Nats>().get(NAME).await.unwrap()
}

/// Returns a configuration of the same kind, clustered or standalone: the reference files contain it in parsed form
/// only.
fn configuration(config_map: &Value) -> &'static str {
    let parsed = config_map["data"]["nats.conf"].as_str().unwrap();
    let routes = "cluster {\n  routes: [\n    nats://eventing-nats-0.eventing-nats:6222\n    \
                  nats://eventing-nats-1.eventing-nats:6222\n    nats://eventing-nats-2.eventing-nats:6222\n  ]\n}\n";
    if parsed.contains("\"cluster\"") { routes } else { "# without a cluster block\n" }
}

/// Returns the UIDs of the objects that must not be recreated, by kind and name.
async fn identities(world: &World) -> BTreeMap<String, Option<String>> {
    let mut all = BTreeMap::new();
    let is_kept = |child: &Child| !["PodDisruptionBudget", "NetworkPolicy"].contains(&child.kind);
    for child in CHILDREN.into_iter().filter(is_kept) {
        all.insert(format!("{} {}", child.kind, child.name), child.api(world).get(child.name).await.unwrap().uid());
    }
    for pvc in world.api::<PersistentVolumeClaim>().list(&ListParams::default()).await.unwrap() {
        all.insert(format!("PVC {}", pvc.name_any()), pvc.uid());
    }
    all
}

/// Returns the sizes in `volumeClaimTemplates` and of the PVCs, without consecutive duplicates.
async fn pvc_sizes(world: &World) -> Vec<String> {
    let template = STATEFUL_SET.get(world).await["spec"]["volumeClaimTemplates"][0]["spec"].clone();
    let mut sizes = vec![template["resources"]["requests"]["storage"].as_str().unwrap().to_owned()];
    for pvc in world.api::<PersistentVolumeClaim>().list(&ListParams::default()).await.unwrap() {
        sizes.push(pvc.spec.unwrap().resources.unwrap().requests.unwrap()["storage"].0.clone());
    }
    sizes.dedup();
    sizes
}
