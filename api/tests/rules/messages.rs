//! Messages and limits of findings.

use nats_manager_api::{NamespacedName, NatsSpec, rules};
use serde_json::{Map, Value, json};

use crate::facts::Facts;

#[test]
fn default_spec_causes_no_warning() {
    let mut healthy = Facts::classes(&["standard"], Some("standard"));
    healthy.0.zones = Some(3);
    let sample = "{cluster: {size: 3}, jetStream: {memStorage: {enabled: true, size: 1Gi},
        fileStorage: {storageClassName: default, size: 1Gi}}, logging: {debug: false, trace: false},
        resources: {limits: {cpu: 500m, memory: 1Gi}, requests: {cpu: 40m, memory: 64Mi}}}";
    for spec in ["{}", "{resources: {}}", sample] {
        healthy.reports_nothing(spec, spec);
        Facts::none().reports_nothing(spec, spec);
    }
}

#[test]
fn message_of_forbidden_resource_names_allowed_one() {
    let allowed = NamespacedName::new("kyma-system", "eventing-nats");
    assert_eq!(
        rules::forbidden_message(&allowed),
        "Only a single NATS CR with name: eventing-nats and namespace: kyma-system is allowed to be created in a Kyma cluster."
    );
}

#[test]
fn violations_have_format_of_apiserver() {
    let message = |spec: &str| Facts::none().check(spec).violations[0].to_string();
    assert_eq!(message("{cluster: {size: 4}}"), "spec.cluster.size: Invalid value: 4: size only accepts odd numbers");
    assert!(message("{labels: {a: b c}}").starts_with(r#"spec.labels[a]: Invalid value: "b c": must be"#));
    assert!(message("{resources: {claims: [{name: a}]}}").starts_with("spec.resources.claims: Forbidden: the Pods"));
    let long = message(&format!("{{labels: {{a: {}}}}}", "b".repeat(200)));
    assert!(long.starts_with("spec.labels[a]: Invalid value: must be"), "{long}");
}

#[test]
fn findings_stay_bounded_for_extreme_specs() {
    let long = "9".repeat(100_000);
    let quantities = [
        "1e400",
        "-1e400",
        "1e-400",
        "1e2147483647",
        "99999999999999999999",
        "1e",
        "",
        "٣",
        "0x1",
        "NaN",
        "1\0",
        &long,
    ];
    let mut specs = vec![json!({"cluster": {"size": i64::MIN}}), json!({"cluster": {"size": i64::MAX}})];
    for text in quantities {
        specs.extend([
            json!({"jetStream": {"memStorage": {"size": text}}}),
            json!({"jetStream": {"fileStorage": {"size": text, "storageClassName": text}}}),
            json!({"resources": {"limits": {"memory": text, "cpu": text, text: 1}}}),
            json!({"resources": {"requests": {"memory": text, format!("hugepages-{text}"): i64::MAX}}}),
            json!({"labels": {text: text}, "annotations": {text: text}}),
        ]);
    }
    let many: Map<String, Value> = (0..100_000).map(|i| (format!("!{i}"), json!("1"))).collect();
    specs.extend([json!({"labels": many}), json!({"annotations": many}), json!({"resources": {"limits": many}})]);
    let specs: Vec<NatsSpec> = specs.into_iter().map(|spec| serde_json::from_value(spec).unwrap()).collect();
    for (old, new) in specs.iter().zip(specs.iter().skip(1)) {
        for Facts(cluster_facts) in [Facts::none(), Facts::alicloud(), Facts::volumes(u64::MAX >> 30)] {
            let findings = rules::check_update(old, new, &cluster_facts);
            assert!(findings.violations.len() < 10, "{}", findings.violations.len());
            for violation in &findings.violations {
                assert!(violation.to_string().len() < 600, "{}", violation.field);
            }
        }
    }
}
