//! Defaults that the schema cannot express, because they depend on the cluster. A field that is set keeps its value and
//! its spelling. Values that follow from other fields are not stored, because no apply would remove them.

use json_patch::{AddOperation, Patch, PatchOperation, jsonptr::Pointer};
use nats_manager_api::{Amount, FileStore, RawQuantity, rules::ClusterFacts};
use serde::Deserialize;
use serde_json::{json, value::RawValue};

use crate::json;

/// Size of the file store that is not set, with its default.
#[derive(Debug)]
pub(crate) struct MissingFileSize {
    /// Default.
    pub(crate) size: RawQuantity,
    /// First field on the way to the size that is missing.
    place: Place,
}

/// Field that the patch sets.
#[derive(Clone, Copy, Debug)]
enum Place {
    JetStream,
    FileStorage,
    Size,
}

impl MissingFileSize {
    /// Returns the default for a file size that is not set. `None` if it is set, if volumes are disabled, and if a field
    /// on the way is unreadable: the schema rejects that. `jet_stream` is that field of the spec, and `old` returns
    /// that of the stored spec.
    pub(crate) fn find<'a>(
        jet_stream: Option<&RawValue>,
        old: impl FnOnce() -> Option<&'a RawValue>,
        cluster_facts: &ClusterFacts,
    ) -> Option<Self> {
        let place = missing(jet_stream)?;
        // A size that the update drops keeps its stored spelling, so that the update is no change.
        let stored = old().and_then(stored_size).filter(|size| size.parse().is_ok_and(|amount| amount > Amount::ZERO));
        let size = stored.unwrap_or_else(|| {
            let deployed = cluster_facts.deployed.as_ref().map(|deployed| &deployed.file_store);
            let size = match deployed {
                Some(FileStore::Volume { size, .. }) => *size,
                Some(FileStore::MemoryOnly) | None => cluster_facts.provider.default_file_size(),
            };
            size.to_string().into()
        });
        Some(Self { size, place })
    }

    /// Returns the patch that sets the size.
    pub(crate) fn patch(self) -> Patch {
        let (path, value) = match self.place {
            Place::JetStream => ("/spec/jetStream", json!({"fileStorage": {"size": self.size}})),
            Place::FileStorage => ("/spec/jetStream/fileStorage", json!({"size": self.size})),
            Place::Size => ("/spec/jetStream/fileStorage/size", json!(self.size)),
        };
        // An `add` replaces a value that is there: `null`, or a size of 0 (RFC 6902, section 4.1).
        let path = Pointer::from_static(path).to_buf();
        Patch(vec![PatchOperation::Add(AddOperation { path, value })])
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawJetStream<'a> {
    #[serde(borrow)]
    file_storage: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawFileStorage<'a> {
    #[serde(borrow)]
    enabled: Option<&'a RawValue>,
    #[serde(borrow)]
    size: Option<&'a RawValue>,
}

/// Returns the first field that is missing on the way to the size. `null` is missing, and a size of 0.
fn missing(jet_stream: Option<&RawValue>) -> Option<Place> {
    let Some(jet_stream) = jet_stream else { return Some(Place::JetStream) };
    let Some(storage) = json::object::<RawJetStream<'_>>(jet_stream)?.file_storage else {
        return Some(Place::FileStorage);
    };
    let storage: RawFileStorage<'_> = json::object(storage)?;
    let is_on = storage.enabled.is_none_or(|enabled| enabled.get() == "true");
    // The Go manager stored `"0"` for a size that was not set.
    let is_unset = storage.size.is_none_or(|size| quantity(size).is_some_and(|size| size.is_zero()));
    (is_on && is_unset).then_some(Place::Size)
}

/// Returns the file size in the field `jetStream` of a spec.
fn stored_size(jet_stream: &RawValue) -> Option<RawQuantity> {
    let storage = json::object::<RawJetStream<'_>>(jet_stream)?.file_storage?;
    json::object::<RawFileStorage<'_>>(storage)?.size.and_then(quantity)
}

fn quantity(raw: &RawValue) -> Option<RawQuantity> {
    serde_json::from_str(raw.get()).ok()
}

#[cfg(test)]
mod tests {
    use nats_manager_api::{Bytes, DeployedCluster, Provider, Spread};
    use serde_json::{Value, json};

    use super::*;
    use crate::spec::RawSpec;

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

    fn jet_stream(spec: &RawValue) -> Option<&RawValue> {
        json::object::<RawSpec<'_>>(spec).unwrap().jet_stream
    }

    /// Returns the patch as JSON. Panics if it does not produce the completed spec, or if a second run changes
    /// anything.
    fn patched(spec: &Value, old: Option<&Value>, cluster_facts: &ClusterFacts) -> Value {
        let raw = |value: &Value| RawValue::from_string(value.to_string()).unwrap();
        let old = old.map(raw);
        let find =
            |spec: &Value| MissingFileSize::find(jet_stream(&raw(spec)), || jet_stream(old.as_deref()?), cluster_facts);
        let patch = find(spec).map_or_else(Patch::default, MissingFileSize::patch);
        let mut object = json!({"spec": spec});
        json_patch::patch(&mut object, &patch).unwrap();
        assert!(find(&object["spec"]).is_none(), "not idempotent: {spec}");
        serde_json::to_value(&patch).unwrap()
    }

    fn size(size: &Value) -> Value {
        json!([{"op": "add", "path": "/spec/jetStream/fileStorage/size", "value": size}])
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
            (&unset, None, &none, size(&json!("1Gi"))),
            (&unset, None, &alicloud, size(&json!("20Gi"))),
            (&unset, None, &volume, size(&json!("5Gi"))),
            (&unset, None, &memory_only, size(&json!("1Gi"))),
            (&unset, Some(set(json!("2048Mi"))), &none, size(&json!("2048Mi"))),
            (&unset, Some(set(json!(1024))), &none, size(&json!(1024))),
            (&unset, Some(set(json!("5120Mi"))), &volume, size(&json!("5120Mi"))),
            (&unset, Some(set(json!("0"))), &volume, size(&json!("5Gi"))),
            (&unset, Some(set(json!("-1"))), &none, size(&json!("1Gi"))),
            (&set(json!("0")), None, &none, size(&json!("1Gi"))),
            (&set(json!("0Gi")), None, &volume, size(&json!("5Gi"))),
            (&set(json!(0)), None, &none, size(&json!("1Gi"))),
            (&set(json!(null)), None, &none, size(&json!("1Gi"))),
            (
                &json!({}),
                None,
                &none,
                json!([{"op": "add", "path": "/spec/jetStream", "value": {"fileStorage": {"size": "1Gi"}}}]),
            ),
            (
                &json!({"jetStream": null}),
                None,
                &none,
                json!([{"op": "add", "path": "/spec/jetStream", "value": {"fileStorage": {"size": "1Gi"}}}]),
            ),
            (
                &json!({"jetStream": {}}),
                None,
                &none,
                json!([{"op": "add", "path": "/spec/jetStream/fileStorage", "value": {"size": "1Gi"}}]),
            ),
            (
                &json!({"jetStream": {"fileStorage": null}}),
                Some(set(json!(1024))),
                &none,
                json!([{"op": "add", "path": "/spec/jetStream/fileStorage", "value": {"size": 1024}}]),
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
        ] {
            assert_eq!(patched(&spec, None, &ClusterFacts::default()), json!([]), "{spec}");
        }
    }
}
