//! Secrets stay in their objects: no log, event, status, metric or error text contains a part of them.

use std::collections::BTreeMap;

use k8s_openapi::{
    ByteString,
    api::{core::v1::Secret, events::v1::Event},
};
use kube::{
    Api,
    api::{ListParams, Patch, PatchParams},
};
use nats_manager_api::Nats;
use nats_manager_harness::{ManagerProcess, eventually};
use serde_json::json;

use crate::{
    admission::{tls::answer, webhook_options_at},
    deployed_server::DeployedServer,
    manager::{free_address, http_get},
    objects::{SECRET, SERVICE, system_account},
    rejections::REJECTION,
    world::{NAMESPACE, TIMEOUT, World, condition},
};

const CA: &str = "nats-manager-webhook-ca";
const SYSTEM_ACCOUNT: &str = "eventing-nats-secret";

#[tokio::test]
async fn secrets_appear_in_no_log_event_status_metric_or_error() {
    let world = World::new().await;
    let (mut server, options) = world.nats_server().await;
    let port = free_address().unwrap().port();
    let mut webhook = webhook_options_at(port, port);
    webhook.args.push("--leader-elect".to_owned());
    webhook.env.insert("LOG_LEVEL".to_owned(), "trace".to_owned());
    webhook.nats_url = options.nats_url;
    let manager = world.manager_with(&webhook).await;
    world.webhook_is_active().await;
    world.create(json!({"cluster": {"size": 1}})).await;
    world.state_becomes("Ready").await;

    let mut canaries = Canaries::default();
    let account = system_account(&SECRET.get(&world).await);
    let password = account.split("password: \"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    assert_eq!(password.len(), 60, "{account}");
    canaries.add("password", password);
    canaries.add_keys("CA", &data(&world, CA).await);
    for (text, expected) in [(account.clone(), "password"), (format!("{:?}", password.as_bytes()), "password")] {
        assert_eq!(canaries.find(&text).map(|(what, _)| what), Some(expected));
    }

    // The manager uses the password, and then one that the servers do not accept.
    server.stop().await.unwrap();
    let deployed = DeployedServer::start(&world, &server).await;
    let wrong = "CanaryOfAPasswordThatIsWrong0123456789";
    canaries.add("wrong password", wrong);
    store(&world, SYSTEM_ACCOUNT, "resolver.conf", &account.replace(password, wrong)).await;
    world.patch(json!({"spec": {"cluster": {"size": 3}}})).await.unwrap();
    world.status_becomes("the new size is observed", |status| status.observed_generation > Some(1)).await;
    // A file that is no configuration, and writes that the apiserver rejects.
    store(&world, SYSTEM_ACCOUNT, "resolver.conf", &format!("accounts: {{ {password} {{")).await;
    world.reject(&["CREATE", "UPDATE"], "", "secrets").await;
    world.patch(json!({"spec": {"labels": {"canary": "1"}}})).await.unwrap();
    let status = world.status_becomes("the rejection is reported", |status| {
        condition(status, "Stalled").is_some_and(|(_, _, message)| message.contains(REJECTION))
    });
    canaries.are_absent("status", &serde_json::to_string(&status.await).unwrap());
    world.accept("secrets").await;

    // A key that cannot be parsed, and a review that cannot be read.
    let key = "-----BEGIN PRIVATE KEY-----\nQ2FuYXJ5T2ZBS2V5VGhhdElzRGFtYWdlZA==\n-----END PRIVATE KEY-----\n";
    canaries.add("damaged key", "Q2FuYXJ5T2ZBS2V5VGhhdElzRGFtYWdlZA");
    store(&world, CA, "tls.key", key).await;
    eventually("the CA is repaired", TIMEOUT, || async { data(&world, CA).await["tls.key"] != key.as_bytes() }).await;
    canaries.add_keys("new CA", &data(&world, CA).await);
    let bundle = data(&world, CA).await.remove("ca.crt").unwrap();
    eventually("the webhook answers", TIMEOUT, || async { answer(port, &bundle).await.map(Some) }).await;
    SERVICE.comes_back(&world).await;
    drop(deployed);

    canaries.are_in_no_output(&world, &manager).await;
    let log = manager.log();
    for part in ["\"level\":\"DEBUG\"", "\"kind\":\"Secret\"", "damaged", REJECTION] {
        assert!(log.contains(part), "the log has no {part}");
    }
    assert_eq!(manager.metric("nats_manager_log_lines_dropped_total").await, Some(0.0));
    assert_eq!(manager.terminate().await.unwrap(), Some(0));
}

/// Texts that must not appear anywhere else.
#[derive(Default)]
struct Canaries(Vec<(&'static str, String)>);

impl Canaries {
    fn add(&mut self, what: &'static str, text: &str) {
        assert!(text.len() >= 16, "{what} is too short to be found by its text only");
        self.0.push((what, text.to_owned()));
    }

    /// Adds each line of the private keys of a Secret.
    fn add_keys(&mut self, what: &'static str, data: &BTreeMap<String, Vec<u8>>) {
        let before = self.0.len();
        for pem in data.iter().filter(|(name, _)| name.rsplit('.').next() == Some("key")).map(|(_, pem)| pem) {
            let text = String::from_utf8_lossy(pem);
            let lines = text.lines().filter(|line| line.len() >= 16 && !line.starts_with("-----"));
            lines.for_each(|line| self.add(what, line));
        }
        assert!(self.0.len() > before, "{what} has no key");
    }

    fn are_absent(&self, place: &str, text: &str) {
        if let Some((what, line)) = self.find(text) {
            panic!("{place} contains the {what}, in the line that starts with: {line}");
        }
    }

    /// Returns the first canary in a text, and the start of its line.
    fn find(&self, text: &str) -> Option<(&'static str, String)> {
        self.0.iter().find_map(|(what, canary)| {
            // The data of a Secret and debug output of bytes have other forms of it.
            let forms = [canary.clone(), base64(canary.as_bytes()), format!("{:?}", canary.as_bytes())];
            let at = forms.iter().find_map(|form| text.find(form.trim_matches(['[', ']'])))?;
            Some((*what, text[..at].rsplit('\n').next().unwrap_or_default().to_owned()))
        })
    }

    async fn are_in_no_output(&self, world: &World, manager: &ManagerProcess) {
        self.are_absent("the log", &manager.log());
        for (address, path) in
            [(manager.metrics, "/metrics"), (manager.probes, "/readyz?verbose"), (manager.probes, "/healthz")]
        {
            self.are_absent(path, &http_get(address, path).await.unwrap().1);
        }
        let nats = Api::<Nats>::all(world.client.clone()).list(&ListParams::default()).await.unwrap();
        self.are_absent("the NATS resource", &serde_json::to_string(&nats).unwrap());
        let events = Api::<Event>::all(world.client.clone()).list(&ListParams::default()).await.unwrap();
        assert!(!events.items.is_empty());
        self.are_absent("an event", &serde_json::to_string(&events).unwrap());
        let children = "statefulsets,configmaps,services,poddisruptionbudgets,pods,leases";
        let children = world.kubectl(&["get", children, "-n", NAMESPACE, "-o", "yaml"]).await.unwrap();
        self.are_absent("a child", &children);
        let webhooks = "mutatingwebhookconfigurations,validatingwebhookconfigurations";
        self.are_absent("a configuration", &world.kubectl(&["get", webhooks, "-o", "yaml"]).await.unwrap());
    }
}

/// Encodes complete groups of three bytes, which do not depend on what follows.
fn base64(bytes: &[u8]) -> String {
    let whole = &bytes[..bytes.len() / 3 * 3];
    serde_json::to_value(ByteString(whole.to_vec())).unwrap().as_str().unwrap().to_owned()
}

async fn data(world: &World, name: &str) -> BTreeMap<String, Vec<u8>> {
    let data = world.api::<Secret>().get(name).await.unwrap().data.unwrap_or_default();
    data.into_iter().map(|(key, value)| (key, value.0)).collect()
}

async fn store(world: &World, name: &str, key: &str, text: &str) {
    let patch = Patch::Merge(json!({"stringData": {key: text}}));
    world.api::<Secret>().patch(name, &PatchParams::default(), &patch).await.unwrap();
}
