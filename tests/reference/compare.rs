//! Comparison of two objects by meaning.

use std::{collections::BTreeSet, fmt};

use nats_manager_api::Amount;
use serde_json::{Map, Value, json};

/// Field in which two objects differ.
#[derive(Debug)]
pub(crate) struct Deviation {
    /// Path of the field, such as `.spec.ports[0].name`. A key with a dot is in brackets and quotes.
    pub(crate) path: String,
    /// Value in our object; `None` if absent.
    pub(crate) ours: Option<Value>,
    /// Value in the object of the reference; `None` if absent.
    pub(crate) theirs: Option<Value>,
}

impl fmt::Display for Deviation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |side: &Option<Value>| side.as_ref().map_or("nothing".to_owned(), Value::to_string);
        write!(f, "{}: ours {}, theirs {}", self.path, show(&self.ours), show(&self.theirs))
    }
}

/// Returns the fields in which two objects differ.
pub(crate) fn compare(ours: Option<&Value>, theirs: Option<&Value>) -> Vec<Deviation> {
    let mut found = Vec::new();
    walk(String::new(), ours, theirs, &mut found);
    found
}

/// Compares two values: maps key by key, lists in their order. Absent labels and annotations equal empty ones.
fn walk(path: String, ours: Option<&Value>, theirs: Option<&Value>, found: &mut Vec<Deviation>) {
    let none = Map::new();
    match (ours, theirs) {
        (Some(Value::Object(ours)), Some(Value::Object(theirs))) => walk_map(&path, ours, theirs, found),
        (Some(Value::Object(ours)), None) if is_optional_map(&path) => walk_map(&path, ours, &none, found),
        (None, Some(Value::Object(theirs))) if is_optional_map(&path) => walk_map(&path, &none, theirs, found),
        (Some(Value::Array(ours)), Some(Value::Array(theirs))) => {
            for index in 0..ours.len().max(theirs.len()) {
                walk(format!("{path}[{index}]"), ours.get(index), theirs.get(index), found);
            }
        }
        _ if same(&path, ours, theirs) => {}
        _ => found.push(Deviation { path, ours: ours.cloned(), theirs: theirs.cloned() }),
    }
}

fn walk_map(path: &str, ours: &Map<String, Value>, theirs: &Map<String, Value>, found: &mut Vec<Deviation>) {
    let keys: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    for key in keys {
        let step = if key.contains('.') { format!("[\"{key}\"]") } else { format!(".{key}") };
        walk(format!("{path}{step}"), ours.get(key), theirs.get(key), found);
    }
}

fn is_optional_map(path: &str) -> bool {
    path.ends_with(".annotations") || path.ends_with(".labels")
}

fn same(path: &str, ours: Option<&Value>, theirs: Option<&Value>) -> bool {
    let is_quantity = path.contains(".resources.") || path.contains(".jetstream.max_");
    ours == theirs || (is_quantity && amount(ours).is_some() && amount(ours) == amount(theirs))
}

fn amount(value: Option<&Value>) -> Option<Amount> {
    match value? {
        Value::String(text) => Amount::parse(text).ok(),
        Value::Number(number) => Amount::parse(&number.to_string()).ok(),
        _ => None,
    }
}

#[test]
fn finds_what_differs_and_nothing_else() {
    let paths = |ours: Value, theirs: Value| -> Vec<String> {
        compare(Some(&ours), Some(&theirs)).into_iter().map(|deviation| deviation.path).collect()
    };
    assert!(paths(json!({"resources": {"cpu": "1000m"}}), json!({"resources": {"cpu": 1}})).is_empty());
    assert_eq!(paths(json!({"a": "1000m"}), json!({"a": "1"})), [".a"]);
    assert_eq!(paths(json!({"a": [1, 2]}), json!({"a": [1]})), [".a[1]"]);
    assert_eq!(paths(json!({"labels": {"x.y": "z"}}), json!({})), [r#".labels["x.y"]"#]);
    assert_eq!(paths(json!({}), json!({"a": {}})), [".a"]);
}
