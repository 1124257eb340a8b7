//! Writes status and events, each only when there is news.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex, PoisonError},
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{ApiResource, DynamicObject, Patch, PatchParams},
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use nats_manager_api::{Nats, NatsStatus, naming::FIELD_MANAGER};
use serde_json::json;

use super::{Announcement, Reconciled, next};
use crate::{
    controller::observe::now,
    watch::{Caches, is_older},
};

/// Tells users what came of a reconcile.
pub(crate) struct StatusWriter {
    client: Client,
    recorder: Recorder,
    caches: Arc<Caches>,
    /// Resources as our own writes left them, by uid: the watch may not have caught up yet.
    written: Mutex<HashMap<String, Arc<Nats>>>,
    /// Unreadable resources whose status the apiserver refuses, by uid: the generation that was
    /// announced.
    refused: Mutex<HashMap<String, Option<i64>>>,
}

/// The longest note of an event, in bytes (`events.k8s.io/v1`).
const LONGEST_NOTE: usize = 1024;

impl StatusWriter {
    pub(crate) fn new(client: Client, caches: Arc<Caches>, instance: Option<String>) -> Self {
        let reporter = Reporter { controller: FIELD_MANAGER.to_owned(), instance };
        Self {
            recorder: Recorder::new(client.clone(), reporter),
            client,
            caches,
            written: Mutex::default(),
            refused: Mutex::default(),
        }
    }

    /// The newer of what the watch shows and what we wrote.
    pub(crate) fn freshest(&self, cached: &Nats) -> Arc<Nats> {
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

    /// The apiserver answered a write of ours with this.
    pub(crate) fn wrote(&self, nats: Nats) -> Arc<Nats> {
        let nats = Arc::new(nats);
        let uid = nats.uid().unwrap_or_default();
        self.written.lock().unwrap_or_else(PoisonError::into_inner).insert(uid, nats.clone());
        nats
    }

    /// A resource is gone.
    pub(crate) fn forget(&self, uid: &str) {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }

    /// Writes the status after `outcome`, and announces what is new in it.
    pub(crate) async fn write(&self, nats: &Arc<Nats>, outcome: &Reconciled<'_>) -> Result<Arc<Nats>, kube::Error> {
        let old = nats.status.clone().unwrap_or_default();
        let generation = nats.metadata.generation.unwrap_or_default();
        let (status, announcements) = next(&old, generation, outcome, now());
        let mut current = nats.clone();
        if status != old {
            let api: Api<Nats> = Api::namespaced(self.client.clone(), &nats.namespace().unwrap_or_default());
            self.caches.own_status_writes.record(nats, &status);
            let patch = patch(nats.metadata.uid.as_deref(), &old, &status);
            let written = match api.patch_status(&nats.name_any(), &parameters(), &patch).await {
                Err(kube::Error::Api(refusal)) if refusal.is_not_found() => return Ok(current),
                answer => answer?,
            };
            tracing::info!(from = old.state, to = status.state, url = status.url, "status");
            current = self.wrote(written);
        }
        self.announce(nats.object_ref(&()), &announcements).await;
        Ok(current)
    }

    /// Records that a server has started, or that none has, before anything else is done. Nothing is written where that
    /// is recorded already, or where it is the first that is ever written: then it is part of the first status.
    pub(crate) async fn record_start(&self, nats: &Arc<Nats>, started: Option<bool>) -> Result<Arc<Nats>, kube::Error> {
        let status = nats.status.as_ref().filter(|status| !status.state.is_empty());
        match status {
            Some(status) if started == Some(true) && status.servers_started != started => {
                self.record(nats, json!({ "serversStarted": started })).await
            }
            _ => Ok(nats.clone()),
        }
    }

    /// Records the membership before it takes effect. Fails with a conflict where the resource has changed since it was
    /// read: its spec may ask for something else by now.
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
        Ok(self.wrote(api.patch_status(&nats.name_any(), &parameters(), &patch).await?))
    }

    /// As [`StatusWriter::status`], for a resource that cannot be read: its status is read on its own.
    pub(crate) async fn unreadable(&self, name: &str, namespace: &str, cause: &str) -> Result<(), kube::Error> {
        let kind = ApiResource::erase::<Nats>(&());
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &kind);
        let object = api.get(name).await?;
        let old: NatsStatus =
            object.data.get("status").cloned().and_then(|value| serde_json::from_value(value).ok()).unwrap_or_default();
        let mut cause = format!("the resource cannot be read: {cause}");
        if object.metadata.deletion_timestamp.is_some() {
            cause.push_str("; its deletion waits until that is mended");
        }
        let outcome = Reconciled::Failed { stateful_set: false, cause };
        let generation = object.metadata.generation.unwrap_or_default();
        let (status, announcements) = next(&old, generation, &outcome, now());
        if status != old {
            let patch = patch(object.metadata.uid.as_deref(), &old, &status);
            let written = api.patch_status(name, &parameters(), &patch).await;
            match written {
                // The apiserver checks the whole object, so the fault in the spec keeps the status
                // out too. Then the event says it, once.
                Err(kube::Error::Api(refusal)) if refusal.code == 422 => {
                    if !self.is_first_refusal(&object.metadata) {
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

    /// Whether the status of this generation of a resource is refused for the first time.
    fn is_first_refusal(&self, meta: &ObjectMeta) -> bool {
        let uid = meta.uid.clone().unwrap_or_default();
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.insert(uid, meta.generation) != Some(meta.generation)
    }

    /// An event that cannot be written is no reason to fail: the status says the same.
    async fn announce(&self, about: k8s_openapi::api::core::v1::ObjectReference, announcements: &[Announcement]) {
        for announcement in announcements {
            let Announcement { warning, reason, message } = announcement;
            if *warning {
                tracing::warn!(%reason, message, "announcing");
            } else {
                tracing::info!(%reason, message, "announcing");
            }
            if let Err(error) = self.recorder.publish(&event(announcement), &about).await {
                tracing::warn!(%error, %reason, "cannot write the event");
            }
        }
    }
}

fn parameters() -> PatchParams {
    PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() }
}

/// With the uid a resource that was made anew under the same name is left alone.
fn patch(uid: Option<&str>, old: &NatsStatus, status: &NatsStatus) -> Patch<serde_json::Value> {
    Patch::Merge(json!({ "metadata": { "uid": uid }, "status": status.merge_patch(old) }))
}

fn event(announcement: &Announcement) -> Event {
    let Announcement { warning, reason, message } = announcement;
    let mut note = message.clone();
    if note.len() > LONGEST_NOTE {
        note.truncate(note.floor_char_boundary(LONGEST_NOTE - '…'.len_utf8()));
        note.push('…');
    }
    // The recorder folds events of one reason and action into a series with the first one's note,
    // so another message needs another action.
    let mut hash = DefaultHasher::new();
    message.hash(&mut hash);
    Event {
        type_: if *warning { EventType::Warning } else { EventType::Normal },
        reason: reason.to_string(),
        note: Some(note),
        action: format!("Reconcile-{:08x}", hash.finish() & 0xffff_ffff),
        secondary: None,
    }
}
