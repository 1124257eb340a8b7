//! Alerts and dashboards, checked with promtool of Prometheus.

use std::{collections::BTreeSet, process::Command};

use nats_manager_harness::promtool;
use serde_json::{Value, json};

use super::{kustomize, of_kind, path, read};

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

#[test]
fn every_dashboard_query_returns_data_for_recorded_series() {
    let folder = tempfile::tempdir().unwrap();
    let series = read("tests/e2e/packaging/dashboard_series.yaml");
    let series: Value = serde_saphyr::from_str(&series).unwrap();
    let variables = ["$cluster", "$namespace", "$server", "$stream"];
    let queries: Vec<String> = [queries("nats-manager"), queries("nats")].concat();
    assert!(queries.len() > 55, "{}", queries.len());
    let cases: Vec<Value> = queries
        .iter()
        .map(|query| variables.iter().fold(query.clone(), |query, variable| query.replace(variable, ".*")))
        .map(|query| {
            let samples = json!([{"labels": "{}", "value": 1}]);
            json!({"expr": format!("count({query}) > bool 0"), "eval_time": "30m", "exp_samples": samples})
        })
        .collect();
    let write = |series: &Value| {
        let tests = json!([{"interval": "30s", "input_series": series, "promql_expr_test": cases}]);
        let file = json!({"rule_files": [], "evaluation_interval": "1m", "tests": tests});
        std::fs::write(folder.path().join("queries.yaml"), file.to_string()).unwrap();
    };
    write(&series);
    let Some(result) = promtool(&["test", "rules", "queries.yaml"], folder.path()) else { return };
    result.unwrap();
    let mut fewer = series.as_array().unwrap().clone();
    fewer.retain(|series| !series["series"].as_str().unwrap().starts_with("nats_varz_cpu"));
    write(&json!(fewer));
    promtool(&["test", "rules", "queries.yaml"], folder.path()).unwrap().unwrap_err();
}

#[test]
fn every_panel_has_what_a_reader_needs() {
    let runbooks = read("docs/user/metrics.md");
    for (name, rows, variables) in [("nats", 6, 5), ("nats-manager", 3, 3)] {
        let board = dashboard(name);
        let panels = board["panels"].as_array().unwrap();
        let (is_row, panels): (Vec<&Value>, Vec<&Value>) = panels.iter().partition(|panel| panel["type"] == "row");
        assert_eq!(is_row.len(), rows, "{name}");
        assert_eq!(board["templating"]["list"].as_array().unwrap().len(), variables, "{name}");
        assert_eq!(board["annotations"]["list"].as_array().unwrap().len(), 3, "{name}");
        let mut linked = 0;
        for panel in &panels {
            let title = &panel["title"];
            assert!(panel["description"].as_str().is_some_and(|text| text.ends_with('.')), "{name}: {title}");
            let defaults = &panel["fieldConfig"]["defaults"];
            assert!(defaults["unit"].is_string(), "{name}: {title}");
            let has_colors = defaults["thresholds"]["steps"].as_array().unwrap().len() > 1;
            assert!(has_colors || !needs_colors(panel), "{name}: {title}");
            // Without a color mode, a stat panel does not show its thresholds.
            let is_gray = panel["type"] == "stat" && panel["options"]["colorMode"] == "none";
            assert!(!(has_colors && is_gray), "{name}: {title}");
            assert!(panel["type"] != "gauge" || defaults["max"].is_number(), "{name}: {title}");
            assert!(panel["type"] != "state-timeline" || defaults["mappings"].is_array(), "{name}: {title}");
            for link in panel["links"].as_array().into_iter().flatten() {
                let (_, alert) = link["url"].as_str().unwrap().split_once("/docs/user/metrics.md#").unwrap();
                let headings = runbooks.lines().filter_map(|line| line.strip_prefix("### "));
                assert!(headings.map(str::to_lowercase).any(|heading| heading == alert), "{name}: {title}: {alert}");
                linked += 1;
            }
        }
        assert!(linked >= panels.len() / 2, "{name}: {linked}");
        // No panel covers another one.
        let mut cells = BTreeSet::new();
        for panel in board["panels"].as_array().unwrap() {
            let [x, y, width, height] = ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().unwrap());
            assert!(x + width <= 24, "{name}: {}", panel["title"]);
            for cell in (0..width * height).map(|index| (x + index % width, y + index / width)) {
                assert!(cells.insert(cell), "{name}: {}", panel["title"]);
            }
        }
    }
}

/// Returns whether a color shows if the value of a panel is good: a share, or a single value for which there is an alert.
/// Mappings color states.
fn needs_colors(panel: &Value) -> bool {
    let defaults = &panel["fieldConfig"]["defaults"];
    let has_alert = panel["links"].as_array().is_some_and(|links| !links.is_empty());
    defaults["unit"] == "percentunit" || (panel["type"] == "stat" && has_alert && !defaults["mappings"].is_array())
}

/// Grafana's schema, and the labels of expressions and relabelings, by the libraries of Grafana and Prometheus.
#[test]
fn dashboards_and_rules_pass_the_checks_of_their_go_libraries() {
    let mut go = Command::new("go");
    go.args(["test", "-trimpath", "-count=1", "./..."]).current_dir(path("tests/monitoring"));
    let output = go.env_remove("GOFLAGS").env("GOWORK", "off").env("CGO_ENABLED", "0").output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat()
    );
}

#[tokio::test]
async fn overlay_for_kube_prometheus_stack_has_the_label_of_its_release() {
    let release = |objects: &[Value]| -> Vec<Value> {
        let kinds = ["ServiceMonitor", "PrometheusRule"];
        let objects = kinds.iter().flat_map(|kind| of_kind(objects, kind));
        objects.map(|object| object["metadata"]["labels"]["release"].clone()).collect()
    };
    assert_eq!(release(&kustomize("kube-prometheus-stack").await), vec![json!("kube-prometheus-stack"); 3]);
    assert_eq!(release(&kustomize("monitoring").await), vec![Value::Null; 3]);
}

#[tokio::test]
async fn documented_metric_pipeline_collects_from_annotated_services() {
    let page = read("docs/user/monitoring.md");
    let (_, rest) = page.split_once("```yaml\napiVersion: telemetry").unwrap();
    let (block, _) = rest.split_once("```").unwrap();
    let pipeline: Value = serde_saphyr::from_str(&format!("apiVersion: telemetry{block}")).unwrap();
    assert_eq!(pipeline["kind"], "MetricPipeline");
    let input = &pipeline["spec"]["input"]["prometheus"];
    assert_eq!((&input["enabled"], &input["namespaces"]["include"]), (&json!(true), &json!(["kyma-system"])));
    let objects = kustomize("default").await;
    let mut services = of_kind(&objects, "Service").into_iter();
    let service = services.find(|service| service["metadata"]["name"] == "nats-manager-metrics").unwrap();
    let annotations = &service["metadata"]["annotations"];
    assert_eq!(
        (&annotations["prometheus.io/scrape"], &annotations["prometheus.io/port"]),
        (&json!("true"), &json!("8080"))
    );
    let servers = read("src/controller/resources/service.rs");
    assert!(
        servers.contains("\"prometheus.io/scrape\", \"true\"")
            && servers.contains("\"prometheus.io/port\", ports::METRICS")
    );
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
    let sources: String = ["metrics/mod.rs", "admission.rs", "conditions.rs", "jetstream.rs"]
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

/// Returns a dashboard.
fn dashboard(name: &str) -> Value {
    serde_json::from_str(&read(&format!("config/monitoring/dashboards/{name}.json"))).unwrap()
}

/// Returns the queries of a dashboard's panels and annotations.
fn queries(name: &str) -> Vec<String> {
    let board = dashboard(name);
    let panels = board["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let annotations = board["annotations"]["list"].as_array().unwrap().iter();
    targets.chain(annotations).map(|target| target["expr"].as_str().unwrap().to_owned()).collect()
}

/// Returns the names of NATS metrics in a query.
fn metrics(query: &str) -> impl Iterator<Item = &str> {
    query.split(|letter: char| !letter.is_alphanumeric() && letter != '_').filter(|word| word.starts_with("nats_"))
}
