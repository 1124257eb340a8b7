//! Metrics of the manager.

use std::collections::{BTreeMap, BTreeSet};

use nats_manager_api::naming;
use nats_manager_harness::{Seen, eventually};
use serde_json::json;

use crate::{
    jetstream,
    manager::{ManagerOptions, http_get},
    world::{TIMEOUT, World},
};

#[tokio::test]
async fn every_metric_has_a_help_text_and_few_labels() {
    let world = World::new().await;
    let manager = world.manager().await;
    world.create(json!({})).await;
    world.state_becomes("Ready").await;
    let (_, text) = http_get(manager.metrics, "/metrics").await.unwrap();
    let mut helped = BTreeSet::new();
    let mut values: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, description) = help.split_once(' ').unwrap();
            assert!(description.len() > 10, "{line}");
            helped.insert(name.to_owned());
        } else if !line.starts_with('#') {
            let name = line.split(['{', ' ']).next().unwrap();
            let family = ["_total", "_bucket", "_sum", "_count", ""]
                .iter()
                .find_map(|end| helped.contains(name.strip_suffix(end)?).then_some(()));
            assert!(family.is_some(), "no help for {name}");
            let labels =
                line.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map_or("", |(labels, _)| labels);
            for label in labels.split("\",").filter(|label| !label.is_empty()) {
                let (key, value) = label.split_once("=\"").unwrap();
                values.entry(key.to_owned()).or_default().insert(value.trim_end_matches('"').to_owned());
            }
        }
    }
    for name in ["nats_manager_availability_zones_used_count", "nats_manager_cr_nats_nodes_count"] {
        assert_eq!(manager.metric(name).await, Some(3.0), "{name}");
    }
    assert!(manager.metric("nats_manager_reconciles_total{outcome=\"success\"}").await > Some(0.0));
    let keys: Vec<&str> = values.keys().map(String::as_str).collect();
    let known = [
        "code", "fips", "le", "outcome", "reason", "resource", "revision", "state", "status", "type", "verb",
        "version", "webhook",
    ];
    assert_eq!(keys, known);
    for (key, values) in values {
        assert!(values.len() < 20, "{key}: {values:?}");
        assert!(values.iter().all(|value| !value.contains("eventing-nats")), "{key}: {values:?}");
    }
}

#[tokio::test]
async fn conditions_are_metrics_until_the_resource_is_gone() {
    let world = World::new().await;
    let (server, options) = world.nats_server().await;
    let manager = world.manager_with(&options).await;
    let context = jetstream::connect(&server.url()).await;
    jetstream::create_stream(&context, "orders").await;
    world.create(json!({})).await;
    world.state_becomes("Ready").await;
    let becomes = async |series: &str, expected: Option<f64>| {
        eventually(series, TIMEOUT, async || {
            let value = manager.metric(series).await;
            if value == expected { Seen::Done(()) } else { Seen::NotYet(format!("{value:?}")) }
        })
        .await;
    };
    let available = r#"nats_manager_condition{type="Available",status="True",reason="Deployed"}"#;
    let blocked = r#"nats_manager_condition{type="Stalled",status="True",reason="DeletionError"}"#;
    becomes(available, Some(1.0)).await;
    assert_eq!(manager.metric(blocked).await, None);
    world.delete().await;
    becomes(blocked, Some(1.0)).await;
    world.patch(json!({"metadata": {"annotations": {naming::FORCE_DELETION: "true"}}})).await.unwrap();
    world.gone().await;
    becomes(blocked, None).await;
    becomes(available, None).await;
}

#[tokio::test]
async fn required_fips_mode_without_a_fips_build_is_reported() {
    let world = World::new().await;
    let mut options = ManagerOptions::default();
    for (name, value) in options.env.clone() {
        options.env.insert(format!("{name}_FIPS"), value);
    }
    for (required, expected) in [("false", 0.0), ("true", 1.0)] {
        options.env.insert("KYMA_FIPS_MODE_ENABLED".to_owned(), required.to_owned());
        let manager = world.manager_with(&options).await;
        assert_eq!(manager.metric("nats_manager_fips_missing").await, Some(expected));
        let is_logged = manager.log().contains("this build has no FIPS module");
        assert_eq!(is_logged, expected > 0.0, "{}", manager.log());
        assert_eq!(manager.terminate().await.unwrap(), Some(0));
    }
}
