//! Whether an object is as wanted already, so that nothing needs to be sent.
//!
//! The live object holds more than the wanted one: defaults of the apiserver, and fields of others.
//! So every wanted field must be there with the same meaning; what was removed from the wanted
//! object shows in the hash that it carries.

use nats_manager_api::Amount;
use serde_json::{Map, Value};

/// What identifies an element of a list of objects, by the lists of the objects that we build
/// (`x-kubernetes-list-map-keys` and merge keys in the Kubernetes API).
const KEYS: [&str; 6] = ["mountPath", "containerPort", "uid", "topologyKey", "name", "port"];

/// Whether `live` holds everything that `wanted` says.
pub fn holds(live: &Value, wanted: &Value) -> bool {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => holds_fields(live, wanted),
        (Value::Array(live), Value::Array(wanted)) => holds_elements(live, wanted),
        // The apiserver drops what is empty.
        (Value::Null, Value::Array(wanted)) => wanted.is_empty(),
        (Value::Null, Value::Object(wanted)) => wanted.is_empty(),
        (Value::String(live), Value::String(wanted)) => live == wanted || same_quantity(live, wanted),
        _ => live == wanted,
    }
}

fn holds_fields(live: &Map<String, Value>, wanted: &Map<String, Value>) -> bool {
    wanted
        .iter()
        .filter(|(_, wanted)| !wanted.is_null())
        .all(|(field, wanted)| holds(live.get(field).unwrap_or(&Value::Null), wanted))
}

fn holds_elements(live: &[Value], wanted: &[Value]) -> bool {
    match wanted.first() {
        Some(Value::Object(first)) => match KEYS.into_iter().find(|key| first.contains_key(*key)) {
            Some(key) => wanted.iter().all(|element| {
                let same = |other: &&Value| other.get(key) == element.get(key);
                live.iter().filter(same).any(|found| holds(found, element))
            }),
            None => same_length(live, wanted),
        },
        _ => same_length(live, wanted),
    }
}

fn same_length(live: &[Value], wanted: &[Value]) -> bool {
    live.len() == wanted.len() && live.iter().zip(wanted).all(|(live, wanted)| holds(live, wanted))
}

/// `1024Mi` is stored as `1Gi`. Only texts with a unit are read so, or an annotation of `1.0` would
/// be taken for one of `1`.
fn same_quantity(live: &str, wanted: &str) -> bool {
    let has_unit = |text: &str| text.ends_with(|end: char| end.is_ascii_alphabetic());
    (has_unit(live) || has_unit(wanted))
        && Amount::parse(live).is_ok_and(|live| Amount::parse(wanted).is_ok_and(|wanted| live == wanted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_others_add_does_not_matter_and_what_is_ours_does() {
        let container = json!({"name": "nats", "image": "a", "args": ["-c"]});
        let defaulted = json!({"name": "nats", "image": "a", "args": ["-c"], "terminationMessagePath": "/dev"});
        for (same, live, wanted) in [
            (true, json!({"a": 1, "b": 2}), json!({"a": 1})),
            (false, json!({"a": 1}), json!({"a": 2})),
            (false, json!({}), json!({"a": 1})),
            (true, json!({}), json!({"a": {}, "b": [], "c": null})),
            (true, json!({"q": "1Gi"}), json!({"q": "1024Mi"})),
            (true, json!({"q": "1"}), json!({"q": "1000m"})),
            (false, json!({"q": "1"}), json!({"q": "1.0"})),
            (false, json!({"q": "1Gi"}), json!({"q": "1025Mi"})),
            (true, json!([{"name": "sidecar"}, defaulted]), json!([container])),
            (false, json!([{"name": "nats", "image": "b", "args": ["-c"]}]), json!([container])),
            (false, json!([{"name": "nats", "image": "a", "args": ["-c", "-D"]}]), json!([container])),
            (false, json!([]), json!([container])),
            (false, json!(["a", "b"]), json!(["b", "a"])),
            (true, json!([{"weight": 1, "x": 2}]), json!([{"weight": 1}])),
            (false, json!([{"weight": 1}, {"weight": 2}]), json!([{"weight": 1}])),
        ] {
            assert_eq!(holds(&live, &wanted), same, "{live} {wanted}");
        }
    }
}
