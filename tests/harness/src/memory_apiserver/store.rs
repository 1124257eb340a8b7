//! Objects of the stand-in, and the watches that follow them.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::selection::Selection;

/// Identity of an object: collection, namespace and name.
pub(super) type Key = (String, String, String);

/// Objects with their version, and open watches.
#[derive(Debug, Default)]
pub(super) struct Store {
    version: u64,
    objects: BTreeMap<Key, Value>,
    watches: Vec<Watch>,
}

#[derive(Debug)]
struct Watch {
    selection: Selection,
    /// Only metadata is sent.
    is_partial: bool,
    events: UnboundedSender<Vec<u8>>,
}

impl Store {
    /// Returns the version of the newest write.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Value> {
        self.objects.get(key)
    }

    /// Returns the selected objects, in the order of their names.
    pub(super) fn list(&self, selection: &Selection) -> Vec<&Value> {
        let first = (selection.collection.clone(), String::new(), String::new());
        let of_collection = self.objects.range(first..).take_while(|(key, _)| key.0 == selection.collection);
        of_collection.map(|(_, object)| object).filter(|object| selection.has(object)).collect()
    }

    /// Stores an object and reports it to the watches, unless it is equal to the stored one. Returns it as stored.
    pub(super) fn put(&mut self, key: Key, mut object: Value) -> Value {
        let old = self.objects.get(&key);
        let metadata = &mut object["metadata"];
        metadata["name"] = json!(key.2);
        if !key.1.is_empty() {
            metadata["namespace"] = json!(key.1);
        }
        let kept = |field: &str| old.and_then(|old| old["metadata"].get(field)).cloned();
        metadata["uid"] = kept("uid").unwrap_or_else(|| json!(format!("uid-{}", self.version + 1)));
        let created = kept("creationTimestamp").or_else(|| metadata.get("creationTimestamp").cloned());
        metadata["creationTimestamp"] = created.unwrap_or_else(|| json!("2026-01-01T00:00:00Z"));
        metadata["resourceVersion"] = kept("resourceVersion").unwrap_or_default();
        metadata["generation"] = kept("generation").unwrap_or_else(|| json!(1));
        if let Some(old) = old {
            if *old == object {
                return object;
            }
            if old["spec"] != object["spec"] {
                let generation = old["metadata"]["generation"].as_u64().unwrap_or_default() + 1;
                object["metadata"]["generation"] = json!(generation);
            }
        }
        let kind = if old.is_some() { "MODIFIED" } else { "ADDED" };
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.report(kind, &key.0, &object);
        self.objects.insert(key, object.clone());
        object
    }

    /// Deletes an object, whatever its finalizers are. Returns it.
    pub(super) fn delete(&mut self, key: &Key) -> Option<Value> {
        let object = self.objects.remove(key)?;
        self.version += 1;
        self.report("DELETED", &key.0, &object);
        Some(object)
    }

    /// Opens a watch. Its channel delivers events as lines of JSON.
    pub(super) fn watch(&mut self, selection: Selection, is_partial: bool) -> UnboundedReceiver<Vec<u8>> {
        let (events, received) = unbounded_channel();
        self.watches.retain(|watch| !watch.events.is_closed());
        self.watches.push(Watch { selection, is_partial, events });
        received
    }

    fn report(&self, kind: &str, collection: &str, object: &Value) {
        for watch in &self.watches {
            if watch.selection.collection == collection && watch.selection.has(object) {
                let object = if watch.is_partial { metadata_of(object) } else { object.clone() };
                let mut line = json!({"type": kind, "object": object}).to_string().into_bytes();
                line.push(b'\n');
                // A watch whose client has left is removed with the next one.
                let _ = watch.events.send(line);
            }
        }
    }
}

/// Returns the part of an object that a client of metadata gets.
pub(super) fn metadata_of(object: &Value) -> Value {
    json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": object["metadata"]})
}
