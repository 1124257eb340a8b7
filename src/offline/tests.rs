use nats_manager_api::{ClusterDomain, NamespacedName};
use serde_json::{Value, json};

use super::*;

const SAMPLES: [(&str, &str); 6] = [
    ("default", include_str!("../../config/samples/default.yaml")),
    ("full-spec", include_str!("../../config/samples/full-spec.yaml")),
    ("memory-only", include_str!("../../config/samples/memory-only.yaml")),
    ("minimal", include_str!("../../config/samples/minimal.yaml")),
    ("size-1", include_str!("../../config/samples/size-1.yaml")),
    ("small-memory-store", include_str!("../../config/samples/small-memory-store.yaml")),
];

const HEAD: &str = "apiVersion: operator.kyma-project.io/v1alpha1\nkind: NATS\nmetadata: {name: eventing-nats}\n";

fn check(input: &str) -> ValidationReport {
    validate(input, &NamespacedName::new(DEFAULT_NAMESPACE, DEFAULT_NAME))
}

/// Returns the findings on one resource with this spec.
fn lines(spec: &str) -> Vec<String> {
    check(&format!("{HEAD}{spec}")).findings.iter().map(ToString::to_string).collect()
}

fn images() -> Images {
    Images { nats: "nats:1".to_owned(), config_reloader: "reloader:1".to_owned(), exporter: "exporter:1".to_owned() }
}

#[test]
fn samples_are_valid_and_can_be_rendered() {
    for (name, text) in SAMPLES {
        let report = check(text);
        assert!(!report.has_errors() && report.resources == 1, "{name}: {report:?}");
        let rendered = render(text, &images(), &ClusterDomain::default());
        assert!(!rendered.report.has_errors(), "{name}");
        assert_eq!(serde_saphyr::from_multiple::<Value>(&rendered.yaml).unwrap().len(), 7, "{name}");
    }
}

#[test]
fn absent_spec_is_default() {
    for spec in ["", "spec:\n", "spec: {}\n", "spec: {cluster: null, jetStream: {memStorage: {size: null}}}\n"] {
        assert_eq!(lines(spec), [""; 0], "{spec}");
    }
}

#[test]
fn finding_is_one_line_with_field_path() {
    let cases: &[(&str, &[&str])] = &[
        ("spec: {cluster: {size: 4}}", &["error: spec.cluster.size: Invalid value: 4: size only accepts odd numbers"]),
        (
            "spec: {cluster: {size: three}, logging: {debug: 1, tracing: true}, labels: {a: 1}}",
            &[
                "warning: spec.logging.tracing: unknown field, which would be dropped",
                "error: spec.cluster.size: Invalid value: \"three\": must be of type integer",
                "error: spec.labels[a]: Invalid value: 1: must be of type string",
                "error: spec.logging.debug: Invalid value: 1: must be of type boolean",
            ],
        ),
        ("spec: []", &["error: spec: Invalid value: []: must be of type object"]),
        ("spec: {jetStream: {fileStorage: {size: null}}, labels: {a: null}, resources: {limits: {cpu: }}}", &[]),
        (
            "spec: {resources: {claims: [null]}}",
            &["error: spec.resources.claims[0]: Invalid value: null: must be of type object"],
        ),
        (
            "spec: {resources: {limits: {cpu: 0.5}}}",
            &["error: spec.resources.limits.cpu: Invalid value: 0.5: must be of type integer or string"],
        ),
        ("spce: {}", &["warning: spce: unknown field, which would be dropped"]),
        (
            "spec: {resources: {claims: [{name: 1}]}}",
            &["error: spec.resources.claims[0].name: Invalid value: 1: must be of type string"],
        ),
        ("status: {state: 5}", &[]),
    ];
    for (spec, expected) in cases {
        assert_eq!(lines(spec), *expected, "{spec}");
    }
}

#[test]
fn type_and_metadata_are_checked() {
    let cases: &[(&str, &[&str])] = &[
        (
            "apiVersion: operator.kyma-project.io/v1\nkind: NATS\nmetadata: {name: eventing-nats}",
            &[
                r#"error: apiVersion: Invalid value: "operator.kyma-project.io/v1": must be operator.kyma-project.io/v1alpha1"#,
            ],
        ),
        (
            "apiVersion: operator.kyma-project.io/v1alpha1\nkind: Nats",
            &[r#"error: kind: Invalid value: "Nats": must be NATS"#],
        ),
        (
            "apiVersion: operator.kyma-project.io/v1alpha1\nkind: NATS",
            &["error: metadata.name: Required value: name or generateName is required"],
        ),
        (
            "apiVersion: operator.kyma-project.io/v1alpha1\nkind: NATS\nmetadata: {name: 5, nam: x}",
            &[
                "warning: metadata.nam: unknown field, which would be dropped",
                "error: metadata.name: invalid type: integer `5`, expected a string",
            ],
        ),
        (
            "apiVersion: operator.kyma-project.io/v1alpha1\nkind: NATS\nmetadata: {name: mine, nam: x}",
            &[
                "warning: metadata.nam: unknown field, which would be dropped",
                "warning: metadata.name: Only a single NATS CR with name: eventing-nats and namespace: kyma-system is allowed to be created in a Kyma cluster.",
            ],
        ),
        ("a: 1", &["error: kind: Required value"]),
        ("- 1", &["error: is no Kubernetes object"]),
        ("# nothing\n---\n...\n", &["error: there is no NATS resource (operator.kyma-project.io/v1alpha1) in it"]),
    ];
    for (input, expected) in cases {
        let found: Vec<_> = check(input).findings.iter().map(ToString::to_string).collect();
        assert_eq!(found, *expected, "{input}");
    }
}

#[test]
fn documents_are_parsed_separately() {
    let input = format!(
        "# first\n---\nkind: Secret\napiVersion: v1\n--- # broken\na: [1,\n---\n{HEAD}---\nkind: List\napiVersion: v1\nitems:\n- {{kind: NATS, apiVersion: x}}\n"
    );
    let report = check(&input);
    let found: Vec<_> = report.findings.iter().map(ToString::to_string).collect();
    assert_eq!(found.len(), 4, "{found:?}");
    assert_eq!(found[0], "note: document 1: Secret (v1) is not validated");
    assert!(found[1].starts_with("error: document 2: ") && found[1].contains("at line 6, column 4"), "{}", found[1]);
    assert!(found[2].starts_with("error: document 4, item 1: apiVersion: "), "{}", found[2]);
    assert_eq!(report.summary(), "2 NATS resources, 3 errors");
}

#[test]
fn values_are_parsed_as_by_kubectl() {
    let cases = [
        ("[yes, off, y, 'yes', ~, '']", json!([true, false, true, "yes", null, ""])),
        ("[012, 1_000, 0x1f, -1, '1', !!str 1]", json!([10, 1000, 31, -1, "1", "1"])),
        ("[0.5, 1e3, 1Gi, 500m, 12:30, 2001-01-01]", json!([0.5, 1000.0, "1Gi", "500m", "12:30", "2001-01-01"])),
        ("1: a\nb: |\n  x\n\n   y\n", json!({"1": "a", "b": "x\n\n y\n"})),
        (&format!("a:\n{}  - b\n", "  # c\n".repeat(500)), json!({"a": ["b"]})),
        ("a: &a {b: 1, c: 2}\nd: {<<: *a, c: 3}", json!({"a": {"b": 1, "c": 2}, "d": {"b": 1, "c": 3}})),
    ];
    for (input, expected) in cases {
        let documents = documents::read(input);
        assert_eq!(documents[0].content, Ok(expected), "{input}");
    }
}

#[test]
fn hostile_input_is_rejected_within_bounds() {
    let mut aliases = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned();
    for i in 1..12 {
        let items = format!("*a{},", i - 1).repeat(9);
        aliases = format!("{aliases}a{i}: &a{i} [{items}]\n");
    }
    let long = format!("a: &a \"{}\"\nb: [{}]\n", "x".repeat(1 << 20), "*a,".repeat(1 << 12));
    for input in [
        "[".repeat(1 << 20),
        "{a: ".repeat(1 << 18),
        "- ".repeat(1 << 18),
        "? ".repeat(1 << 17),
        aliases,
        long,
        "!!binary x".to_owned(),
        "a: 1\na: 2".to_owned(),
        "a: .nan".to_owned(),
        "[a]: 1".to_owned(),
        "\0".to_owned(),
    ] {
        let report = check(&input);
        assert_eq!(report.findings.len(), 1, "{input:.60}");
        assert!(report.has_errors() && report.findings[0].to_string().len() < 200, "{:?}", report.findings);
    }
    let shown = check(&format!("{HEAD}spec: {{\"a\\e[31m\\nb\": 1}}"));
    assert_eq!(shown.findings[0].text(), r"spec.a\u{1b}[31m\nb: unknown field, which would be dropped");
}

#[test]
fn rendering_is_deterministic_without_secrets() {
    let input = format!("{HEAD}spec: {{labels: {{a: 'yes', b: '1_000', c: '012', d: '1e3'}}}}");
    let rendered = render(&input, &images(), &ClusterDomain::default());
    assert_eq!(rendered, render(&input, &images(), &ClusterDomain::default()));
    let objects: Vec<Value> = serde_saphyr::from_multiple(&rendered.yaml).unwrap();
    let kinds: Vec<_> = objects.iter().map(|object| object["kind"].as_str().unwrap()).collect();
    let expected =
        ["ConfigMap", "Secret", "Service", "NetworkPolicy", "StatefulSet", "PodDisruptionBudget", "DestinationRule"];
    assert_eq!(kinds, expected);
    assert_eq!(objects[1].get("data"), None);
    // Without quotes, YAML 1.1 parsers such as kubectl's read them as other types.
    for quoted in ["a: \"yes\"", "b: \"1_000\"", "c: \"012\"", "d: \"1e3\""] {
        assert!(rendered.yaml.contains(quoted), "{quoted}: {}", rendered.yaml);
    }
    for object in &objects {
        assert_eq!(object["metadata"]["namespace"], "kyma-system");
        assert_eq!(object["metadata"]["labels"]["a"], "yes");
    }
}

#[test]
fn invalid_resource_is_not_rendered() {
    let rendered = render(&format!("{HEAD}spec: {{cluster: {{size: 0}}}}"), &images(), &ClusterDomain::default());
    let found: Vec<_> = rendered.report.findings.iter().map(ToString::to_string).collect();
    assert_eq!(found, ["error: spec.cluster.size: Invalid value: 0: should be greater than or equal to 1"]);
    assert_eq!(rendered.yaml, "");
}

#[test]
fn crd_is_yaml() {
    let definition: Value = serde_saphyr::from_str(&crd().unwrap()).unwrap();
    assert_eq!(definition["metadata"]["name"], nats_manager_api::crd::NAME);
}

#[test]
fn render_with_an_invalid_cluster_domain_is_a_usage_error() {
    let command = Command::Render { file: Source::File("no/such/file".into()) };
    let code = |domain: &'static str| run(&command, |name| (name == "CLUSTER_DOMAIN").then(|| domain.to_owned()));
    assert_eq!(code("k8s_example"), ExitCode::from(2));
    // With a valid one, the file is read.
    assert_eq!(code("k8s.example.com"), ExitCode::FAILURE);
}
