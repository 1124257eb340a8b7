//! The NetworkPolicies of the manager and of the servers, evaluated over connections: the network of the test cluster
//! enforces none.
#![allow(clippy::unwrap_used, clippy::panic, reason = "all of this is a test")]

mod evaluator;

use std::{collections::BTreeMap, process::Command};

use k8s_openapi::api::networking::v1::NetworkPolicy;
use nats_manager::{
    controller::resources::{SystemAccount, build, fresh_plan},
    settings::Images,
};
use nats_manager_api::{Nats, NatsSpec, Spread, network_policy, resolve, rules::ClusterFacts};
use nats_manager_harness::{KubernetesVersion, Tool};
use serde_json::{Value, json};

use evaluator::{Endpoint, Port, is_allowed};

const KYMA: &str = "kyma-system";

/// Everything that the policies are evaluated with.
struct World {
    policies: Vec<NetworkPolicy>,
    manager: Endpoint,
    server: Endpoint,
}

impl World {
    /// Builds the policies of the default manifest, and those of a resource in this mode.
    async fn new(mode: &str) -> Self {
        let manifest = manifest().await;
        let deployment = manifest.iter().find(|object| object["kind"] == "Deployment").unwrap();
        let (policy, template) = cluster("eventing-nats", mode);
        let manifest = manifest.iter().filter(|object| object["kind"] == "NetworkPolicy");
        let manifest = manifest.map(|object| serde_json::from_value(object.clone()).unwrap());
        Self {
            policies: manifest.chain(policy).collect(),
            manager: pod(KYMA, &deployment["spec"]["template"]["metadata"]["labels"]),
            server: pod(KYMA, &template),
        }
    }

    /// Adds the policies of an installation that denies all traffic in the namespace, and lets scrapers out.
    fn denying_all(mut self) -> Self {
        for (name, spec) in [
            ("deny-all", json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]})),
            (
                "scrapers",
                json!({
                    "podSelector": {"matchLabels": {"networking.kyma-project.io/metrics-scraping": "allowed"}},
                    "policyTypes": ["Egress"],
                    "egress": [{}],
                }),
            ),
        ] {
            let policy = json!({"metadata": {"name": name, "namespace": KYMA}, "spec": spec});
            self.policies.push(serde_json::from_value(policy).unwrap());
        }
        self
    }

    fn allows(&self, from: &Endpoint, to: &Endpoint, number: i32, protocol: &'static str) -> bool {
        is_allowed(&self.policies, from, to, Port { number, protocol })
    }
}

/// Builds the default manifest.
async fn manifest() -> Vec<Value> {
    let program = Tool::Cluster(KubernetesVersion::default()).path().await.unwrap();
    let folder = format!("{}/config/default", env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(program).args(["kubectl", "kustomize", &folder]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_saphyr::from_multiple(&String::from_utf8(output.stdout).unwrap()).unwrap()
}

/// Returns the policy of a resource in `kyma-system`, and the labels of its Pods. An empty mode is no annotation.
fn cluster(name: &str, mode: &str) -> (Option<NetworkPolicy>, Value) {
    let mut nats = Nats::new(name, NatsSpec::default());
    nats.metadata.namespace = Some(KYMA.to_owned());
    if !mode.is_empty() {
        nats.metadata.annotations = Some([(network_policy::ANNOTATION.to_owned(), mode.to_owned())].into());
    }
    let resolved = resolve(&nats, &ClusterFacts::default(), Spread::Soft).unwrap();
    let images = Images { nats: "n".to_owned(), config_reloader: "r".to_owned(), exporter: "e".to_owned() };
    let children = build(&resolved, &fresh_plan(&resolved), &images, &SystemAccount::generate());
    let labels = serde_json::to_value(children.stateful_set.spec.unwrap().template.metadata.unwrap().labels).unwrap();
    (children.network_policy, labels)
}

fn pod(namespace: &str, labels: &Value) -> Endpoint {
    let mut namespace_labels = BTreeMap::from([("kubernetes.io/metadata.name".to_owned(), namespace.to_owned())]);
    if namespace == "kube-system" {
        namespace_labels.insert("gardener.cloud/purpose".to_owned(), "kube-system".to_owned());
    }
    let labels = serde_json::from_value(labels.clone()).unwrap();
    Endpoint::Pod { namespace: namespace.to_owned(), namespace_labels, labels }
}

fn address(text: &str) -> Endpoint {
    Endpoint::Address(text.parse().unwrap())
}

fn named(namespace: &str, name: &str) -> Endpoint {
    pod(namespace, &json!({"app.kubernetes.io/name": name}))
}

fn scraper(namespace: &str) -> Endpoint {
    pod(namespace, &json!({"networking.kyma-project.io/metrics-scraping": "allowed"}))
}

fn client(namespace: &str) -> Endpoint {
    pod(namespace, &json!({"networking.nats.kyma-project.io/to-nats": "allowed"}))
}

fn manager_of_another_module() -> Endpoint {
    pod(KYMA, &json!({"control-plane": "manager", "kyma-project.io/module": "other"}))
}

/// Pod in another namespace with all labels of a Pod.
fn copy_elsewhere(original: &Endpoint) -> Endpoint {
    let Endpoint::Pod { labels, .. } = original else { panic!("{original:?} is no Pod") };
    pod("orders", &json!(labels))
}

#[tokio::test]
async fn manager_has_the_traffic_that_it_needs_and_no_other() {
    for world in [World::new("").await, World::new("").await.denying_all(), World::new("restricted").await] {
        let World { manager, server, .. } = &world;
        let dns = pod("kube-system", &json!({"k8s-app": "kube-dns"}));
        let dns_cache = pod("kube-system", &json!({"k8s-app": "node-local-dns"}));
        let any = named("orders", "shop");
        for (from, to, port, protocol, allowed) in [
            (&address("100.64.0.1"), manager, 9443, "TCP", true),
            (&any, manager, 9443, "TCP", true),
            (&scraper(KYMA), manager, 8080, "TCP", true),
            (&scraper("orders"), manager, 8080, "TCP", false),
            (&any, manager, 8080, "TCP", false),
            (&named(KYMA, "prometheus"), manager, 8080, "TCP", false),
            (&any, manager, 8081, "TCP", false),
            (manager, &address("10.0.0.1"), 443, "TCP", true),
            (manager, &address("fd00::1"), 6443, "TCP", true),
            (manager, &address("10.0.0.1"), 80, "TCP", false),
            (manager, &address("169.254.20.10"), 53, "UDP", true),
            (manager, &dns, 53, "TCP", true),
            (manager, &dns, 8053, "UDP", true),
            (manager, &dns_cache, 53, "UDP", true),
            (manager, &any, 53, "UDP", false),
            (manager, server, 4222, "TCP", true),
            (manager, server, 8222, "TCP", true),
            (manager, server, 6222, "TCP", false),
            (manager, &any, 4222, "TCP", false),
        ] {
            assert_eq!(world.allows(from, to, port, protocol), allowed, "{from:?} -> {to:?} {protocol} {port}");
        }
    }
}

#[tokio::test]
async fn servers_accept_internal_traffic_only_of_their_peers() {
    for mode in ["", "internal", "unknown", "restricted"] {
        let world = World::new(mode).await;
        let World { manager, server, .. } = &world;
        let other_cluster = pod(KYMA, &cluster("other", "").1);
        let any = named("orders", "shop");
        for (from, port, allowed) in [
            (server, 6222, true),
            (&other_cluster, 6222, false),
            (&any, 6222, false),
            (&client("orders"), 6222, false),
            (&copy_elsewhere(server), 6222, false),
            (manager, 6222, false),
            (manager, 8222, true),
            (&copy_elsewhere(manager), 8222, false),
            (&manager_of_another_module(), 8222, false),
            (&any, 8222, false),
            (server, 8222, false),
            (&scraper(KYMA), 7777, true),
            (&scraper("orders"), 7777, false),
            (&any, 7777, false),
            (&scraper(KYMA), 8222, false),
        ] {
            assert_eq!(world.allows(from, server, port, "TCP"), allowed, "{mode}: {from:?} {port}");
        }
    }
}

#[tokio::test]
async fn client_port_is_open_to_all_unless_restricted() {
    for (mode, open_to_all) in [("", true), ("internal", true), ("restricted", false)] {
        let world = World::new(mode).await;
        let World { manager, server, .. } = &world;
        for (from, allowed) in [
            (&named("orders", "shop"), open_to_all),
            (&address("10.0.0.1"), open_to_all),
            (&manager_of_another_module(), open_to_all),
            (&named("orders", "eventing-manager"), open_to_all),
            (&client("orders"), true),
            (&client(KYMA), true),
            (&named(KYMA, "eventing-manager"), true),
            (&named(KYMA, "eventing-publisher-proxy"), true),
            (manager, true),
        ] {
            assert_eq!(world.allows(from, server, 4222, "TCP"), allowed, "{mode}: {from:?}");
        }
    }
}

#[tokio::test]
async fn servers_reach_each_other_and_dns_where_all_traffic_is_denied() {
    for (mode, other_egress) in [("internal", true), ("restricted", false)] {
        let world = World::new(mode).await.denying_all();
        let server = &world.server;
        let dns = pod("kube-system", &json!({"k8s-app": "kube-dns"}));
        for (to, port, protocol, allowed) in [
            (server, 6222, "TCP", true),
            (&address("169.254.20.10"), 53, "UDP", true),
            (&dns, 53, "UDP", true),
            (&dns, 8053, "TCP", true),
            (&pod("kube-system", &json!({"k8s-app": "node-local-dns"})), 53, "UDP", true),
            (&address("10.0.0.1"), 443, "TCP", other_egress),
            (&named("orders", "shop"), 80, "TCP", other_egress),
        ] {
            assert_eq!(world.allows(server, to, port, protocol), allowed, "{mode}: {to:?} {protocol} {port}");
        }
    }
}

#[tokio::test]
async fn disabled_policy_leaves_every_port_open() {
    let world = World::new("disabled").await;
    for port in [4222, 6222, 7777, 8222] {
        assert!(world.allows(&named("orders", "shop"), &world.server, port, "TCP"), "{port}");
    }
}

#[tokio::test]
async fn policies_have_names_of_kyma_and_no_empty_selector() {
    for mode in ["internal", "restricted"] {
        let world = World::new(mode).await;
        assert_eq!(world.policies.len(), 6);
        for policy in &world.policies {
            let name = policy.metadata.name.as_deref().unwrap();
            assert!(name.starts_with("kyma-project.io--nats-"), "{name}");
            assert!(!has_empty_selector(&serde_json::to_value(policy).unwrap()), "{name}");
        }
        let servers = world.policies.last().unwrap().metadata.name.as_deref();
        assert_eq!(servers, Some("kyma-project.io--nats-servers-eventing-nats"));
    }
    assert!(has_empty_selector(&json!({"spec": {"ingress": [{"from": [{"namespaceSelector": {}}]}]}})));
}

fn has_empty_selector(value: &Value) -> bool {
    let is_empty = |(key, value): (&String, &Value)| key.ends_with("Selector") && *value == json!({});
    match value {
        Value::Object(fields) => fields.iter().any(is_empty) || fields.values().any(has_empty_selector),
        Value::Array(items) => items.iter().any(has_empty_selector),
        _ => false,
    }
}
