//! Scale-down by a manager that cannot poll the servers.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::api::DeleteParams;
use serde_json::json;

use super::{is_blocked, replicas_become};
use crate::world::{World, condition};

#[tokio::test]
async fn scale_down_without_polls_says_what_is_left_to_do() {
    let world = World::new().await;
    let (_server, options) = world.nats_server().await;
    let _manager = world.manager_with(&options).await;
    world.create(json!({"cluster": {"size": 5}})).await;
    world.state_becomes("Ready").await;

    world.patch(json!({"spec": {"cluster": {"size": 3}}})).await.unwrap();
    replicas_become(&world, 3).await;
    let message = is_blocked(&world, "the PVC of eventing-nats-3, eventing-nats-4 is left").await;
    for step in [
        "nats server cluster peer-remove eventing-nats-3",
        "kubectl delete pvc -n kyma-system eventing-nats-js-pvc-eventing-nats-3",
    ] {
        assert!(message.contains(step), "{message}");
    }
    let status = world.status().await;
    for kind in ["JetStream", "Storage"] {
        assert_eq!(condition(&status, kind).unwrap().0, "Unknown", "{kind}");
    }

    for ordinal in [3, 4] {
        let name = format!("eventing-nats-js-pvc-eventing-nats-{ordinal}");
        world.api::<PersistentVolumeClaim>().delete(&name, &DeleteParams::default()).await.unwrap();
    }
    let status = world.state_becomes("Ready").await;
    assert_eq!(condition(&status, "Stalled").unwrap().0, "False");
}
