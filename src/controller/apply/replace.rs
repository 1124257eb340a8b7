//! Replacement of an object whose immutable fields differ.

use std::{fmt::Debug, sync::Arc};

use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, Patch, Preconditions},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{ApplyError, child::ApplyTarget};
use crate::{field_manager, watch::CachedObject};

impl ApplyTarget<'_> {
    /// Deletes exactly this object, and creates it again. Keys of others in its data are kept.
    pub(super) async fn replace<K>(
        &mut self,
        api: &Api<K>,
        live: &K,
        desired: &Value,
        cache: &CachedObject<K>,
    ) -> Result<Arc<K>, ApplyError>
    where
        K: Resource + Serialize + DeserializeOwned + Clone + Debug,
    {
        let name = live.name_any();
        // A failure from here on must not lose its data.
        self.writes.deleted.0.insert(self.kind, self.json(live)?);
        let precondition = Preconditions { uid: live.uid(), resource_version: live.resource_version() };
        match api.delete(&name, &DeleteParams::background().preconditions(precondition)).await {
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            Err(cause) => {
                self.writes.deleted.0.remove(self.kind);
                return Err(self.rejected(name, cause));
            }
            Ok(deleted) => {
                if let Some(remaining) = deleted.left() {
                    self.check_terminating(&remaining)?;
                }
            }
        }
        let created = self.send(api, desired, cache).await?;
        self.restore_data(api, created, cache).await
    }

    /// Gives an object that was created again the keys of others that it had in its data.
    pub(super) async fn restore_data<K>(
        &mut self,
        api: &Api<K>,
        created: Arc<K>,
        cache: &CachedObject<K>,
    ) -> Result<Arc<K>, ApplyError>
    where
        K: Resource + Serialize + DeserializeOwned + Clone + Debug,
    {
        let Some(deleted) = self.writes.deleted.0.get(self.kind) else { return Ok(created) };
        let mut restored = created;
        if let Some(kept) = data_of_others(deleted, &self.json(restored.as_ref())?) {
            let name = restored.name_any();
            let patched = api.patch(&name, &field_manager::patch(), &Patch::Merge(kept)).await;
            let patched = patched.map_err(|cause| self.rejected(name, cause))?;
            cache.written(patched.clone());
            restored = Arc::new(patched);
        }
        self.writes.deleted.0.remove(self.kind);
        Ok(restored)
    }
}

/// Returns a patch with the keys in the data of `live` that `desired` does not have. `None` without such keys.
fn data_of_others(live: &Value, desired: &Value) -> Option<Value> {
    let own = desired.get("data").and_then(Value::as_object)?;
    let all = live.get("data").and_then(Value::as_object)?;
    let others: serde_json::Map<String, Value> = all
        .iter()
        .filter(|(key, _)| !own.contains_key(*key))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    (!others.is_empty()).then(|| json!({ "data": others }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_others_in_data_are_kept() {
        let data = |data: Value| json!({ "data": data });
        for (live, expected) in [
            (data(json!({"a": "1"})), None),
            (data(json!({"a": "2", "b": "3"})), Some(data(json!({"b": "3"})))),
            (json!({}), None),
        ] {
            assert_eq!(data_of_others(&live, &data(json!({"a": "1"}))), expected, "{live}");
        }
    }
}
