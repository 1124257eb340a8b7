//! Writes that others change on the way: an admission webhook or policy replaces what was applied.
//!
//! Such a write is not repeated while neither the desired object nor the live one has changed. Otherwise each reconcile
//! would send it again. The record is in memory only, so that a new leader sends it once more.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
};

use serde_json::Value;

/// The last write of each kind that came back different.
#[derive(Debug, Default)]
pub(crate) struct OverriddenWrites(BTreeMap<&'static str, OverriddenWrite>);

#[derive(Debug)]
struct OverriddenWrite {
    /// Hashes of the object as it was sent and as it came back.
    sent: u64,
    returned: u64,
    /// Hash of the Pod template that came back.
    template: u64,
    /// Path of the first field that was changed.
    field: String,
}

impl OverriddenWrites {
    /// Returns whether this write was sent before, and the live object is still what came back.
    pub(super) fn is_repeated(&self, kind: &str, live: &Value, desired: &Value) -> bool {
        let write = self.0.get(kind);
        write.is_some_and(|write| write.sent == content_hash(desired) && write.returned == content_hash(live))
    }

    /// Returns whether the last write of this kind came back with this Pod template instead of the desired one.
    pub(super) fn returned(&self, kind: &str, template: &Value) -> bool {
        self.0.get(kind).is_some_and(|write| write.template == content_hash(template))
    }

    /// Records the response to a write. `field` is the first field that was changed. Returns whether that has to be
    /// reported, which is once for each field.
    pub(super) fn record(
        &mut self,
        kind: &'static str,
        desired: &Value,
        returned: &Value,
        field: Option<String>,
    ) -> bool {
        let Some(field) = field else {
            self.0.remove(kind);
            return false;
        };
        let template = content_hash(returned.pointer("/spec/template").unwrap_or(&Value::Null));
        let is_known = self.0.get(kind).is_some_and(|write| write.field == field);
        let write = OverriddenWrite { sent: content_hash(desired), returned: content_hash(returned), template, field };
        self.0.insert(kind, write);
        !is_known
    }
}

impl OverriddenWrites {
    /// Records that the last write of this kind was completed by a request that left the Pod template as it came back.
    pub(super) fn complete(&mut self, kind: &str, desired: &Value, live: &Value) {
        if let Some(write) = self.0.get_mut(kind) {
            (write.sent, write.returned) = (content_hash(desired), content_hash(live));
        }
    }
}

/// Returns a hash of an object without its status and the metadata that every write changes.
pub(super) fn content_hash(object: &Value) -> u64 {
    let mut object = object.clone();
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
        if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
            for field in ["managedFields", "resourceVersion", "generation"] {
                metadata.remove(field);
            }
        }
    }
    let mut hasher = DefaultHasher::new();
    object.to_string().hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn write_is_repeated_until_one_side_changes() {
        let object = |image: &str, version: &str| json!({"metadata": {"resourceVersion": version, "generation": 1}, "spec": {"image": image}, "status": {"v": version}});
        let mut writes = OverriddenWrites::default();
        let (desired, returned) = (object("a", "7"), object("mirror/a", "8"));
        assert!(!writes.is_repeated("StatefulSet", &returned, &desired));
        let field = || Some(".spec.image".to_owned());
        assert!(writes.record("StatefulSet", &desired, &returned, field()));
        for (is_repeated, kind, live, desired) in [
            (true, "StatefulSet", object("mirror/a", "9"), object("a", "9")),
            (false, "StatefulSet", object("mirror/a", "9"), object("b", "9")),
            (false, "StatefulSet", object("other/a", "9"), object("a", "9")),
            (false, "Service", object("mirror/a", "9"), object("a", "9")),
        ] {
            assert_eq!(writes.is_repeated(kind, &live, &desired), is_repeated, "{kind} {live} {desired}");
        }
        assert!(writes.returned("StatefulSet", &Value::Null) && !writes.returned("StatefulSet", &json!({"spec": {}})));
        assert!(!writes.record("StatefulSet", &object("b", "9"), &object("mirror/b", "9"), field()), "reported before");
        assert!(writes.record("StatefulSet", &desired, &returned, Some(".spec.class".to_owned())));
        assert!(!writes.record("StatefulSet", &desired, &desired, None));
        assert!(!writes.is_repeated("StatefulSet", &returned, &desired));
    }
}
