//! The CustomResourceDefinition of the NATS resource, and a comparison of its CEL with the rules.
#![allow(clippy::unwrap_used, reason = "the functions that the tests share are tests too")]

use nats_manager_api::{
    NatsSpec, crd,
    resource::message,
    rules::{self, ClusterFacts},
};
use nats_manager_harness::cases::{Floor, Rejection, cases};
use serde_json::{Value, json};

fn definition() -> Value {
    serde_json::to_value(crd::definition()).unwrap()
}

fn version() -> Value {
    definition()["spec"]["versions"][0].clone()
}

/// Returns the schema of `spec`, or of a field below it: `jetStream/memStorage`.
fn schema(path: &str) -> Value {
    let mut schema = version()["schema"]["openAPIV3Schema"]["properties"]["spec"].clone();
    for field in path.split('/').filter(|field| !field.is_empty()) {
        schema = schema["properties"][field].clone();
    }
    schema
}

#[test]
fn crd_names_match_contract() {
    let crd = definition();
    assert_eq!(crd["metadata"]["name"], crd::NAME);
    assert_eq!(crd["metadata"]["labels"], json!({"kyma-project.io/module": "nats"}));
    assert_eq!(crd["spec"]["group"], "operator.kyma-project.io");
    assert_eq!(crd["spec"]["scope"], "Namespaced");
    // The list kind is not set: the apiserver sets it to NATSList.
    assert_eq!(
        crd["spec"]["names"],
        json!({"kind": "NATS", "plural": "nats", "singular": "nats", "categories": ["kyma-modules", "kyma-nats"]})
    );
    let versions = crd["spec"]["versions"].as_array().unwrap();
    assert_eq!(versions.len(), 1);
    assert_eq!(versions[0]["name"], "v1alpha1");
    assert_eq!((&versions[0]["served"], &versions[0]["storage"]), (&json!(true), &json!(true)));
    let scale = json!({"specReplicasPath": ".spec.cluster.size", "statusReplicasPath": ".status.readyServers"});
    assert_eq!(versions[0]["subresources"], json!({"status": {}, "scale": scale}));
}

#[test]
fn printer_columns_match_contract() {
    let columns: Vec<Value> = version()["additionalPrinterColumns"]
        .as_array()
        .unwrap()
        .iter()
        .map(|column| json!([column["name"], column["type"], column["jsonPath"], column["priority"]]))
        .collect();
    assert_eq!(
        json!(columns),
        json!([
            ["State", "string", ".status.state", null],
            ["Ready", "string", ".status.ready", null],
            ["Storage", "string", ".status.conditions[?(@.type==\"Storage\")].reason", null],
            ["Age", "date", ".metadata.creationTimestamp", null],
            ["Size", "integer", ".spec.cluster.size", 1],
            ["Zones", "integer", ".status.availabilityZonesUsed", 1],
            ["Url", "string", ".status.url", 1],
            ["Reason", "string", ".status.conditions[?(@.type==\"Ready\")].reason", 1],
        ])
    );
}

#[test]
fn schema_defaults_fill_in_every_level() {
    let mem = json!({"enabled": true, "size": "1Gi"});
    let file = json!({"enabled": true, "storageClassName": "default"});
    let jet_stream = json!({"memStorage": mem, "fileStorage": file});
    let logging = json!({"debug": false, "trace": false});
    let resources = json!({"limits": {"cpu": "500m", "memory": "1Gi"}, "requests": {"cpu": "40m", "memory": "64Mi"}});
    for (path, default) in [
        (
            "",
            json!({
                "cluster": {"size": 3}, "jetStream": jet_stream, "logging": logging, "resources": resources,
            }),
        ),
        ("cluster", json!({"size": 3})),
        ("cluster/size", json!(3)),
        ("jetStream", jet_stream),
        ("jetStream/memStorage", mem),
        ("jetStream/memStorage/enabled", json!(true)),
        ("jetStream/memStorage/size", json!("1Gi")),
        ("jetStream/fileStorage", file),
        ("jetStream/fileStorage/enabled", json!(true)),
        ("jetStream/fileStorage/storageClassName", json!("default")),
        ("jetStream/fileStorage/size", Value::Null),
        ("logging", logging),
        ("logging/debug", json!(false)),
        ("logging/trace", json!(false)),
        ("resources", resources),
        ("resources/limits", Value::Null),
        ("resources/requests", Value::Null),
        ("resources/claims", Value::Null),
        ("labels", Value::Null),
        ("annotations", Value::Null),
    ] {
        assert_eq!(schema(path)["default"], default, "{path:?}");
    }
}

#[test]
fn spec_is_optional() {
    let root = &version()["schema"]["openAPIV3Schema"];
    assert_eq!(root["required"], Value::Null);
    let spec: NatsSpec = serde_json::from_value(root["properties"]["spec"]["default"].clone()).unwrap();
    assert_eq!(spec, NatsSpec::default());
}

/// `kubectl apply` stores the manifest once more, in an annotation of at most 256 KiB.
#[test]
fn placement_is_explained_and_stays_short() {
    assert!(serde_json::to_vec(&definition()).unwrap().len() < 100_000);
    let key = schema("scheduling/tolerations")["items"]["properties"]["key"]["description"].clone();
    let text = key.as_str().unwrap();
    assert!(text.starts_with("Key is the taint key") && text.matches(". ").count() == 0, "{text}");
    assert!(schema("scheduling").to_string().matches("x-kubernetes-preserve-unknown-fields").count() == 0);
    let required = schema("scheduling/topologySpreadConstraints")["items"]["required"].clone();
    assert_eq!(required, json!(["maxSkew", "topologyKey", "whenUnsatisfiable"]));
}

#[test]
fn quantities_are_integers_or_strings() {
    for quantity in [
        &schema("jetStream/memStorage/size"),
        &schema("jetStream/fileStorage/size"),
        &schema("resources/limits")["additionalProperties"],
        &schema("resources/requests")["additionalProperties"],
    ] {
        assert_eq!(quantity["x-kubernetes-int-or-string"], true, "{quantity}");
        assert_eq!(quantity["pattern"], nats_manager_api::quantity::PATTERN);
        for left_over in ["anyOf", "oneOf", "type", "format"] {
            assert_eq!(quantity[left_over], Value::Null, "{quantity}");
        }
    }
}

/// The apiserver treats `null` as absent only if the field is not nullable.
#[test]
fn spec_fields_are_not_nullable() {
    assert!(!schema("").to_string().contains(r#""nullable":true"#));
}

#[test]
fn descriptions_have_no_line_breaks() {
    fn folded(schema: &Value, found: &mut Vec<String>) {
        match schema {
            Value::Object(fields) => {
                let description = fields.get("description").and_then(Value::as_str).unwrap_or_default();
                if description.replace("\n\n", " ").contains('\n') {
                    found.push(description.to_owned());
                }
                fields.values().for_each(|field| folded(field, found));
            }
            Value::Array(items) => items.iter().for_each(|item| folded(item, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    folded(&version(), &mut found);
    assert_eq!(found, [""; 0]);
    assert!(!version().to_string().contains(r#""title""#));
}

#[test]
fn cel_rules_have_expected_messages() {
    for (path, messages) in [
        ("cluster/size", vec![message::ODD_SIZE]),
        ("jetStream", vec![message::NO_STORE]),
        ("jetStream/memStorage", vec![message::EMPTY_STORE]),
        ("jetStream/fileStorage", vec![message::IMMUTABLE, message::GROWS_ONLY]),
    ] {
        let rules = schema(path)["x-kubernetes-validations"].clone();
        let found: Vec<&str> = rules.as_array().unwrap().iter().map(|rule| rule["message"].as_str().unwrap()).collect();
        assert_eq!(found, messages, "{path}");
    }
    let root = &version()["schema"]["openAPIV3Schema"]["x-kubernetes-validations"];
    assert_eq!(root.as_array().unwrap().len(), 1);
    assert_eq!(root[0]["message"], message::NOT_BACK_TO_ONE);
    assert_eq!(root[0]["fieldPath"], ".spec.cluster.size");
    assert_eq!(message::ODD_SIZE, "size only accepts odd numbers");
    assert_eq!(message::NOT_BACK_TO_ONE, "cannot be set to 1 if size was greater than 1");
    assert_eq!(message::EMPTY_STORE, "can only be enabled if size is not 0");
    assert_eq!(message::IMMUTABLE, "fileStorage is immutable once it was set");
    assert_eq!(message::NO_STORE, "at least one of fileStorage and memStorage must be enabled");
    assert_eq!((&schema("cluster/size")["minimum"], &schema("cluster/size")["maximum"]), (&json!(1.0), &json!(99.0)));
}

#[test]
fn rules_match_case_table() {
    let spec = |value: &Value| serde_json::from_value::<NatsSpec>(value.clone()).unwrap();
    for case in cases() {
        let cluster_facts = ClusterFacts { jet_stream: case.holds, members: case.members, ..ClusterFacts::default() };
        let findings = match &case.old {
            Some(old) => rules::check_update(&spec(old), &spec(&case.new), &cluster_facts),
            None => rules::check(&spec(&case.new), &cluster_facts),
        };
        let found = &findings.violations;
        assert_eq!(found.len(), case.rejected.len(), "{}: {found:?}", case.name);
        for expected in &case.rejected {
            let is_reported =
                found.iter().any(|it| it.field == expected.field && it.message.contains(&expected.message));
            assert!(is_reported, "{}: {expected:?} is not in {found:?}", case.name);
        }
    }
}

/// Removes `null`, as the apiserver does before it evaluates any rule.
fn without_nulls(mut value: Value) -> Value {
    if let Value::Object(fields) = &mut value {
        fields.retain(|_, field| !field.is_null());
        fields.values_mut().for_each(|field| *field = without_nulls(field.take()));
    }
    value
}

#[test]
fn cel_agrees_with_rules() {
    let schema = version()["schema"]["openAPIV3Schema"].clone();
    for case in cases() {
        let object = |spec: &Value| {
            let spec = without_nulls(spec.clone());
            match case.members {
                Some(members) => json!({"spec": spec, "status": {"members": members}}),
                None => json!({"spec": spec}),
            }
        };
        let validator = kube::core::cel::Validator::new();
        let old = case.old.as_ref().map(object);
        if let Some(old) = &old {
            let is_rejected = validator.validate(&schema, old, None).is_err();
            assert!(!is_rejected || case.stored.is_some(), "{}: the old spec is rejected", case.name);
        }
        let found = match validator.validate(&schema, &object(&case.new), old.as_ref()) {
            Ok(()) => Vec::new(),
            // The apiserver does not validate unmodified fields again; the library does.
            Err(_) if case.stored.is_some() && case.rejected.is_empty() => Vec::new(),
            Err(errors) => errors.into_vec(),
        };
        let expected: Vec<&Rejection> = case.rejected.iter().filter(|it| it.floor == Some(Floor::Cel)).collect();
        assert_eq!(found.len(), expected.len(), "{}: {found:?}", case.name);
        for expected in expected {
            // The library reports the path of a rule on the root without a change.
            let is_reported = found.iter().any(|it| {
                it.message == expected.message && expected.field.starts_with(it.field_path.trim_start_matches('.'))
            });
            assert!(is_reported, "{}: {expected:?} is not in {found:?}", case.name);
        }
    }
}

#[test]
fn change_from_one_server_can_be_taken_back_until_it_is_carried_out() {
    let schema = version()["schema"]["openAPIV3Schema"].clone();
    for (case, status, may_go_back) in [
        ("standalone", json!({"members": 1}), true),
        ("clustered", json!({"members": 3}), false),
        ("unknown members", json!({"state": "Processing"}), false),
        ("no status", Value::Null, false),
    ] {
        let object = |size: i64| {
            let mut object = json!({"spec": {"cluster": {"size": size}}});
            if !status.is_null() {
                object["status"] = status.clone();
            }
            object
        };
        let change = |from: i64, to: i64| {
            kube::core::cel::Validator::new().validate(&schema, &object(to), Some(&object(from))).is_ok()
        };
        assert_eq!(change(3, 1), may_go_back, "{case}");
        assert!(change(1, 1) && change(3, 5) && change(3, 3) && change(1, 3), "{case}");
    }
}
