//! Writer of status and events, which sends changes only.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{ApiResource, DynamicObject, Patch},
};
use nats_manager_api::{Nats, NatsStatus};
use serde_json::json;

use super::{Announcement, Reconciled, events::EventRecorder, next};
use crate::{
    controller::observe::now,
    field_manager,
    watch::{Caches, is_older},
};

/// Writer of the outcome of reconciles to the status and to events.
pub(crate) struct StatusWriter {
    client: Client,
    recorder: EventRecorder,
    caches: Arc<Caches>,
    /// Resources as our own writes returned them, by uid, since the watch cache may be older.
    written: Mutex<HashMap<String, Arc<Nats>>>,
    /// Generation of unreadable resources whose status the apiserver rejects, by uid, for which an event was published.
    rejected: Mutex<HashMap<String, Option<i64>>>,
}

impl StatusWriter {
    pub(crate) fn new(client: Client, caches: Arc<Caches>, instance: Option<String>) -> Self {
        Self {
            recorder: EventRecorder::new(client.clone(), instance),
            client,
            caches,
            written: Mutex::default(),
            rejected: Mutex::default(),
        }
    }

    /// Returns the newer of the cached resource and our last write.
    pub(crate) fn newest(&self, cached: &Nats) -> Arc<Nats> {
        let uid = cached.uid().unwrap_or_default();
        let mut all = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        match all.get(&uid) {
            Some(written) if is_older(cached, written.as_ref()) => written.clone(),
            _ => {
                all.remove(&uid);
                Arc::new(cached.clone())
            }
        }
    }

    /// Records the apiserver's response to a write of ours.
    pub(crate) fn record_write(&self, nats: Nats) -> Arc<Nats> {
        let nats = Arc::new(nats);
        let uid = nats.uid().unwrap_or_default();
        self.written.lock().unwrap_or_else(PoisonError::into_inner).insert(uid, nats.clone());
        nats
    }

    /// Removes the records of a deleted resource.
    pub(crate) fn remove(&self, uid: &str) {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
        self.rejected.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }

    /// Writes the status after `outcome`, and publishes events for its changes. Returns the resource as it was written.
    pub(crate) async fn write(&self, nats: &Arc<Nats>, outcome: &Reconciled<'_>) -> Result<Arc<Nats>, kube::Error> {
        let old = nats.status.clone().unwrap_or_default();
        let generation = nats.metadata.generation.unwrap_or_default();
        let (status, announcements) = next(&old, generation, outcome, now());
        let mut current = nats.clone();
        if status != old {
            let api: Api<Nats> = Api::namespaced(self.client.clone(), &nats.namespace().unwrap_or_default());
            self.caches.own_status_writes.record(nats, &status);
            let patch = patch(nats.metadata.uid.as_deref(), &old, &status);
            let written = match api.patch_status(&nats.name_any(), &field_manager::patch(), &patch).await {
                Err(kube::Error::Api(rejection)) if rejection.is_not_found() => return Ok(current),
                answer => answer?,
            };
            tracing::info!(from = old.state, to = status.state, url = status.url, "updated status");
            tracing::debug!(changes = %status.merge_patch(&old), "changed fields of the status");
            current = self.record_write(written);
        }
        self.announce(nats.object_ref(&()), &announcements).await;
        Ok(current)
    }

    /// Publishes events that no change of the status accompanies.
    pub(crate) async fn publish(&self, nats: &Nats, announcements: &[Announcement]) {
        self.announce(nats.object_ref(&()), announcements).await;
    }

    /// Records that a server has started. Writes nothing if that is recorded, or if the resource has no status yet:
    /// then the first status contains the record.
    pub(crate) async fn record_start(&self, nats: &Arc<Nats>, started: Option<bool>) -> Result<Arc<Nats>, kube::Error> {
        let status = nats.status.as_ref().filter(|status| !status.state.is_empty());
        match status {
            Some(status) if started == Some(true) && status.servers_started != started => {
                self.record(nats, json!({ "serversStarted": started })).await
            }
            _ => Ok(nats.clone()),
        }
    }

    /// Records the membership before it takes effect. Fails with a conflict if the resource has changed since it was
    /// read, since its spec may have changed too.
    pub(crate) async fn record_members(&self, nats: &Arc<Nats>, members: u32) -> Result<Arc<Nats>, kube::Error> {
        if nats.status.as_ref().and_then(|status| status.members) == Some(members) {
            return Ok(nats.clone());
        }
        self.record(nats, json!({ "members": members })).await
    }

    async fn record(&self, nats: &Arc<Nats>, fields: serde_json::Value) -> Result<Arc<Nats>, kube::Error> {
        let api: Api<Nats> = Api::namespaced(self.client.clone(), &nats.namespace().unwrap_or_default());
        let metadata = json!({ "uid": nats.metadata.uid, "resourceVersion": nats.metadata.resource_version });
        let patch = Patch::Merge(json!({ "metadata": metadata, "status": fields }));
        Ok(self.record_write(api.patch_status(&nats.name_any(), &field_manager::patch(), &patch).await?))
    }

    /// Writes the status as [`StatusWriter::write`] does, for a resource that cannot be parsed. Its old status is read
    /// from the apiserver.
    pub(crate) async fn write_unreadable(&self, name: &str, namespace: &str, cause: &str) -> Result<(), kube::Error> {
        let kind = ApiResource::erase::<Nats>(&());
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &kind);
        let object = api.get(name).await?;
        let old: NatsStatus =
            object.data.get("status").cloned().and_then(|value| serde_json::from_value(value).ok()).unwrap_or_default();
        let mut cause = format!("the resource cannot be read: {cause}");
        if object.metadata.deletion_timestamp.is_some() {
            cause.push_str("; its deletion waits until the spec is corrected");
        }
        let outcome = Reconciled::Failed { cause };
        let generation = object.metadata.generation.unwrap_or_default();
        let (status, announcements) = next(&old, generation, &outcome, now());
        if status != old {
            let patch = patch(object.metadata.uid.as_deref(), &old, &status);
            let written = api.patch_status(name, &field_manager::patch(), &patch).await;
            match written {
                // The apiserver validates the complete object, so an invalid spec rejects the status too. Then only
                // the event reports it, once per generation.
                Err(kube::Error::Api(rejection)) if rejection.code == 422 => {
                    if !self.is_first_rejection(&object.metadata) {
                        return Ok(());
                    }
                }
                written => {
                    written?;
                }
            }
        }
        self.announce(object.object_ref(&kind), &announcements).await;
        Ok(())
    }

    /// Returns whether the status of this generation of a resource is rejected for the first time.
    fn is_first_rejection(&self, meta: &ObjectMeta) -> bool {
        let uid = meta.uid.clone().unwrap_or_default();
        let mut rejected = self.rejected.lock().unwrap_or_else(PoisonError::into_inner);
        rejected.insert(uid, meta.generation) != Some(meta.generation)
    }

    /// Publishes events. A failure is only logged, since the status contains the same.
    async fn announce(&self, about: k8s_openapi::api::core::v1::ObjectReference, announcements: &[Announcement]) {
        for announcement in announcements {
            let Announcement { is_warning, reason, message } = announcement;
            if *is_warning {
                tracing::warn!(%reason, message, "publishing event");
            } else {
                tracing::info!(%reason, message, "publishing event");
            }
            if let Err(error) = self.recorder.publish(announcement, &about).await {
                tracing::warn!(%error, %reason, "failed to publish event");
            }
        }
    }
}

/// Returns the patch from the old status to the new one. The uid is a precondition, so that a newer resource of the
/// same name is not changed.
fn patch(uid: Option<&str>, old: &NatsStatus, status: &NatsStatus) -> Patch<serde_json::Value> {
    Patch::Merge(json!({ "metadata": { "uid": uid }, "status": status.merge_patch(old) }))
}
