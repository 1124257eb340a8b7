//! Manifests of the webhook configurations in `config/webhook`.

use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams};
use nats_manager::admission::{WebhookAddress, configuration::PublishedWebhook};
use nats_manager_api::ClusterDomain;
use nats_manager_harness::eventually;
use serde_json::{Value, json};

use super::{configurations::configurations, webhook_options};
use crate::world::{SERVICE_ACCOUNT, TIMEOUT, World};
use nats_manager_harness::Shell;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config/webhook");

/// Reads a manifest in `config/webhook`.
fn manifest(file: &str) -> Value {
    serde_saphyr::from_str(&std::fs::read_to_string(format!("{FOLDER}/{file}.yaml")).unwrap()).unwrap()
}

#[test]
fn manifests_equal_generated_configurations_except_bundle_and_owner() {
    let published = PublishedWebhook {
        reached: WebhookAddress::Service { namespace: "kyma-system".to_owned(), domain: ClusterDomain::default() },
        bundle: String::new(),
        owner_uid: String::new(),
        own_user: SERVICE_ACCOUNT.to_owned(),
    };
    let generated = [
        ("mutating", serde_json::to_value(published.mutating()).unwrap()),
        ("validating", serde_json::to_value(published.validating()).unwrap()),
    ];
    for (file, mut generated) in generated {
        for webhook in generated["webhooks"].as_array_mut().unwrap() {
            webhook["clientConfig"].as_object_mut().unwrap().remove("caBundle");
        }
        generated["metadata"].as_object_mut().unwrap().remove("ownerReferences");
        assert_eq!(manifest(file), generated, "{file}");
    }
}

#[tokio::test]
async fn manifests_work_where_the_manager_creates_no_configurations() {
    let world = World::new().await;
    let shell = Shell::new(&world.cluster);
    shell.done(&format!("kubectl apply --dry-run=server -k {FOLDER}")).await;

    let mut options = webhook_options();
    let url = options.args.iter().find_map(|arg| arg.strip_prefix("--webhook-url=")).unwrap().to_owned();
    options.args.push("--manage-webhook-configuration=false".to_owned());
    let _manager = world.manager_with(&options).await;
    let bundle = eventually("the CA is generated", TIMEOUT, || async {
        let secret = world.api::<Secret>().get("nats-manager-webhook-ca").await?;
        Ok::<_, kube::Error>(secret.data.and_then(|mut data| data.remove("ca.crt")))
    })
    .await;
    for (api, file) in configurations(&world).iter().zip(["mutating", "validating"]) {
        let mut manifest = manifest(file);
        for webhook in manifest["webhooks"].as_array_mut().unwrap() {
            let client = &mut webhook["clientConfig"];
            let path = client["service"]["path"].as_str().unwrap().to_owned();
            // The apiserver of the test cannot reach a Service.
            *client = json!({"url": format!("{url}{path}"), "caBundle": bundle.clone()});
        }
        api.patch("nats-manager", &PatchParams::apply("gitops").force(), &Patch::Apply(&manifest)).await.unwrap();
    }
    world.webhook_is_active().await;
    let completed = world.dry_run(json!({})).await.unwrap();
    assert_eq!(completed["jetStream"]["fileStorage"]["size"], "1Gi");
}
