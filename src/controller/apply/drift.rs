//! A StatefulSet whose Pod template others have changed since it was applied.
//!
//! The plan of such a pass was made from the revision of the change, which is about to end. Correcting the template
//! restarts no server, as long as the same write does not open the partition.

use nats_manager_api::naming::{APPLIED_HASH, TEMPLATE_HASH};
use serde_json::{Value, json};

use super::{compare, fields::ForeignContent};

const ANNOTATIONS: &str = "/metadata/annotations";
const TEMPLATE: &str = "/spec/template";
const PARTITION: &str = "/spec/updateStrategy/rollingUpdate/partition";

/// Returns whether the live template is not the one that was applied, although that is still the desired one.
pub(super) fn has_drifted(live: &Value, desired: &Value, foreign: &ForeignContent) -> bool {
    let hash = |set: &Value| set.pointer(ANNOTATIONS).and_then(|all| all.get(TEMPLATE_HASH)).cloned();
    let is_same = hash(live).is_some() && hash(live) == hash(desired);
    is_same && (!foreign.is_empty() || !compare::is_applied(template(live), template(desired)))
}

/// Returns the Pod template of a StatefulSet.
pub(super) fn template(set: &Value) -> &Value {
    set.pointer(TEMPLATE).unwrap_or(&Value::Null)
}

/// Raises the partition of the desired StatefulSet to that of the live one. The hash of what is applied then stays too,
/// so that the next pass applies the rest. Returns the desired partition if it is lower.
pub(super) fn keep_partition(live: &Value, desired: &mut Value) -> Option<i64> {
    let partition = |set: &Value| set.pointer(PARTITION).and_then(Value::as_i64);
    let kept = partition(live)?;
    let lower = partition(desired).filter(|desired| *desired < kept)?;
    if let Some(partition) = desired.pointer_mut(PARTITION) {
        *partition = json!(kept);
    }
    let hash = live.pointer(ANNOTATIONS).and_then(|all| all.get(APPLIED_HASH));
    let annotations = desired.pointer_mut(ANNOTATIONS).and_then(Value::as_object_mut);
    if let (Some(hash), Some(annotations)) = (hash, annotations) {
        annotations.insert(APPLIED_HASH.to_owned(), hash.clone());
    }
    Some(lower)
}

/// Builds the JSON patch that opens the partition of exactly this version of the StatefulSet.
pub(super) fn open_partition(resource_version: &str, partition: i64) -> Value {
    json!([
        {"op": "test", "path": "/metadata/resourceVersion", "value": resource_version},
        {"op": "replace", "path": PARTITION, "value": partition},
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn template_has_drifted_if_it_differs_with_the_same_hash() {
        let set = |hash: &str, image: &str| json!({"metadata": {"annotations": {TEMPLATE_HASH: hash}}, "spec": {"replicas": 3, "template": {"image": image}}});
        let added = || {
            let live = json!({"spec": {"template": {"spec": {"nodeSelector": {"a": "b"}}}}});
            ForeignContent::of("StatefulSet", &live, &json!({}))
        };
        let (none, desired) = (ForeignContent::default(), set("a", "a"));
        for (expected, live, foreign) in [
            (false, set("a", "a"), &none),
            (true, set("a", "b"), &none),
            (true, set("a", "a"), &added()),
            // A change of ours.
            (false, set("b", "b"), &none),
            (false, json!({"spec": {"template": {}}}), &none),
        ] {
            assert_eq!(has_drifted(&live, &desired, foreign), expected, "{live}");
        }
    }

    #[test]
    fn partition_is_not_opened_while_a_changed_template_is_corrected() {
        let set = |partition: i64| json!({"spec": {"updateStrategy": {"rollingUpdate": {"partition": partition}}}});
        for (live, desired, expected) in [(3, 2, 3), (2, 3, 3), (0, 0, 0)] {
            let mut kept = set(desired);
            let lower = keep_partition(&set(live), &mut kept);
            assert_eq!((kept, lower), (set(expected), (desired < live).then_some(desired)), "{live} {desired}");
        }
    }
}
