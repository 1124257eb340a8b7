//! Objects that do not concern the manager: they cost neither memory nor reconciles.

use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::api::PostParams;
use nats_manager_harness::{ManagerProcess, eventually};
use serde_json::json;

use crate::world::{TIMEOUT, World};

const PODS: usize = 2000;
/// Requests that wait for an answer at a time.
const IN_FLIGHT: usize = 32;
/// Growth of the heap that is not due to the Pods: the process allocates for its first reconciles and requests too.
const MOST_GROWTH_KIB: u32 = 1024;
/// Reconciles after the change, and after what still follows from the creation of the cluster.
const MOST_RECONCILES: f64 = 10.0;
const RECONCILES: &str = r#"nats_manager_reconciles_total{outcome="success"}"#;

impl World {
    /// Creates Pods in the namespace of the NATS resource, which no scheduler places.
    async fn create_other_pods(&self) {
        let api = self.api::<Pod>();
        let created = stream::iter(0..PODS).map(Ok).try_for_each_concurrent(IN_FLIGHT, async |index| {
            let pod = json!({
                "metadata": {"name": format!("other-{index}"), "labels": {"app": "other"}},
                "spec": {"schedulerName": "none", "containers": [{"name": "other", "image": "other.example/other:1"}]},
            });
            api.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.map(drop)
        });
        created.await.unwrap();
    }
}

fn heap(manager: &ManagerProcess) -> u32 {
    manager.memory().unwrap().anonymous
}

#[tokio::test]
async fn pods_of_others_cost_neither_memory_nor_reconciles() {
    let world = World::new().await;
    let manager = world.manager().await;
    world.create(json!({})).await;
    world.state_becomes("Ready").await;
    let (heap_before, before) = (heap(&manager), manager.metric(RECONCILES).await);
    world.create_other_pods().await;
    // A change that concerns the manager: its event follows those of the Pods, if there are any.
    world.patch(json!({"metadata": {"annotations": {"marker": "after the Pods"}}})).await.unwrap();
    eventually("the change is reconciled", TIMEOUT, async || manager.metric(RECONCILES).await > before).await;
    let reconciles = manager.metric(RECONCILES).await.unwrap_or_default() - before.unwrap_or_default();
    assert!(reconciles < MOST_RECONCILES, "{reconciles} reconciles after {PODS} Pods and one change");
    let grown = heap(&manager).saturating_sub(heap_before);
    assert!(grown < MOST_GROWTH_KIB, "{grown} KiB more after {PODS} Pods");
    // A start lists what exists.
    let other = world.manager().await;
    let grown = heap(&other).saturating_sub(heap_before);
    assert!(grown < MOST_GROWTH_KIB, "{grown} KiB more in a manager that starts with {PODS} Pods");
}
