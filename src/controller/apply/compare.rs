//! Comparison of a live object with the desired one: an object without a difference is not sent.
//!
//! The live object also contains defaults of the apiserver and fields of other managers. So each desired field must be
//! present with the same meaning. A field that was removed from the desired object changes the hash annotation, which
//! is compared as well.

use nats_manager_api::Amount;
use serde_json::{Map, Value};

/// Fields that identify an element of a list, for the lists in the objects that we build (`x-kubernetes-list-map-keys`
/// and merge keys in the Kubernetes API).
const LIST_KEYS: [&str; 6] = ["mountPath", "containerPort", "uid", "topologyKey", "name", "port"];

/// Fields with resource quantities, each as parent and field. The apiserver stores `1000m` as `1`, so quantities are
/// compared by value. All other texts are compared as texts: a label `1k` differs from `1000`.
const QUANTITY_FIELDS: [(&str, &str); 3] =
    [("resources", "limits"), ("resources", "requests"), ("emptyDir", "sizeLimit")];

/// Fields whose value 0 the apiserver stores as an absent field.
const OMITTED_ZEROS: [&str; 1] = ["minReadySeconds"];

/// Fields of the specs of NetworkPolicies (`x-kubernetes-list-type: atomic`): an addition of others would allow traffic,
/// and an apply replaces them as a whole.
const ATOMIC: [&str; 3] = ["ingress", "egress", "podSelector"];

/// Returns whether `live` contains every field of `desired` with the same meaning.
pub(crate) fn is_applied(live: &Value, desired: &Value) -> bool {
    difference(live, desired).is_none()
}

/// Returns the path of the first field of `desired` that `live` does not contain with the same meaning, such as
/// `.spec.template.spec.containers[nats].image`. `None` if there is no such field.
pub(crate) fn difference(live: &Value, desired: &Value) -> Option<String> {
    difference_in("", live, desired)
}

/// Compares as [`difference`] does, for the value of `field`. The path begins behind it.
fn difference_in(field: &str, live: &Value, desired: &Value) -> Option<String> {
    let is_same = match (live, desired) {
        _ if ATOMIC.contains(&field) => live == desired,
        (Value::Object(live), Value::Object(desired)) => return fields_difference(field, live, desired),
        (Value::Array(live), Value::Array(desired)) => return elements_difference(live, desired),
        // The apiserver drops empty lists and objects.
        (Value::Null, Value::Array(desired)) => desired.is_empty(),
        (Value::Null, Value::Object(desired)) => desired.is_empty(),
        (Value::Null, Value::Number(desired)) => desired.as_i64() == Some(0) && OMITTED_ZEROS.contains(&field),
        _ => live == desired,
    };
    (!is_same).then(String::new)
}

fn fields_difference(parent: &str, live: &Map<String, Value>, desired: &Map<String, Value>) -> Option<String> {
    desired.iter().filter(|(_, desired)| !desired.is_null()).find_map(|(field, desired)| {
        let live = live.get(field).unwrap_or(&Value::Null);
        let rest = if QUANTITY_FIELDS.contains(&(parent, field.as_str())) {
            (!has_quantities(live, desired)).then(String::new)
        } else {
            difference_in(field, live, desired)
        };
        rest.map(|rest| format!(".{field}{rest}"))
    })
}

/// Compares one quantity, or several by their names.
fn has_quantities(live: &Value, desired: &Value) -> bool {
    match (live, desired) {
        (Value::Object(live), Value::Object(desired)) => {
            desired.iter().all(|(name, desired)| live.get(name).is_some_and(|live| has_quantities(live, desired)))
        }
        (Value::String(live), Value::String(desired)) => live == desired || is_same_amount(live, desired),
        _ => is_applied(live, desired),
    }
}

fn is_same_amount(live: &str, desired: &str) -> bool {
    Amount::parse(live).is_ok_and(|live| Amount::parse(desired).is_ok_and(|desired| live == desired))
}

fn elements_difference(live: &[Value], desired: &[Value]) -> Option<String> {
    let key = match desired.first() {
        Some(Value::Object(first)) => LIST_KEYS.into_iter().find(|key| first.contains_key(*key)),
        _ => None,
    };
    let Some(key) = key else {
        let is_same = live.len() == desired.len() && live.iter().zip(desired).all(|(live, own)| is_applied(live, own));
        return (!is_same).then(String::new);
    };
    desired.iter().find_map(|element| {
        let same = live.iter().filter(|other| other.get(key) == element.get(key));
        let mut found: Vec<_> = same.map(|other| difference(other, element)).collect();
        if found.iter().any(Option::is_none) {
            return None;
        }
        let id = element.get(key).map(|id| id.as_str().map_or_else(|| id.to_string(), str::to_owned));
        Some(format!("[{}]{}", id.unwrap_or_default(), found.pop().flatten().unwrap_or_default()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn comparison_ignores_foreign_fields_and_finds_changes_of_ours() {
        let container = json!({"name": "nats", "image": "a", "args": ["-c"]});
        let defaulted = json!({"name": "nats", "image": "a", "args": ["-c"], "terminationMessagePath": "/dev"});
        for (same, live, desired) in [
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
            assert_eq!(is_applied(&live, &desired), same, "{live} {desired}");
        }
    }

    #[test]
    fn rules_and_selectors_of_network_policies_are_compared_exactly() {
        let policy =
            |peer: serde_json::Value| json!({"spec": {"ingress": [{"from": [peer], "ports": [{"port": 6222}]}]}});
        let own = policy(json!({"podSelector": {"matchLabels": {"a": "1"}}}));
        assert!(is_applied(&own, &own));
        for live in [
            policy(json!({"podSelector": {"matchLabels": {"a": "1"}}, "namespaceSelector": {}})),
            policy(json!({"podSelector": {"matchLabels": {"a": "1", "b": "1"}}})),
            json!({"spec": {"ingress": [{"from": [], "ports": [{"port": 6222}, {"port": 8222}]}]}}),
        ] {
            assert_eq!(difference(&live, &own).as_deref(), Some(".spec.ingress"), "{live}");
        }
        let selector = |labels: serde_json::Value| json!({"spec": {"podSelector": {"matchLabels": labels}}});
        assert!(!is_applied(&selector(json!({"a": "1", "b": "1"})), &selector(json!({"a": "1"}))));
    }

    #[test]
    fn difference_has_the_path_of_the_field() {
        let set =
            |image: &str| json!({"spec": {"containers": [{"name": "nats", "image": image}], "minReadySeconds": 0}});
        let live = json!({"spec": {"containers": [{"name": "nats", "image": "a"}, {"name": "theirs"}]}});
        assert_eq!(difference(&live, &set("a")), None);
        assert_eq!(difference(&live, &set("b")).as_deref(), Some(".spec.containers[nats].image"));
        assert_eq!(difference(&json!({"spec": {}}), &set("b")).as_deref(), Some(".spec.containers"));
        let waiting = json!({"spec": {"containers": [{"name": "nats", "image": "a"}], "minReadySeconds": 5}});
        assert_eq!(difference(&waiting, &set("a")).as_deref(), Some(".spec.minReadySeconds"));
    }

    #[test]
    fn quantities_are_compared_by_value() {
        for (same, live, desired) in [
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
            for (live, desired) in [
                (resources("limits", "cpu", live), resources("limits", "cpu", desired)),
                (resources("requests", "memory", live), resources("requests", "memory", desired)),
                (json!({"emptyDir": {"sizeLimit": live}}), json!({"emptyDir": {"sizeLimit": desired}})),
                (
                    json!([{"spec": {"resources": {"requests": {"storage": live}}}}]),
                    json!([{"spec": {"resources": {"requests": {"storage": desired}}}}]),
                ),
            ] {
                assert_eq!(is_applied(&live, &desired), same, "{live} {desired}");
            }
        }
        let none = json!({"resources": {"requests": {"cpu": "1"}}});
        assert!(!is_applied(&none, &json!({"resources": {"requests": {"cpu": "1", "memory": "1Gi"}}})));
        assert!(is_applied(&json!({"resources": {}}), &json!({"resources": {"requests": {}}})));
    }
}
