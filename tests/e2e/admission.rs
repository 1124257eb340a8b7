//! The admission webhook, asked by the real apiserver.

use serde_json::json;

use crate::{
    manager::{Options, free_port},
    world::{NAME, NAMESPACE, World, kubectl},
};

/// The manager with its webhook, which the apiserver reaches on loopback.
pub fn with_webhook() -> Options {
    let port = free_port();
    Options {
        args: vec![
            format!("--webhook-bind-address=127.0.0.1:{port}"),
            format!("--webhook-url=https://127.0.0.1:{port}"),
        ],
        ..Options::default()
    }
}

#[tokio::test]
async fn a_resource_arrives_complete_and_a_bad_one_not_at_all() {
    let world = World::new().await;
    let _manager = world.manager_with(&with_webhook()).await;

    let refused = world
        .create_as(NAMESPACE, NAME, json!({
            "cluster": {"size": 3},
            "jetStream": {"memStorage": {"size": "3Gi"}},
            "resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}},
        }))
        .await
        .unwrap_err();
    let kube::Error::Api(status) = refused else { panic!("{refused}") };
    assert_eq!((status.code, status.reason.as_str()), (422, "Invalid"));
    let fields: Vec<String> = status.details.unwrap().causes.into_iter().map(|cause| cause.field).collect();
    assert_eq!(fields, ["spec.jetStream.memStorage.size", "spec.resources.requests.cpu"]);

    world.create(json!({"resources": {"requests": {"cpu": "1"}}})).await;
    let spec = kubectl(&world.cluster, &["get", "nats", "-n", NAMESPACE, NAME, "-o", "jsonpath={.spec}"]).await.unwrap();
    let spec: serde_json::Value = serde_json::from_str(&spec).unwrap();
    assert_eq!(spec["jetStream"]["fileStorage"]["size"], "1Gi");
    assert_eq!(spec["resources"]["limits"], json!({"cpu": "1", "memory": "1Gi"}));
    assert_eq!(spec["resources"]["requests"], json!({"cpu": "1", "memory": "64Mi"}));
}
