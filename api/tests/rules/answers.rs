//! How the rules put what they find.

use nats_manager_api::{NamespacedName, NatsSpec, rules};
use serde_json::{Map, Value, json};

use crate::among::Among;

#[test]
fn the_default_resource_gives_no_warning() {
    let mut healthy = Among::classes(&["standard"], Some("standard"));
    healthy.0.zones = Some(3);
    let sample = "{cluster: {size: 3}, jetStream: {memStorage: {enabled: true, size: 1Gi},
        fileStorage: {storageClassName: default, size: 1Gi}}, logging: {debug: false, trace: false},
        resources: {limits: {cpu: 500m, memory: 1Gi}, requests: {cpu: 40m, memory: 64Mi}}}";
    for spec in ["{}", "{resources: {}}", sample] {
        healthy.is_silent(spec, spec);
        Among::nothing().is_silent(spec, spec);
    }
}

#[test]
fn the_single_resource() {
    let allowed = NamespacedName::new("kyma-system", "eventing-nats");
    assert_eq!(
        rules::forbidden_message(&allowed),
        "Only a single NATS CR with name: eventing-nats and namespace: kyma-system is allowed to be created in a Kyma cluster."
    );
}

#[test]
fn a_refusal_reads_as_those_of_the_apiserver() {
    let words = |spec: &str| Among::nothing().check(spec).violations[0].to_string();
    assert_eq!(words("{cluster: {size: 4}}"), "spec.cluster.size: Invalid value: 4: size only accepts odd numbers");
    assert!(words("{labels: {a: b c}}").starts_with(r#"spec.labels[a]: Invalid value: "b c": must be"#));
    assert!(words("{resources: {claims: [{name: a}]}}").starts_with("spec.resources.claims: Forbidden: the pods"));
    let long = words(&format!("{{labels: {{a: {}}}}}", "b".repeat(200)));
    assert!(long.starts_with("spec.labels[a]: Invalid value: must be"), "{long}");
}

#[test]
fn nothing_is_too_absurd_for_an_answer() {
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
        for Among(cluster_facts) in [Among::nothing(), Among::alicloud(), Among::volumes(u64::MAX >> 30)] {
            let findings = rules::check_update(old, new, &cluster_facts);
            assert!(findings.violations.len() < 10, "{}", findings.violations.len());
            for violation in &findings.violations {
                assert!(violation.to_string().len() < 600, "{}", violation.field);
            }
        }
    }
}
