//! Defaults that the schema cannot express, because they depend on the cluster. A field that is set keeps its value and
//! its spelling. Values that follow from other fields are not stored, because no apply would remove them.

use json_patch::Patch;
use nats_manager_api::{Amount, FileStore, RawQuantity, rules::ClusterFacts};
use serde_json::{Map, Value};

const SPEC: &str = "spec";

/// Fills in the defaults of a spec. Returns the completed spec and the patch, which is empty if nothing is missing.
/// `old` is the stored spec.
pub(crate) fn complete(spec: Value, old: Option<&Value>, cluster_facts: &ClusterFacts) -> (Value, Patch) {
    let before = Value::Object(Map::from_iter([(SPEC.to_owned(), spec)]));
    let mut after = defaults(&before, old, cluster_facts);
    let patch = json_patch::diff(&before, &after);
    (after.get_mut(SPEC).map(Value::take).unwrap_or_default(), patch)
}

/// Returns the object with its spec completed. Fields of a wrong type stay unchanged: the schema rejects them.
fn defaults(object: &Value, old: Option<&Value>, cluster_facts: &ClusterFacts) -> Value {
    let mut object = object.clone();
    if let Some(spec) = object.get_mut(SPEC) {
        complete_file_size(spec, old, cluster_facts);
    }
    object
}

fn complete_file_size(spec: &mut Value, old: Option<&Value>, cluster_facts: &ClusterFacts) {
    let stores = spec.as_object_mut().and_then(|spec| descend(spec, "jetStream"));
    let Some(storage) = stores.and_then(|stores| descend(stores, "fileStorage")) else { return };
    let is_on = match storage.get("enabled") {
        None | Some(Value::Null) => true,
        Some(enabled) => enabled == true,
    };
    if !is_on || !is_unset(storage.get("size")) {
        return;
    }
    // A size that the update drops keeps its stored spelling, so that the update is no change.
    let before = old.and_then(|spec| spec.pointer("/jetStream/fileStorage/size")).filter(|size| is_size(size));
    let size = before.cloned().unwrap_or_else(|| {
        let deployed = cluster_facts.deployed.as_ref().map(|deployed| &deployed.file_store);
        let size = match deployed {
            Some(FileStore::Volume { size, .. }) => *size,
            Some(FileStore::MemoryOnly) | None => cluster_facts.provider.default_file_size(),
        };
        size.to_string().into()
    });
    storage.insert("size".to_owned(), size);
}

/// Returns the object in a field, and creates it if the field is absent or null. `None` if the field has another type.
fn descend<'a>(parent: &'a mut Map<String, Value>, name: &str) -> Option<&'a mut Map<String, Value>> {
    let field = parent.entry(name).or_insert(Value::Null);
    if field.is_null() {
        *field = Value::Object(Map::new());
    }
    field.as_object_mut()
}

/// Returns whether a size is absent, or 0 in any spelling: the Go manager stored `"0"` for a size that was not set.
fn is_unset(size: Option<&Value>) -> bool {
    match size {
        None | Some(Value::Null) => true,
        Some(size) => amount(size).is_some_and(Amount::is_zero),
    }
}

fn is_size(size: &Value) -> bool {
    amount(size).is_some_and(|amount| amount > Amount::ZERO)
}

fn amount(value: &Value) -> Option<Amount> {
    raw(value)?.parse().ok()
}

fn raw(value: &Value) -> Option<RawQuantity> {
    match value {
        Value::String(text) => Some(text.as_str().into()),
        Value::Number(number) if !number.is_f64() => Some(number.to_string().into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use nats_manager_api::{Bytes, DeployedCluster, Provider, Spread};
    use serde_json::json;

    use super::*;

    fn deployed(file_store: FileStore) -> ClusterFacts {
        let deployed = DeployedCluster {
            size: 3,
            file_store,
            spread: Spread::Soft,
            memory_store: None,
            restarted_for_memory_store: None,
        };
        ClusterFacts { deployed: Some(deployed), ..ClusterFacts::default() }
    }

    /// Returns the patch as JSON. Panics if it does not produce the completed spec, or if a second run changes
    /// anything.
    fn patched(spec: &Value, old: Option<&Value>, cluster_facts: &ClusterFacts) -> Value {
        let (_, patch) = super::complete(spec.clone(), old, cluster_facts);
        let mut object = json!({"spec": spec});
        json_patch::patch(&mut object, &patch).unwrap();
        assert!(super::complete(object["spec"].clone(), old, cluster_facts).1.0.is_empty(), "not idempotent: {spec}");
        serde_json::to_value(&patch).unwrap()
    }

    fn size(op: &str, size: &Value) -> Value {
        json!([{"op": op, "path": "/spec/jetStream/fileStorage/size", "value": size}])
    }

    #[test]
    fn unset_file_size_is_filled_in() {
        let alicloud = ClusterFacts { provider: Provider::AliCloud, ..ClusterFacts::default() };
        let volume = deployed(FileStore::Volume { size: Bytes::gibi(5), class: None });
        let memory_only = deployed(FileStore::MemoryOnly);
        let none = ClusterFacts::default();
        let storage = |storage: Value| json!({"jetStream": {"fileStorage": storage}});
        let unset = storage(json!({"enabled": true}));
        let set = |value: Value| storage(json!({"size": value}));
        for (spec, old, cluster_facts, expected) in [
            (&unset, None, &none, size("add", &json!("1Gi"))),
            (&unset, None, &alicloud, size("add", &json!("20Gi"))),
            (&unset, None, &volume, size("add", &json!("5Gi"))),
            (&unset, None, &memory_only, size("add", &json!("1Gi"))),
            (&unset, Some(set(json!("2048Mi"))), &none, size("add", &json!("2048Mi"))),
            (&unset, Some(set(json!(1024))), &none, size("add", &json!(1024))),
            (&unset, Some(set(json!("5120Mi"))), &volume, size("add", &json!("5120Mi"))),
            (&unset, Some(set(json!("0"))), &volume, size("add", &json!("5Gi"))),
            (&unset, Some(set(json!("-1"))), &none, size("add", &json!("1Gi"))),
            (&set(json!("0")), None, &none, size("replace", &json!("1Gi"))),
            (&set(json!("0Gi")), None, &volume, size("replace", &json!("5Gi"))),
            (&set(json!(0)), None, &none, size("replace", &json!("1Gi"))),
            (&set(json!(null)), None, &none, size("replace", &json!("1Gi"))),
            (
                &json!({}),
                None,
                &none,
                json!([{"op": "add", "path": "/spec/jetStream", "value": {"fileStorage": {"size": "1Gi"}}}]),
            ),
        ] {
            assert_eq!(patched(spec, old.as_ref(), cluster_facts), expected, "{spec} {old:?}");
        }
    }

    #[test]
    fn values_that_are_set_or_unreadable_stay() {
        for spec in [
            json!({"jetStream": {"fileStorage": {"size": "1Gi"}}}),
            json!({"jetStream": {"fileStorage": {"size": 5}}}),
            json!({"jetStream": {"fileStorage": {"size": "-1"}}}),
            json!({"jetStream": {"fileStorage": {"size": "much"}}}),
            json!({"jetStream": {"fileStorage": {"size": 0.0}}}),
            json!({"jetStream": {"fileStorage": {"size": []}}}),
            json!({"jetStream": {"fileStorage": {"enabled": false}}}),
            json!({"jetStream": {"fileStorage": {"enabled": "yes"}}}),
            json!({"jetStream": {"fileStorage": {"size": "1Gi"}}, "resources": {"limits": {"cpu": "1"}}}),
            json!({"jetStream": {"fileStorage": 1}}),
            json!({"jetStream": "x"}),
            json!("x"),
            json!([]),
        ] {
            assert_eq!(patched(&spec, None, &ClusterFacts::default()), json!([]), "{spec}");
        }
    }
}
