//! Specs for the tests of the crate and for those beside it.

use serde_json::{Value, json, value::RawValue};

/// Returns the spec of the sample with all fields.
pub(crate) fn full() -> Value {
    let sample: Value = serde_saphyr::from_str(include_str!("../../../config/samples/full-spec.yaml")).unwrap();
    sample["spec"].clone()
}

/// Returns the text of a value.
pub(crate) fn raw(value: &Value) -> Box<RawValue> {
    RawValue::from_string(value.to_string()).unwrap()
}

/// Returns the sample with each of its fields, at every level, replaced by other values, which are partly invalid.
pub(crate) fn changed() -> Vec<Value> {
    let others = [
        json!(null),
        json!(5),
        json!(-1.5),
        json!("0"),
        json!("5Gi"),
        json!(false),
        json!([]),
        json!([null]),
        json!({}),
        json!({"unknown": null}),
    ];
    let full = full();
    let mut pointers = Vec::new();
    collect_pointers(&full, "", &mut pointers);
    let replace = |pointer: &String, other: &Value| {
        let mut changed = full.clone();
        *changed.pointer_mut(pointer).unwrap() = other.clone();
        changed
    };
    pointers.iter().flat_map(|pointer| others.iter().map(|other| replace(pointer, other)).collect::<Vec<_>>()).collect()
}

fn collect_pointers(value: &Value, pointer: &str, pointers: &mut Vec<String>) {
    pointers.push(pointer.to_owned());
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                let name = name.replace('~', "~0").replace('/', "~1");
                collect_pointers(field, &format!("{pointer}/{name}"), pointers);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                collect_pointers(item, &format!("{pointer}/{index}"), pointers);
            }
        }
        _ => {}
    }
}
