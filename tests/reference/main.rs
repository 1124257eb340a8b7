//! Comparison of our objects, by meaning, with those that the reference manager applies.
//!
//! Each file contains a NATS resource as the reference stores it, and every object that the reference applies for it.
//! `differences.rs` lists the intended differences. Any other difference fails.
#![allow(clippy::unwrap_used, clippy::panic, reason = "all of this is a test")]

mod compare;
mod differences;
mod nats_conf;
mod server;

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Secret;
use nats_manager::{
    controller::resources::{Children, RESOLVER_KEY, SystemAccount, build, fresh_plan},
    settings::Images,
};
use nats_manager_api::{Nats, Spread, resolve, rules::ClusterFacts};
use serde::Serialize;
use serde_json::{Value, json};

use compare::{Deviation, compare};
use differences::{DIFFERENCES, Difference};

const FILES: [(&str, &str); 5] = [
    ("default", include_str!("default.yaml")),
    ("full-spec", include_str!("full-spec.yaml")),
    ("minimal", include_str!("minimal.yaml")),
    ("size-1", include_str!("size-1.yaml")),
    ("small-memory-store", include_str!("small-memory-store.yaml")),
];

#[test]
fn objects_are_those_of_the_reference() {
    let mut unexpected = Vec::new();
    let mut used = BTreeSet::new();
    for (file, text) in FILES {
        let (nats, theirs) = read(text);
        let ours = objects(&children(&nats));
        for (object, deviation) in deviations(&ours, &theirs) {
            match DIFFERENCES.iter().position(|difference| difference.covers(file, &object, &deviation)) {
                Some(index) => _ = used.insert(index),
                None => unexpected.push(format!("{file}: {object} {deviation}")),
            }
        }
    }
    assert!(unexpected.is_empty(), "not in the list of differences:\n{}", unexpected.join("\n"));
    for (index, Difference { path, reason, .. }) in DIFFERENCES.iter().enumerate() {
        assert!(used.contains(&index), "no longer different: {path} ({reason})");
    }
}

#[test]
fn system_account_is_that_of_the_reference() {
    let (nats, _) = read(FILES[0].1);
    let account = |secret: &Secret| {
        let text = String::from_utf8(secret.data.as_ref().unwrap()[RESOLVER_KEY].0.clone()).unwrap();
        nats_conf::parse(&text)
    };
    let (first, second) = (account(&children(&nats).secret), account(&children(&nats).secret));
    let password = first["accounts"]["$SYS"]["users"][0]["password"].as_str().unwrap().to_owned();
    assert_eq!(password.len(), 60);
    assert!(password.chars().all(|c| c.is_ascii_alphanumeric()));
    let expected = json!({
        "accounts": {"$SYS": {"users": [{"user": "admin", "password": password}]}},
        "system_account": "$SYS",
    });
    assert_eq!(first, expected);
    assert_ne!(first, second);
}

/// Parses a file. Returns the NATS resource, and the other objects by kind.
fn read(text: &str) -> (Nats, BTreeMap<String, Value>) {
    let mut documents = serde_saphyr::from_multiple::<Value>(text).unwrap().into_iter();
    let mut stored = documents.next().unwrap();
    // Its timestamps are placeholders.
    stored.as_object_mut().unwrap().remove("status");
    let mut nats: Nats = serde_json::from_value(stored).unwrap();
    nats.metadata.uid = Some("<uid of the NATS CR>".to_owned());
    (nats, documents.map(by_kind).collect())
}

fn children(nats: &Nats) -> Children {
    let images = Images {
        nats: "nats-server.example/nats:2.14.2".to_owned(),
        config_reloader: "nats-server.example/config-reloader:0.23.0".to_owned(),
        exporter: "nats-server.example/exporter:0.20.1".to_owned(),
    };
    let cluster = resolve(nats, &ClusterFacts::default(), Spread::Soft).unwrap();
    build(&cluster, &fresh_plan(&cluster), &images, &SystemAccount::generate())
}

fn objects(children: &Children) -> BTreeMap<String, Value> {
    let Children { secret, config_map, service, network_policy, stateful_set, pod_disruption_budget, destination_rule } =
        children;
    // Another test compares the account, since the file has none.
    let secret = Secret { data: None, ..secret.clone() };
    [
        json(&secret),
        json(config_map),
        json(service),
        json(network_policy),
        json(stateful_set),
        json(pod_disruption_budget),
        json(destination_rule),
    ]
    .into()
}

fn json(object: &impl Serialize) -> (String, Value) {
    by_kind(serde_json::to_value(object).unwrap())
}

/// Returns the kind and the object, with its `nats.conf` parsed.
fn by_kind(mut object: Value) -> (String, Value) {
    if let Some(text) = object.pointer_mut("/data/nats.conf") {
        let written = text.as_str().unwrap();
        *text = match written.strip_prefix("MEANING, not text: ") {
            Some(meaning) => serde_json::from_str(meaning).unwrap(),
            None => nats_conf::parse(written),
        };
    }
    (object["kind"].as_str().unwrap().to_owned(), object)
}

fn deviations(ours: &BTreeMap<String, Value>, theirs: &BTreeMap<String, Value>) -> Vec<(String, Deviation)> {
    let kinds: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    kinds
        .into_iter()
        .flat_map(|kind| compare(ours.get(kind), theirs.get(kind)).into_iter().map(|found| (kind.clone(), found)))
        .collect()
}
