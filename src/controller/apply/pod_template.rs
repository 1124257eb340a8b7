//! Requests for the Pod template of the StatefulSet that others change.

use std::{fmt::Debug, sync::Arc, time::Instant};

use kube::{Api, Resource, ResourceExt};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{
    ApplyError,
    child::{ApplyTarget, Live, name_of},
    compare, contested, drift,
    error::STATEFUL_SET,
    fields::ForeignContent,
};
use crate::watch::CachedObject;

impl ApplyTarget<'_> {
    /// Rejects a correction of the Pod template that another client has undone too often.
    pub(super) async fn check_contested<K>(
        &mut self,
        api: &Api<K>,
        live: &Value,
        desired: &Value,
        foreign: &ForeignContent,
    ) -> Result<(), ApplyError>
    where
        K: Resource + Serialize + DeserializeOwned + Clone + Debug,
    {
        let (now, name) = (Instant::now(), name_of(desired));
        let added = || foreign.pointers().pop();
        let path = added().or_else(|| compare::difference(live, desired)).unwrap_or_default();
        let field = path.replace('/', ".");
        let is_allowed = self.writes.corrections.allow(&field, now);
        if !is_allowed && !self.writes.corrections.renew(now) {
            // The watch cache has no `managedFields`.
            let object = api.get(&name).await.map_err(|cause| self.rejected(name.clone(), cause))?;
            let manager = contested::manager_of(&self.json(&object)?, &path).unwrap_or_else(|| "unknown".to_owned());
            self.writes.corrections.contest(field, manager, now);
        }
        if is_allowed { Ok(()) } else { self.contested(name).map_or(Ok(()), Err) }
    }

    /// Reports an object whose Pod template was contested until a short time ago, so that the report lasts between two
    /// corrections.
    pub(super) fn check_uncontested<K: Resource>(&self, applied: Arc<K>) -> Result<Arc<K>, ApplyError> {
        if self.kind == STATEFUL_SET {
            self.contested(applied.name_any()).map_or(Ok(applied), Err)
        } else {
            Ok(applied)
        }
    }

    fn contested(&self, name: String) -> Option<ApplyError> {
        let contested = self.writes.corrections.contested(Instant::now())?;
        let (field, manager) = (contested.field.clone(), contested.manager.clone());
        Some(ApplyError::Contested { kind: self.kind, name, field, manager })
    }

    /// Opens the partition with a request of its own, if admission has made the same Pod template of the desired one
    /// again. A write that changes the template never opens the partition: with a webhook that is removed in between, it
    /// would restart a server with a template that no plan has seen.
    pub(super) async fn open<K>(
        &mut self,
        api: &Api<K>,
        live: &Live<'_, K>,
        applied: &Arc<K>,
        complete: &Value,
        partition: i64,
        cache: &CachedObject<K>,
    ) -> Result<Arc<K>, ApplyError>
    where
        K: Resource + Serialize + DeserializeOwned + Clone + Debug,
    {
        if drift::template(&self.json(applied.as_ref())?) != drift::template(&live.json) {
            // The partition stays closed, and the plan was made from another template.
            self.corrected.push(self.kind);
            return Ok(applied.clone());
        }
        let patch = drift::open_partition(&applied.resource_version().unwrap_or_default(), partition);
        let opened = self.patch(api, applied.name_any(), patch).await?;
        self.writes.overridden.complete(self.kind, complete, &self.json(&opened)?);
        cache.written(opened.clone());
        Ok(Arc::new(opened))
    }
}
