//! Placement of the servers. The end-to-end tests compare the same table with the apiserver.

use nats_manager_api::{
    NatsSpec,
    rules::{self, ClusterFacts},
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::facts::Facts;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Placement {
    scheduling: Value,
    rejected: Option<String>,
}

#[test]
fn placement_is_validated_as_pod_template() {
    let all: Vec<Placement> = serde_saphyr::from_str(include_str!("../scheduling.yaml")).unwrap();
    for Placement { scheduling, rejected } in all {
        let spec: NatsSpec = serde_json::from_value(json!({"scheduling": scheduling})).unwrap();
        let found = rules::check(&spec, &ClusterFacts::default()).violations;
        let fields: Vec<&str> = found.iter().map(|violation| violation.field.as_str()).collect();
        let expected: Vec<String> = rejected.iter().map(|field| format!("spec.scheduling.{field}")).collect();
        assert_eq!(fields, expected, "{scheduling}");
    }
}

#[test]
fn change_of_allowed_nodes_warns_about_existing_volumes() {
    let selected = "{scheduling: {nodeSelector: {pool: nats}}}";
    let tolerated = "{scheduling: {tolerations: [{operator: Exists}]}}";
    let warnings = |facts: &Facts, old: &str, new: &str| facts.change(old, new).warnings;
    let volumes = Facts::volumes(1);
    let about_volumes = |facts: &Facts, old: &str, new: &str| {
        warnings(facts, old, new).iter().any(|warning| warning.field == "spec.scheduling")
    };
    assert!(about_volumes(&volumes, "{}", selected));
    assert!(about_volumes(&volumes, selected, "{}"));
    assert!(!about_volumes(&volumes, selected, selected));
    assert!(!about_volumes(&volumes, "{}", tolerated));
    assert!(!about_volumes(&Facts::none(), "{}", selected));
}
