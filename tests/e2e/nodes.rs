//! Nodes that are drained, replaced or hibernated, and `kubectl rollout restart` (`docs/user/operations.md`).

use k8s_openapi::api::core::v1::Node;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, PostParams},
    core::ObjectMeta,
};
use nats_manager_api::NatsStatus;
use nats_manager_harness::{Seen, Shell, documented, eventually};
use serde_json::json;

use crate::{
    history::History,
    objects::STATEFUL_SET,
    world::{TIMEOUT, World, condition},
};

const PAGE: &str = "docs/user/operations.md";

#[tokio::test]
async fn drain_evicts_one_server_at_a_time() {
    let world = World::new().await;
    let _manager = world.manager().await;
    world.create(json!({})).await;
    world.is_ready_for_the_newest_spec().await;
    let shell = Shell::new(&world.cluster);
    let [drain, uncordon] = documented::blocks(PAGE, "run: drain").try_into().unwrap();
    shell.done(&drain.text).await;
    let status = world.status_becomes("a server is missing", |status| status.ready == "2/3").await;
    assert_eq!(status.state, "Ready");

    let second = drain.text.replace("node-a", "node-b").replace("--timeout=10m", "--timeout=5s");
    let output = shell.refused(&second).await;
    assert!(output.contains("Cannot evict pod as it would violate the pod's disruption budget"), "{output}");
    assert_eq!(world.status().await.ready, "2/3");

    shell.done(&uncordon.text).await;
    shell.done("kubectl uncordon node-b").await;
    world.is_ready_for_the_newest_spec().await;
}

/// Gardener drains each node, deletes it, and creates its successor.
#[tokio::test]
async fn rotation_of_all_nodes_takes_one_server_at_a_time() {
    let world = World::new().await;
    let _manager = world.manager().await;
    world.create(json!({})).await;
    let ready = world.is_ready_for_the_newest_spec().await;
    let (pods, volumes) = (pod_uids(&world).await, volumes(&world).await);
    let history = History::record(world.api::<nats_manager_api::Nats>(), |nats| nats.status);
    let shell = Shell::new(&world.cluster);
    let [drain, _] = documented::blocks(PAGE, "run: drain").try_into().unwrap();
    let nodes: Api<Node> = Api::all(world.client.clone());
    for name in ["node-a", "node-b", "node-c"] {
        let node = nodes.get(name).await.unwrap();
        shell.done(&drain.text.replace("node-a", name)).await;
        world.status_becomes("a server is missing", |status| status.ready == "2/3").await;
        nodes.delete(name, &DeleteParams::default()).await.unwrap();
        wake_up(&world, vec![node]).await;
        world.is_ready_for_the_newest_spec().await;
    }
    let rotated = pod_uids(&world).await;
    assert!(pods.iter().all(|uid| !rotated.contains(uid)), "{pods:?} {rotated:?}");
    assert_eq!(self::volumes(&world).await, volumes);
    for status in history.states() {
        assert!(status.ready_servers >= 2, "{status:?}");
        assert_eq!((status.state.as_str(), &status.url), ("Ready", &ready.url), "{status:?}");
    }
}

#[tokio::test]
async fn documented_restart_ends_when_all_servers_have_restarted() {
    let world = World::new().await;
    let _manager = world.manager().await;
    world.create(json!({})).await;
    world.is_ready_for_the_newest_spec().await;
    let before = pod_uids(&world).await;
    let shell = Shell::new(&world.cluster);
    for block in documented::blocks(PAGE, "run: restart") {
        shell.done(&block.text).await;
    }
    let after = pod_uids(&world).await;
    assert!(before.iter().all(|uid| !after.contains(uid)), "{before:?} {after:?}");
    assert_eq!(STATEFUL_SET.get(&world).await["status"]["readyReplicas"], 3);
}

/// All nodes are deleted, and the Pods with them. New nodes come later.
#[tokio::test]
async fn hibernated_cluster_wakes_up_with_its_volumes() {
    let world = World::new().await;
    let _manager = world.manager().await;
    world.create(json!({})).await;
    let ready = world.is_ready_for_the_newest_spec().await;
    let volumes = volumes(&world).await;
    let set = STATEFUL_SET.get(&world).await;
    let history = History::record(world.api::<nats_manager_api::Nats>(), |nats| nats.status);

    let nodes = hibernate(&world).await;
    let status = world
        .status_becomes("no server is ready", |status| status.ready_servers == 0 && status.state == "Processing")
        .await;
    assert_eq!((&status.url, status.members), (&ready.url, Some(3)));
    assert_eq!(condition(&status, "Ready").unwrap().0, "False");

    wake_up(&world, nodes).await;
    let shell = Shell::new(&world.cluster);
    for block in documented::blocks(PAGE, "run: wake up") {
        shell.done(&block.text).await;
    }
    let status = world.status().await;
    assert_eq!((status.state.as_str(), status.ready.as_str(), &status.url), ("Ready", "3/3", &ready.url));
    assert_eq!(self::volumes(&world).await, volumes);
    let now = STATEFUL_SET.get(&world).await;
    assert_eq!((&now["metadata"]["uid"], &now["spec"]), (&set["metadata"]["uid"], &set["spec"]));
    let is_blocked = |status: &NatsStatus| condition(status, "Stalled").is_some_and(|(holds, ..)| holds == "True");
    assert!(!history.states().iter().any(is_blocked), "{:?}", history.states());
}

async fn pod_uids(world: &World) -> Vec<String> {
    world.pods().await.iter().map(|pod| pod.uid().unwrap()).collect()
}

/// Returns the names of the PVCs, with their uids and volumes.
async fn volumes(world: &World) -> Vec<(String, String, String)> {
    let all = world.pvcs().await.into_iter();
    all.map(|pvc| (pvc.name_any(), pvc.uid().unwrap(), pvc.spec.unwrap().volume_name.unwrap())).collect()
}

/// Deletes all nodes, and waits until no Pod runs. Returns the nodes.
async fn hibernate(world: &World) -> Vec<Node> {
    let api: Api<Node> = Api::all(world.client.clone());
    let nodes = api.list(&ListParams::default()).await.unwrap().items;
    for node in &nodes {
        api.delete(&node.name_any(), &DeleteParams::default()).await.unwrap();
    }
    // The drain of a node that is deleted in any case.
    for pod in world.pods().await {
        world.kill_pod(&pod.name_any()).await;
    }
    eventually("no Pod is on a node", TIMEOUT, || async {
        let placed: Vec<String> =
            world.pods().await.into_iter().filter_map(|pod| pod.spec.unwrap().node_name).collect();
        if placed.is_empty() { Seen::Done(()) } else { Seen::NotYet(format!("{placed:?}")) }
    })
    .await;
    nodes
}

/// Creates nodes in the zones of those that were deleted.
async fn wake_up(world: &World, nodes: Vec<Node>) {
    let api: Api<Node> = Api::all(world.client.clone());
    for mut node in nodes {
        node.metadata = ObjectMeta {
            name: node.metadata.name,
            labels: node.metadata.labels,
            annotations: node.metadata.annotations,
            ..ObjectMeta::default()
        };
        node.spec = None;
        api.create(&PostParams::default(), &node).await.unwrap();
    }
}
