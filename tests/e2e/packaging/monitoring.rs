//! Alerts and dashboards, checked with promtool of Prometheus.

use std::collections::BTreeSet;

use nats_manager_harness::promtool;
use serde_json::{Value, json};

use super::{kustomize, of_kind, read};

/// Returns the alerting rules.
async fn rules() -> Value {
    let objects = kustomize("monitoring").await;
    of_kind(&objects, "PrometheusRule")[0]["spec"].clone()
}

#[tokio::test]
async fn every_alert_fires_only_in_its_cases() {
    let folder = tempfile::tempdir().unwrap();
    // JSON is YAML.
    std::fs::write(folder.path().join("rules.yaml"), rules().await.to_string()).unwrap();
    let cases = read("tests/e2e/packaging/alerts.yaml");
    std::fs::write(folder.path().join("alerts.yaml"), &cases).unwrap();
    for alert in rules().await["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap())
    {
        assert!(cases.contains(&format!("alertname={}", alert["alert"])), "{} is not tested", alert["alert"]);
    }
    let Some(result) = promtool(&["test", "rules", "alerts.yaml"], folder.path()) else { return };
    result.unwrap();
    // Other series make the cases fail.
    std::fs::write(folder.path().join("alerts.yaml"), cases.replace("values: 85+0x20", "values: 75+0x20")).unwrap();
    promtool(&["test", "rules", "alerts.yaml"], folder.path()).unwrap().unwrap_err();
}

#[tokio::test]
async fn every_alert_is_documented_and_linked() {
    let page = read("docs/user/metrics.md");
    let rules = rules().await;
    let alerts = rules["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap());
    for alert in alerts {
        let name = alert["alert"].as_str().unwrap();
        let paragraph = page.split_once(&format!("\n### {name}\n\n")).map(|(_, rest)| rest);
        assert!(paragraph.is_some_and(|text| !text.starts_with('#')), "{name}");
        assert!(page.contains(&format!("| `{name}` | {} |", alert["labels"]["severity"].as_str().unwrap())), "{name}");
        let link = alert["annotations"]["runbook_url"].as_str().unwrap();
        assert!(link.ends_with(&format!("/docs/user/metrics.md#{}", name.to_lowercase())), "{link}");
    }
}

#[tokio::test]
async fn every_dashboard_query_is_valid() {
    let folder = tempfile::tempdir().unwrap();
    let queries = [queries("nats-manager"), queries("nats")].concat();
    assert!(queries.len() > 30, "{}", queries.len());
    let rules: Vec<Value> = queries
        .iter()
        .enumerate()
        .map(|(index, query)| json!({"record": format!("query{index}"), "expr": query}))
        .collect();
    let rules = json!({"groups": [{"name": "queries", "rules": rules}]});
    std::fs::write(folder.path().join("queries.yaml"), rules.to_string()).unwrap();
    if let Some(result) = promtool(&["check", "rules", "queries.yaml"], folder.path()) {
        result.unwrap();
    }
}

#[tokio::test]
async fn alerts_and_dashboards_use_existing_metrics() {
    let ours = read("docs/user/metrics.md");
    let exporter = read("tests/e2e/packaging/exporter_metrics.txt");
    let exporter: BTreeSet<&str> = exporter.lines().collect();
    let alerts = rules().await;
    let alerts = alerts["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap());
    let mut expressions: Vec<String> = alerts.map(|alert| alert["expr"].as_str().unwrap().to_owned()).collect();
    expressions.extend([queries("nats-manager"), queries("nats")].concat());
    let mut found = 0;
    for metric in expressions.iter().flat_map(|query| metrics(query)) {
        let is_there = if metric.starts_with("nats_manager_") {
            ours.contains(&format!("`{}`", metric.trim_end_matches("_bucket")))
                || ours.contains(&format!("`{}{{", metric.trim_end_matches("_bucket")))
        } else {
            exporter.contains(metric)
        };
        assert!(is_there, "{metric}");
        found += 1;
    }
    assert!(found > 40, "{found}");
}

#[test]
fn every_documented_metric_is_registered() {
    let sources: String = ["metrics/mod.rs", "admission.rs", "jetstream.rs"]
        .iter()
        .map(|file| read(&format!("src/telemetry/{file}")))
        .collect();
    let text = read("docs/user/metrics.md");
    let documented = text.lines().filter_map(|line| line.strip_prefix("| `nats_manager_")?.split(['`', '{']).next());
    let mut found = 0;
    for name in documented {
        let registered = ["_total", "_seconds", "_bytes"].iter().fold(name, |name, unit| name.trim_end_matches(unit));
        let named = |name: &str| sources.contains(&format!("\"nats_manager_{name}\""));
        assert!(named(name) || named(registered), "{name}");
        found += 1;
    }
    let count = sources.matches("\"nats_manager_").count();
    assert!(found >= count, "{found} of {count} metrics are documented");
}

/// Returns the queries of a dashboard.
fn queries(dashboard: &str) -> Vec<String> {
    let board: Value = serde_json::from_str(&read(&format!("config/monitoring/dashboards/{dashboard}.json"))).unwrap();
    let panels = board["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().unwrap());
    targets.map(|target| target["expr"].as_str().unwrap().to_owned()).collect()
}

/// Returns the names of NATS metrics in a query.
fn metrics(query: &str) -> impl Iterator<Item = &str> {
    query.split(|letter: char| !letter.is_alphanumeric() && letter != '_').filter(|word| word.starts_with("nats_"))
}
