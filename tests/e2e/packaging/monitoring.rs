//! Alerts and dashboards, asked of Prometheus itself: promtool.

use std::{collections::BTreeSet, io::Write, path::Path, process::Command};

use nats_manager_harness::real::is_required;
use serde_json::{Value, json};

use super::{kustomize, of_kind, read};

/// What Prometheus says of a file of rules, or of tests of rules. Where it is not installed that is said, unless CI wants
/// everything.
fn promtool(arguments: &[&str], folder: &Path) -> Option<Result<(), String>> {
    match Command::new("promtool").args(arguments).current_dir(folder).output() {
        Ok(output) if output.status.success() => Some(Ok(())),
        Ok(output) => {
            Some(Err([output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat()))
        }
        Err(error) => {
            assert!(!is_required(), "promtool: {error}; install it with: apt-get install prometheus");
            let said = "LEFT OUT: promtool is not in PATH; install it with: apt-get install prometheus";
            let _ = writeln!(std::io::stderr(), "{said}");
            None
        }
    }
}

async fn rules() -> Value {
    let objects = kustomize("monitoring").await;
    of_kind(&objects, "PrometheusRule")[0]["spec"].clone()
}

#[tokio::test]
async fn each_alert_fires_when_it_should_and_not_else() {
    let folder = tempfile::tempdir().unwrap();
    // JSON is YAML.
    std::fs::write(folder.path().join("rules.yaml"), rules().await.to_string()).unwrap();
    let cases = read("tests/e2e/packaging/alerts.yaml");
    std::fs::write(folder.path().join("alerts.yaml"), &cases).unwrap();
    for alert in rules().await["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap())
    {
        assert!(cases.contains(&format!("alertname={}", alert["alert"])), "{} is not tested", alert["alert"]);
    }
    let Some(verdict) = promtool(&["test", "rules", "alerts.yaml"], folder.path()) else { return };
    verdict.unwrap();
    // The cases can fail.
    std::fs::write(folder.path().join("alerts.yaml"), cases.replace("values: 85+0x20", "values: 75+0x20")).unwrap();
    promtool(&["test", "rules", "alerts.yaml"], folder.path()).unwrap().unwrap_err();
}

#[tokio::test]
async fn each_alert_has_a_paragraph_and_a_link_to_it() {
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
async fn every_query_of_the_dashboards_is_one() {
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
    if let Some(verdict) = promtool(&["check", "rules", "queries.yaml"], folder.path()) {
        verdict.unwrap();
    }
}

#[tokio::test]
async fn alerts_and_dashboards_ask_for_metrics_that_there_are() {
    let ours = read("docs/user/metrics.md");
    let exporter = read("tests/e2e/packaging/exporter_metrics.txt");
    let exporter: BTreeSet<&str> = exporter.lines().collect();
    let alerts = rules().await;
    let alerts = alerts["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap());
    let mut asked: Vec<String> = alerts.map(|alert| alert["expr"].as_str().unwrap().to_owned()).collect();
    asked.extend([queries("nats-manager"), queries("nats")].concat());
    let mut found = 0;
    for metric in asked.iter().flat_map(|query| metrics(query)) {
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
fn every_metric_that_is_documented_is_registered() {
    let sources: String = ["metrics.rs", "admission.rs", "jetstream.rs"]
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

fn queries(dashboard: &str) -> Vec<String> {
    let board: Value = serde_json::from_str(&read(&format!("config/monitoring/dashboards/{dashboard}.json"))).unwrap();
    let panels = board["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().unwrap());
    targets.map(|target| target["expr"].as_str().unwrap().to_owned()).collect()
}

fn metrics(query: &str) -> impl Iterator<Item = &str> {
    query.split(|letter: char| !letter.is_alphanumeric() && letter != '_').filter(|word| word.starts_with("nats_"))
}
