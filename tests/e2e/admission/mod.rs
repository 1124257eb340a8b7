//! The admission webhook, asked by the real apiserver, with the real kubectl.

mod certificates;
mod configurations;
mod data;
mod defaulting;
mod documented;
mod drain;
mod forwarder;
mod load;
mod manifests;
mod metrics;
mod mistakes;
mod mounted;
mod outage;
mod pair;
mod quiet;
mod readiness;
mod rotation;
mod rules;
mod stored;
mod tls;

use nats_manager_harness::eventually;
use serde_json::{Value, json};

use crate::{
    manager::{Manager, Options, free_port},
    world::{NAME, NAMESPACE, SOON, World, kubectl},
};

/// The manager with its webhook, which the apiserver reaches on loopback.
pub fn with_webhook() -> Options {
    let port = free_port();
    reached_at(port, port)
}

/// The manager with its webhook at one port, which the apiserver reaches at another.
fn reached_at(bind: u16, reached: u16) -> Options {
    Options {
        args: vec![
            format!("--webhook-bind-address=127.0.0.1:{bind}"),
            format!("--webhook-url=https://127.0.0.1:{reached}"),
        ],
        ..Options::default()
    }
}

impl World {
    /// The manager with its webhook, and the apiserver asking it.
    async fn guarded(&self) -> Manager {
        let manager = self.manager_with(&with_webhook()).await;
        self.is_guarded().await;
        manager
    }

    /// Waits until the apiserver has read the configurations, which it does a moment after others.
    async fn is_guarded(&self) {
        eventually("the apiserver asks the webhook", SOON, || async {
            match self.tries(json!({"labels": {"nats_cluster": "mine"}})).await {
                Err(kube::Error::Api(status)) if status.message.contains("is set by NATS Manager itself") => Ok(true),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    }

    /// What comes of applying this spec, without doing it.
    async fn tries(&self, spec: Value) -> kube::Result<Value> {
        let nats = nats(spec);
        let apply = kube::api::PatchParams::apply("tries").force().dry_run();
        let tried = self.api::<nats_manager_api::Nats>().patch(NAME, &apply, &kube::api::Patch::Apply(&nats)).await?;
        Ok(serde_json::to_value(tried.spec).unwrap())
    }

    /// The stored spec, as it is.
    async fn stored(&self) -> Value {
        let spec = kubectl(&self.cluster, &["get", "nats", "-n", NAMESPACE, NAME, "-o", "jsonpath={.spec}"]).await;
        serde_json::from_str(&spec.unwrap()).unwrap()
    }
}

/// The one NATS resource.
#[allow(clippy::needless_pass_by_value, reason = "as json! takes it")]
fn nats(spec: Value) -> Value {
    json!({
        "apiVersion": "operator.kyma-project.io/v1alpha1",
        "kind": "NATS",
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "spec": spec,
    })
}

#[tokio::test]
async fn a_resource_arrives_complete_and_a_bad_one_not_at_all() {
    let world = World::new().await;
    let _manager = world.guarded().await;

    let refused = world
        .create_as(
            NAMESPACE,
            NAME,
            json!({
                "cluster": {"size": 3},
                "jetStream": {"memStorage": {"size": "3Gi"}},
                "resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}},
            }),
        )
        .await
        .unwrap_err();
    let kube::Error::Api(status) = refused else { panic!("{refused}") };
    assert_eq!((status.code, status.reason.as_str()), (422, "Invalid"));
    let fields: Vec<String> = status.details.unwrap().causes.into_iter().map(|cause| cause.field).collect();
    assert_eq!(fields, ["spec.jetStream.memStorage.size", "spec.resources.requests.cpu"]);

    world.create(json!({"resources": {"requests": {"cpu": "1"}}})).await;
    let spec = world.stored().await;
    assert_eq!(spec["jetStream"]["fileStorage"]["size"], "1Gi");
    assert_eq!(spec["resources"]["limits"], json!({"cpu": "1", "memory": "1Gi"}));
    assert_eq!(spec["resources"]["requests"], json!({"cpu": "1", "memory": "64Mi"}));
}
