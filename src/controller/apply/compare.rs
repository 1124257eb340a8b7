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

/// Where resource quantities are, by the field and the one around it: `1000m` is stored as `1`, so
/// they are compared by value. Everywhere else a text is a text: a label `1k` is none of `1000`.
const QUANTITIES: [(&str, &str); 3] = [("resources", "limits"), ("resources", "requests"), ("emptyDir", "sizeLimit")];

/// Whether `live` holds everything that `wanted` says.
pub(crate) fn holds(live: &Value, wanted: &Value) -> bool {
    holds_below("", live, wanted)
}

/// As [`holds`], of what is below a field.
fn holds_below(field: &str, live: &Value, wanted: &Value) -> bool {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => holds_fields(field, live, wanted),
        (Value::Array(live), Value::Array(wanted)) => holds_elements(live, wanted),
        // The apiserver drops what is empty.
        (Value::Null, Value::Array(wanted)) => wanted.is_empty(),
        (Value::Null, Value::Object(wanted)) => wanted.is_empty(),
        _ => live == wanted,
    }
}

fn holds_fields(around: &str, live: &Map<String, Value>, wanted: &Map<String, Value>) -> bool {
    wanted.iter().filter(|(_, wanted)| !wanted.is_null()).all(|(field, wanted)| {
        let live = live.get(field).unwrap_or(&Value::Null);
        if QUANTITIES.contains(&(around, field.as_str())) {
            holds_quantities(live, wanted)
        } else {
            holds_below(field, live, wanted)
        }
    })
}

/// A quantity, or several by their names.
fn holds_quantities(live: &Value, wanted: &Value) -> bool {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => {
            wanted.iter().all(|(name, wanted)| live.get(name).is_some_and(|live| holds_quantities(live, wanted)))
        }
        (Value::String(live), Value::String(wanted)) => live == wanted || is_same_amount(live, wanted),
        _ => holds_below("", live, wanted),
    }
}

fn is_same_amount(live: &str, wanted: &str) -> bool {
    Amount::parse(live).is_ok_and(|live| Amount::parse(wanted).is_ok_and(|wanted| live == wanted))
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
            (false, json!({"labels": {"limits": "1000"}}), json!({"labels": {"limits": "1k"}})),
            (false, json!({"annotations": {"a": "1"}}), json!({"annotations": {"a": "1.0"}})),
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

    #[test]
    fn a_quantity_is_the_same_however_it_is_spelled() {
        for (same, live, wanted) in [
            (true, "1", "1.0"),
            (true, "1", "1000m"),
            (true, "1", "1."),
            (true, "1", "+1"),
            (true, "1", "01"),
            (true, "1", "1e0"),
            (true, "1k", "1e3"),
            (true, "500m", "0.5"),
            (true, "500m", ".5"),
            (true, "512Mi", "0.5Gi"),
            (true, "1Gi", "1024Mi"),
            (true, "1Gi", "1073741824"),
            (true, "0", "0Gi"),
            (false, "1", "1001m"),
            (false, "1Gi", "1025Mi"),
            (false, "1Gi", "1G"),
            (false, "1", "one"),
        ] {
            let resources = |field: &str, name: &str, text: &str| json!({"containers": [{"name": "nats", "resources": {field: {name: text}}}]});
            for (live, wanted) in [
                (resources("limits", "cpu", live), resources("limits", "cpu", wanted)),
                (resources("requests", "memory", live), resources("requests", "memory", wanted)),
                (json!({"emptyDir": {"sizeLimit": live}}), json!({"emptyDir": {"sizeLimit": wanted}})),
                (
                    json!([{"spec": {"resources": {"requests": {"storage": live}}}}]),
                    json!([{"spec": {"resources": {"requests": {"storage": wanted}}}}]),
                ),
            ] {
                assert_eq!(holds(&live, &wanted), same, "{live} {wanted}");
            }
        }
        let none = json!({"resources": {"requests": {"cpu": "1"}}});
        assert!(!holds(&none, &json!({"resources": {"requests": {"cpu": "1", "memory": "1Gi"}}})));
        assert!(holds(&json!({"resources": {}}), &json!({"resources": {"requests": {}}})));
    }
}
