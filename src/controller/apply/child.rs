//! Requests for one child: apply, and removal of foreign content.

use std::{fmt::Debug, sync::Arc, time::Instant};

use kube::{Api, Resource, ResourceExt, api::Patch};
use nats_manager_api::Reason;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    ApplyError, WriteMemory, compare, drift,
    error::STATEFUL_SET,
    fields::ForeignContent,
    immutable::{ImmutableDifference, Replacement},
};
use crate::{
    controller::{
        ownership::{Control, Owner},
        status::Announcement,
    },
    field_manager,
    watch::CachedObject,
};

/// One child to apply.
pub(super) struct ApplyTarget<'a> {
    pub(super) kind: &'static str,
    pub(super) owner: &'a Owner<'a>,
    pub(super) writes: &'a mut WriteMemory,
    pub(super) notices: &'a mut Vec<Announcement>,
    /// The StatefulSet, if others have changed its Pod template.
    pub(super) corrected: &'a mut Vec<&'static str>,
}

/// A live object, typed and as JSON.
pub(super) struct Live<'a, K> {
    pub(super) object: &'a Arc<K>,
    pub(super) json: Value,
}

impl ApplyTarget<'_> {
    /// Sends the object if it differs from the live one, and returns it as it is in the cluster.
    pub(super) async fn apply<K>(
        &mut self,
        api: &Api<K>,
        live: Option<&Arc<K>>,
        desired: &K,
        cache: &CachedObject<K>,
    ) -> Result<Arc<K>, ApplyError>
    where
        K: Resource + Serialize + DeserializeOwned + Clone + Debug,
    {
        let desired = self.json(desired)?;
        let live = match live {
            Some(object) => Some(Live { object, json: self.json(object.as_ref())? }),
            None => None,
        };
        let (kind, live_json) = (self.kind, live.as_ref().map(|live| &live.json));
        if let Some(message) = self.writes.refused.pending(kind, live_json, &desired, Instant::now()) {
            return Err(ApplyError::Pending { kind, message });
        }
        let result = self.try_apply(api, live.as_ref(), &desired, cache).await;
        match &result {
            Ok(_) => self.writes.refused.clear(kind),
            Err(error) if error.is_conflict() || error.is_kind_not_served() => {}
            Err(error) => {
                self.writes.refused.record(kind, live_json, &desired, error.to_string(), Instant::now());
            }
        }
        result
    }

    async fn try_apply<K>(
        &mut self,
        api: &Api<K>,
        live: Option<&Live<'_, K>>,
        desired: &Value,
        cache: &CachedObject<K>,
    ) -> Result<Arc<K>, ApplyError>
    where
        K: Resource + Serialize + DeserializeOwned + Clone + Debug,
    {
        let Some(live) = live else {
            let created = self.send(api, desired, cache).await?;
            return self.restore_data(api, created, cache).await;
        };
        check_controller(self.kind, self.owner, live.object.as_ref())?;
        if self.writes.deleted.0.contains_key(self.kind) {
            // The last pass has created it, and could not restore the keys of others.
            self.restore_data(api, live.object.clone(), cache).await?;
        }
        let immutable = ImmutableDifference::of(self.kind, &live.json, desired);
        let kept = immutable.keep(&live.json, desired);
        match immutable.replacement() {
            Some(Replacement::Never) => {
                Err(ApplyError::Immutable { kind: self.kind, name: live.object.name_any(), fields: immutable.fields() })
            }
            None | Some(Replacement::Orphan) => self.update(api, live, kept, cache).await,
            // Admission replaces the field again: the object stays as it is.
            Some(Replacement::Recreate) if self.writes.overridden.is_repeated(self.kind, &live.json, desired) => {
                Ok(live.object.clone())
            }
            Some(Replacement::Recreate) => {
                self.check_terminating(live.object.as_ref())?;
                // The apiserver accepts everything but the immutable fields, so the new object will be accepted too.
                let updated = self.update(api, live, kept, cache).await?;
                tracing::warn!(kind = self.kind, fields = immutable.fields(), "replacing: immutable fields differ");
                self.replace(api, updated.as_ref(), desired, cache).await
            }
        }
    }

    /// Sends the object if the live one differs, without content of others that excludes ours.
    async fn update<K>(
        &mut self,
        api: &Api<K>,
        live: &Live<'_, K>,
        mut desired: Value,
        cache: &CachedObject<K>,
    ) -> Result<Arc<K>, ApplyError>
    where
        K: Resource + Serialize + DeserializeOwned + Clone + Debug,
    {
        let foreign = ForeignContent::of(self.kind, &live.json, &desired);
        if foreign.is_empty() && compare::is_applied(&live.json, &desired) {
            return self.check_uncontested(live.object.clone());
        }
        if self.writes.overridden.is_repeated(self.kind, &live.json, &desired) {
            return Ok(live.object.clone());
        }
        let is_drift = self.kind == STATEFUL_SET && drift::has_drifted(&live.json, &desired, &foreign);
        let is_overridden = is_drift && self.writes.overridden.returned(self.kind, drift::template(&live.json));
        let complete = desired.clone();
        let opened = if is_drift { drift::keep_partition(&live.json, &mut desired) } else { None };
        if is_drift && !is_overridden {
            self.corrected.push(self.kind);
            self.check_contested(api, &live.json, &desired, &foreign).await?;
        }
        if !foreign.is_empty() {
            let patched = self.remove(api, live.object.as_ref(), &foreign, &desired).await?;
            if let Some(version) = desired.pointer_mut("/metadata/resourceVersion") {
                *version = json!(patched.resource_version());
            }
            cache.written(patched.clone());
            let json = self.json(&patched)?;
            if ForeignContent::of(self.kind, &json, &desired).is_empty() && compare::is_applied(&json, &desired) {
                return self.check_uncontested(Arc::new(patched));
            }
        }
        let applied = self.send(api, &desired, cache).await?;
        match opened.filter(|_| is_overridden) {
            Some(partition) => self.open(api, live, &applied, &complete, partition, cache).await,
            None => self.check_uncontested(applied),
        }
    }

    /// Removes content of others from exactly this version of the object.
    async fn remove<K>(
        &self,
        api: &Api<K>,
        live: &K,
        foreign: &ForeignContent,
        desired: &Value,
    ) -> Result<K, ApplyError>
    where
        K: Resource + Serialize + DeserializeOwned + Clone + Debug,
    {
        let name = live.name_any();
        tracing::info!(kind = self.kind, name, paths = ?foreign.pointers(), "removing foreign content");
        let patch = foreign.patch(&live.resource_version().unwrap_or_default(), desired);
        self.patch(api, name, patch).await
    }

    /// Sends a JSON patch (RFC 6902).
    pub(super) async fn patch<K>(&self, api: &Api<K>, name: String, patch: Value) -> Result<K, ApplyError>
    where
        K: Resource + DeserializeOwned + Clone + Debug,
    {
        let kind = self.kind;
        let patch = serde_json::from_value(patch).map_err(|cause| ApplyError::Serialize { kind, cause })?;
        let patched = api.patch(&name, &field_manager::patch(), &Patch::Json::<()>(patch)).await;
        patched.map_err(|cause| self.rejected(name, cause))
    }

    /// Sends the object with all its fields, and reports a field that came back different.
    pub(super) async fn send<K>(
        &mut self,
        api: &Api<K>,
        desired: &Value,
        cache: &CachedObject<K>,
    ) -> Result<Arc<K>, ApplyError>
    where
        K: Resource + Serialize + DeserializeOwned + Clone + Debug,
    {
        let (kind, name) = (self.kind, name_of(desired));
        tracing::info!(kind, name, "applying");
        let applied = api.patch(&name, &field_manager::apply(), &Patch::Apply(desired)).await;
        let applied = applied.map_err(|cause| self.rejected(name.clone(), cause))?;
        let returned = self.json(&applied)?;
        let sent = without_version(desired);
        let added = || ForeignContent::of(kind, &returned, &sent).pointers().pop().map(|path| path.replace('/', "."));
        let field = compare::difference(&returned, &sent).or_else(added);
        if self.writes.overridden.record(kind, desired, &returned, field.clone()) {
            let message = format!(
                "{kind} {name}: an admission webhook or policy replaces the field {}. NATS Manager applies it again only \
                 after another change",
                field.unwrap_or_default()
            );
            self.notices.push(Announcement { is_warning: true, reason: Reason::FieldOverridden, message });
        }
        cache.written(applied.clone());
        Ok(Arc::new(applied))
    }

    pub(super) fn json<K: Serialize>(&self, object: &K) -> Result<Value, ApplyError> {
        serde_json::to_value(object).map_err(|cause| ApplyError::Serialize { kind: self.kind, cause })
    }

    pub(super) fn rejected(&self, name: String, cause: kube::Error) -> ApplyError {
        ApplyError::Rejected { kind: self.kind, name, cause }
    }

    /// Rejects an object whose deletion waits for finalizers.
    pub(super) fn check_terminating<K: Resource>(&self, object: &K) -> Result<(), ApplyError> {
        if object.meta().deletion_timestamp.is_none() || object.finalizers().is_empty() {
            return Ok(());
        }
        let finalizers = object.finalizers().join(", ");
        Err(ApplyError::Terminating { kind: self.kind, name: object.name_any(), finalizers })
    }
}

/// Rejects a live object that this resource does not control.
pub(super) fn check_controller<K: Resource>(kind: &'static str, owner: &Owner<'_>, live: &K) -> Result<(), ApplyError> {
    match owner.control(live.meta()) {
        Control::Ours => Ok(()),
        Control::Earlier => Err(ApplyError::Leftover { kind, name: live.name_any() }),
        Control::Foreign(owner) => {
            Err(ApplyError::Foreign { kind, name: live.name_any(), owner: format!("{} {}", owner.kind, owner.name) })
        }
    }
}

pub(super) fn name_of(object: &Value) -> String {
    object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Returns the object without the precondition of its write, which the response never equals.
fn without_version(desired: &Value) -> Value {
    let mut sent = desired.clone();
    if let Some(metadata) = sent.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("resourceVersion");
    }
    sent
}
