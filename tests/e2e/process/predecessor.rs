//! Pods under the manager's ServiceAccount that are not its replicas: the predecessor, and copies for debugging.

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use nats_manager_api::Nats;
use nats_manager_harness::{Seen, eventually};
use serde_json::{Value, json};

use crate::world::{NAME, SERVICE_ACCOUNT, TIMEOUT, World, condition};

const POD: &str = "nats-manager-old";
const METRIC: &str = "nats_manager_predecessor_running";
const BLOCKED: &str = "nats_manager_reconciles_total{outcome=\"blocked\"}";

/// Creates a Pod under the ServiceAccount of the manager. `spec` is merged into its spec.
async fn create_pod(world: &World, metadata: Value, spec: Value) {
    let mut pod = json!({
        "metadata": {"name": POD, "labels": {"control-plane": "manager"}},
        "spec": {"serviceAccountName": "nats-manager", "containers": [{"name": "manager", "image": "old"}]},
    });
    for (part, more) in [("metadata", metadata), ("spec", spec)] {
        pod[part].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    }
    world.api::<Pod>().create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
}

/// Waits until the simulated kubelet has started the container of the Pod.
async fn runs(world: &World) {
    eventually("the container runs", TIMEOUT, || async {
        let status = world.api::<Pod>().get(POD).await?.status.unwrap_or_default();
        let runs = |state: k8s_openapi::api::core::v1::ContainerState| state.running.is_some();
        let is_running = status.container_statuses.iter().flatten().any(|all| all.state.clone().is_some_and(runs));
        Ok::<_, kube::Error>(if is_running { Seen::Done(()) } else { Seen::NotYet(format!("{status:?}")) })
    })
    .await;
}

#[tokio::test]
async fn predecessor_blocks_writes_and_is_reported() {
    let world = World::new().await;
    let audit = world.cluster.audit().unwrap();
    create_pod(&world, json!({}), json!({})).await;
    runs(&world).await;
    let mark = audit.mark().await.unwrap();
    let manager = world.manager().await;
    world.create(json!({})).await;
    eventually("the resource was reconciled", TIMEOUT, || async { manager.metric(BLOCKED).await > Some(0.0) }).await;
    assert!(manager.log().contains("another NATS manager still runs"));
    assert_eq!(manager.metric(METRIC).await, Some(1.0));
    assert_eq!(audit.since(mark).await.unwrap().writes_of_user(SERVICE_ACCOUNT), 0);

    let status = world
        .status_becomes("the predecessor is reported", |status| {
            condition(status, "Stalled").is_some_and(|(truth, _, _)| truth == "True")
        })
        .await;
    let (_, reason, message) = condition(&status, "Stalled").unwrap();
    assert_eq!((status.state.as_str(), reason.as_str()), ("Processing", "PredecessorRunning"));
    assert!(message.contains(&format!("kubectl delete pod -n kyma-system {POD}")), "{message}");
    // The predecessor writes its own view over ours, and gets no answer.
    let mark_of_fight = audit.mark().await.unwrap();
    let theirs = Patch::Merge(json!({"status": {"state": "Ready"}}));
    world.api::<Nats>().patch_status(NAME, &PatchParams::default(), &theirs).await.unwrap();
    let before = manager.metric(BLOCKED).await;
    eventually("another reconcile", TIMEOUT, || async { manager.metric(BLOCKED).await > before }).await;
    assert_eq!(audit.since(mark_of_fight).await.unwrap().writes_of_user(SERVICE_ACCOUNT), 0);
    let requests = audit.since(mark).await.unwrap();
    let ours: Vec<_> = requests.writes().filter(|event| event.user == SERVICE_ACCOUNT).collect();
    let of_status =
        ours.iter().filter(|event| (event.resource.as_str(), event.subresource.as_str()) == ("nats", "status"));
    assert_eq!(of_status.count(), 1, "{ours:?}");
    assert!(ours.iter().all(|event| event.subresource == "status" || event.resource == "events"), "{ours:?}");

    let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
    world.api::<Pod>().delete(POD, &now).await.unwrap();
    let status = world.status_becomes("the newest spec is carried out", |status| {
        condition(status, "Stalled").is_some_and(|(truth, _, _)| truth == "False") && status.state == "Ready"
    });
    status.await;
    assert_eq!(manager.metric(METRIC).await, Some(0.0));
    assert_eq!(manager.log().matches("another NATS manager still runs").count(), 1);
}

#[tokio::test]
async fn pending_copy_for_debugging_blocks_nothing() {
    let world = World::new().await;
    create_pod(&world, json!({"labels": null}), json!({"nodeSelector": {"example.com/none": "x"}})).await;
    let manager = world.manager().await;
    world.create(json!({})).await;
    world.state_becomes("Ready").await;
    assert_eq!(world.api::<Pod>().get(POD).await.unwrap().status.unwrap().phase.as_deref(), Some("Pending"));
    assert_eq!(manager.metric(METRIC).await, Some(0.0));
    assert_eq!(manager.metric(BLOCKED).await, Some(0.0));
}

#[tokio::test]
async fn terminating_pod_on_unreachable_node_blocks_nothing_after_its_grace_period() {
    let world = World::new().await;
    // No simulated kubelet serves this node, so its Pod is as one on a node that is lost.
    let nodes: Api<Node> = Api::all(world.client.clone());
    let node = serde_json::from_value(json!({"metadata": {"name": "lost"}})).unwrap();
    let _ = nodes.create(&PostParams::default(), &node).await;
    create_pod(&world, json!({}), json!({"nodeName": "lost", "terminationGracePeriodSeconds": 1})).await;
    let pods = world.api::<Pod>();
    let status = json!({"status": {
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "False"}],
        "containerStatuses": [{
            "name": "manager", "image": "old", "imageID": "", "ready": true, "restartCount": 0,
            "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
        }],
    }});
    pods.patch_status(POD, &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
    let manager = world.manager().await;
    world.create(json!({})).await;
    eventually("the resource was reconciled", TIMEOUT, || async { manager.metric(BLOCKED).await > Some(0.0) }).await;
    pods.delete(POD, &DeleteParams::default()).await.unwrap();
    world.state_becomes("Ready").await;
    let pod = pods.get(POD).await.unwrap();
    assert!(pod.metadata.deletion_timestamp.is_some(), "{pod:?}");
    nodes.delete("lost", &DeleteParams::default()).await.unwrap();
    assert_eq!(manager.metric(METRIC).await, Some(0.0));
}
