//! Client authentication of the apiserver, which presents the certificate of its `AdmissionConfiguration`.

use std::path::Path;

use k8s_openapi::api::{admissionregistration::v1::ValidatingWebhookConfiguration, core::v1::Secret};
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use nats_manager_api::Nats;
use nats_manager_harness::{ClusterOptions, Installation, LocalCluster, eventually};
use serde_json::json;

use super::{
    mounted::{Issuer, Pair},
    nats,
    tls::{answer, answer_to},
    webhook_options,
};
use crate::world::{NAME, NAMESPACE, TIMEOUT, World};

const REJECTED: &str = "nats_manager_webhook_rejected_handshakes_total{reason=\"client_certificate\"}";
const FAILURES: &str = "nats_manager_webhook_certificate_failures_total";

/// Writes a file, and returns its path.
fn write(folder: &Path, name: &str, content: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, content).unwrap();
    path.display().to_string()
}

/// Returns the YAML block of a kind in the documentation, with the files of the test.
fn documented(folder: &Path, kind: &str) -> String {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/user/webhook.md");
    let page = std::fs::read_to_string(page).unwrap();
    let mut blocks = page.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let block = blocks.find(|block| block.contains(&format!("kind: {kind}\n"))).unwrap();
    // The block is in a list.
    let lines = block.lines().map(|line| line.strip_prefix("   ").unwrap_or(line));
    let text = lines.collect::<Vec<_>>().join("\n");
    text.replace("/etc/kubernetes/", &format!("{}/", folder.display()))
}

/// Writes the documented configuration of an apiserver that presents this certificate to webhooks. Returns its path.
fn admission_configuration(folder: &Path, client: &Pair) -> String {
    write(folder, "nats-manager-client.crt", &client.certificate);
    write(folder, "nats-manager-client.key", &client.key);
    // The webhook has a URL here, with a port that is different in each run.
    let kubeconfig = documented(folder, "Config").replace("nats-manager-webhook.kyma-system.svc", "'*'");
    write(folder, "webhooks.kubeconfig", &kubeconfig);
    write(folder, "admission.yaml", &documented(folder, "AdmissionConfiguration"))
}

#[tokio::test]
async fn webhook_serves_only_the_apiserver_with_its_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let [client, stranger] = [Issuer::new().issue(), Issuer::new().issue()];
    let ca = write(folder, "client-ca.crt", &client.ca);
    let configuration = admission_configuration(folder, &client);
    let options = ClusterOptions {
        apiserver_args: vec![format!("--admission-control-config-file={configuration}")],
        ..ClusterOptions::default()
    };
    let cluster = LocalCluster::start(options).await.unwrap();
    let installation = Installation::new(&cluster, "e2e", TIMEOUT).await.unwrap();
    let mut options = webhook_options();
    options.args.push(format!("--webhook-client-ca={ca}"));
    let manager = options.spawn(&installation.kubeconfig, cluster.folder()).ready().await;

    eventually("the apiserver calls the webhook", TIMEOUT, || async {
        let invalid = nats(json!({"labels": {"nats_cluster": "mine"}}));
        let apply = PatchParams::apply("tries").force().dry_run();
        let api: Api<Nats> = Api::namespaced(installation.client.clone(), NAMESPACE);
        match api.patch(NAME, &apply, &Patch::Apply(&invalid)).await {
            Err(kube::Error::Api(status)) if status.message.contains("is set by NATS Manager itself") => Ok(true),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    assert_eq!(manager.metric(REJECTED).await, Some(0.0));

    let bundle = installation.api::<Secret>().get("nats-manager-webhook-ca").await.unwrap().data.unwrap();
    let bundle = bundle["ca.crt"].0.clone();
    let configurations: Api<ValidatingWebhookConfiguration> = Api::all(installation.client.clone());
    let webhooks = configurations.get("nats-manager").await.unwrap().webhooks.unwrap();
    let url = webhooks[0].client_config.url.clone().unwrap();
    let port: u16 = url.trim_start_matches("https://127.0.0.1:").split('/').next().unwrap().parse().unwrap();
    assert_eq!(answer(port, &bundle).await.unwrap_or_default(), "");
    assert_eq!(answer_to(port, &bundle, &stranger.certificate, &stranger.key).await.unwrap_or_default(), "");
    assert_eq!(manager.metric(REJECTED).await, Some(2.0));
    let accepted = answer_to(port, &bundle, &client.certificate, &client.key).await.unwrap();
    assert!(accepted.starts_with("HTTP/1.1 400"), "{accepted}");

    // The file is read again. Garbage changes nothing.
    write(folder, "client-ca.crt", &format!("{}{}", client.ca, stranger.ca));
    eventually("the other CA is accepted", TIMEOUT, || async {
        answer_to(port, &bundle, &stranger.certificate, &stranger.key).await.map(|answer| !answer.is_empty())
    })
    .await;
    let before = manager.metric(FAILURES).await;
    write(folder, "client-ca.crt", "garbage");
    eventually("the failure is counted", TIMEOUT, || async { manager.metric(FAILURES).await > before }).await;
    let accepted = answer_to(port, &bundle, &stranger.certificate, &stranger.key).await.unwrap();
    assert!(accepted.starts_with("HTTP/1.1 400"), "{accepted}");
}

#[tokio::test]
async fn replica_without_ca_of_clients_is_not_ready() {
    let world = World::new().await;
    let mut options = webhook_options();
    options.args.push("--webhook-client-ca=/nonexistent/ca.crt".to_owned());
    let manager = world.spawn(&options);
    eventually("the reason is reported", TIMEOUT, || async {
        match manager.readyz().await {
            Some((503, text)) if text.contains("[-]webhook-client-ca: /nonexistent/ca.crt: ") => Ok(true),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}
