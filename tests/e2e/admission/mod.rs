//! The admission webhook, called by a real apiserver on requests of a real kubectl.

mod certificates;
mod client_authentication;
mod configurations;
mod data;
mod defaulting;
mod documented;
mod drain;
mod forwarder;
pub mod go_types;
pub mod load;
mod manifests;
mod metrics;
mod mistakes;
mod mounted;
mod outage;
mod pair;
mod permissions;
mod policy;
mod quiet;
mod readiness;
mod removal;
mod rotation;
mod rules;
mod scale;
mod sources;
mod stored;
pub mod tls;

use nats_manager_harness::eventually;
use serde_json::{Value, json};

use crate::{
    manager::{ManagerOptions, ManagerProcess, free_address},
    world::{NAME, NAMESPACE, TIMEOUT, World},
};

/// Returns the options of a manager whose webhook the apiserver calls on loopback.
pub fn webhook_options() -> ManagerOptions {
    let port = free_address().unwrap().port();
    webhook_options_at(port, port)
}

/// Returns the options of a manager whose webhook listens on port `bind` and is called on port `reached`.
pub fn webhook_options_at(bind: u16, reached: u16) -> ManagerOptions {
    ManagerOptions {
        args: vec![
            format!("--webhook-bind-address=127.0.0.1:{bind}"),
            format!("--webhook-url=https://127.0.0.1:{reached}"),
        ],
        ..ManagerOptions::default()
    }
}

impl World {
    /// Starts a manager with its webhook, and waits until the apiserver calls it.
    async fn manager_with_webhook(&self) -> ManagerProcess {
        let manager = self.manager_with(&webhook_options()).await;
        self.webhook_is_active().await;
        manager
    }

    /// Waits until the apiserver has loaded the webhook configurations, which it does with a delay.
    pub async fn webhook_is_active(&self) {
        eventually("the apiserver calls the webhook", TIMEOUT, || async {
            match self.dry_run(json!({"labels": {"nats_cluster": "mine"}})).await {
                Err(kube::Error::Api(status)) if status.message.contains("is set by NATS Manager itself") => Ok(true),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    }

    /// Applies a spec as a dry run, and returns the resulting spec.
    async fn dry_run(&self, spec: Value) -> kube::Result<Value> {
        let nats = nats(spec);
        let apply = kube::api::PatchParams::apply("tries").force().dry_run();
        let applied = self.api::<nats_manager_api::Nats>().patch(NAME, &apply, &kube::api::Patch::Apply(&nats)).await?;
        Ok(serde_json::to_value(applied.spec).unwrap())
    }

    /// Returns the stored spec.
    async fn stored_spec(&self) -> Value {
        let spec = self.kubectl(&["get", "nats", "-n", NAMESPACE, NAME, "-o", "jsonpath={.spec}"]).await;
        serde_json::from_str(&spec.unwrap()).unwrap()
    }
}

/// Returns the manifest of the NATS resource with this spec.
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
async fn valid_resource_is_completed_and_invalid_one_is_rejected() {
    let world = World::new().await;
    let _manager = world.manager_with_webhook().await;

    let rejected = world
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
    let kube::Error::Api(status) = rejected else { panic!("{rejected}") };
    assert_eq!((status.code, status.reason.as_str()), (422, "Invalid"));
    let fields: Vec<String> = status.details.unwrap().causes.into_iter().map(|cause| cause.field).collect();
    assert_eq!(fields, ["spec.jetStream.memStorage.size", "spec.resources.requests.cpu"]);

    world.create(json!({"resources": {"requests": {"cpu": "1"}}})).await;
    let spec = world.stored_spec().await;
    assert_eq!(spec["jetStream"]["fileStorage"]["size"], "1Gi");
    assert_eq!(spec["resources"], json!({"requests": {"cpu": "1"}}), "the rest is computed, and not stored");
}
