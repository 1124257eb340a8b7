//! Events about NATS resources, written as core/v1 events with the fields of both APIs.
//!
//! Busola and kubectl read `lastTimestamp`, `count` and `source`. events.k8s.io/v1, which the recorder of kube uses,
//! rejects a new event that has them. core/v1 accepts these fields as well as those of events.k8s.io/v1, and both APIs
//! serve the same objects.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use k8s_openapi::{
    api::core::v1::{Event, EventSource, ObjectReference},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, Time},
    jiff::Timestamp,
};
use kube::{Api, Client, api::Patch};
use nats_manager_api::{Reason, naming::FIELD_MANAGER};
use serde_json::json;

use super::Announcement;
use crate::field_manager;

/// Publisher of events. Repeated events raise the count of the first one, as client-go's recorder does.
pub(super) struct EventRecorder {
    client: Client,
    /// Name of this replica.
    instance: String,
    published: Mutex<PublishedEvents>,
}

/// Latest events, the most recent one last.
#[derive(Default)]
struct PublishedEvents(VecDeque<PublishedEvent>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct PublishedEvent {
    key: EventKey,
    /// Name of the event object.
    name: String,
    count: i32,
}

/// What two events have in common that are the same to a reader.
#[derive(Clone, Debug, PartialEq, Eq)]
struct EventKey {
    /// Uid of the resource.
    about: String,
    is_warning: bool,
    reason: Reason,
    note: String,
}

/// Number of events that can be repeated. Older ones become new objects when they are published again.
const MAX_PUBLISHED: usize = 64;
/// Longest note of an event in bytes, and longest name of an object.
const MAX_NOTE_BYTES: usize = 1024;
const MAX_NAME_BYTES: usize = 253;
/// What the manager does when it publishes an event. Required with `eventTime`.
const ACTION: &str = "Reconcile";

impl EventRecorder {
    /// Builds a recorder for a replica. Without a name of the replica, it reports that of the manager.
    pub(super) fn new(client: Client, instance: Option<String>) -> Self {
        let instance = instance.unwrap_or_else(|| FIELD_MANAGER.to_owned());
        Self { client, instance, published: Mutex::default() }
    }

    /// Creates an event, or raises the count of an equal one.
    pub(super) async fn publish(&self, announcement: &Announcement, about: &ObjectReference) -> kube::Result<()> {
        let now = Timestamp::now();
        let key = EventKey::new(announcement, about);
        let api: Api<Event> = Api::namespaced(self.client.clone(), about.namespace.as_deref().unwrap_or("default"));
        let repeated = self.published().repeated(&key);
        if let Some(event) = repeated {
            let patch = Patch::Merge(json!({ "count": event.count, "lastTimestamp": Time(now) }));
            match api.patch(&event.name, &field_manager::patch(), &patch).await {
                // The apiserver deletes events, after an hour by default.
                Err(kube::Error::Api(rejection)) if rejection.is_not_found() => {}
                answer => {
                    answer?;
                    self.published().record(event);
                    return Ok(());
                }
            }
        }
        let event = key.event(about, &self.instance, now);
        let name = event.metadata.name.clone().unwrap_or_default();
        api.create(&field_manager::post(), &event).await?;
        self.published().record(PublishedEvent { key, name, count: 1 });
        Ok(())
    }

    fn published(&self) -> MutexGuard<'_, PublishedEvents> {
        self.published.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PublishedEvents {
    /// Returns the event of this key with its next count, if it was published.
    fn repeated(&self, key: &EventKey) -> Option<PublishedEvent> {
        let event = self.0.iter().find(|event| event.key == *key)?;
        Some(PublishedEvent { count: event.count.saturating_add(1), ..event.clone() })
    }

    /// Records a published event as the most recent one, and drops the oldest ones.
    fn record(&mut self, event: PublishedEvent) {
        self.0.retain(|known| known.key != event.key);
        self.0.push_back(event);
        while self.0.len() > MAX_PUBLISHED {
            self.0.pop_front();
        }
    }
}

impl EventKey {
    fn new(announcement: &Announcement, about: &ObjectReference) -> Self {
        let mut note = announcement.message.clone();
        if note.len() > MAX_NOTE_BYTES {
            note.truncate(note.floor_char_boundary(MAX_NOTE_BYTES - '…'.len_utf8()));
            note.push('…');
        }
        let about = about.uid.clone().unwrap_or_default();
        Self { about, is_warning: announcement.is_warning, reason: announcement.reason, note }
    }

    /// Builds the first event of this key.
    fn event(&self, about: &ObjectReference, instance: &str, now: Timestamp) -> Event {
        let suffix = format!(".{:x}", now.as_nanosecond());
        let mut name = about.name.clone().unwrap_or_default();
        name.truncate(name.floor_char_boundary(MAX_NAME_BYTES - suffix.len()));
        Event {
            metadata: ObjectMeta {
                name: Some(format!("{name}{suffix}")),
                namespace: about.namespace.clone(),
                ..ObjectMeta::default()
            },
            involved_object: about.clone(),
            type_: Some(if self.is_warning { "Warning" } else { "Normal" }.to_owned()),
            reason: Some(self.reason.to_string()),
            message: Some(self.note.clone()),
            source: Some(EventSource { component: Some(FIELD_MANAGER.to_owned()), host: None }),
            first_timestamp: Some(Time(now)),
            last_timestamp: Some(Time(now)),
            count: Some(1),
            event_time: Some(MicroTime(now)),
            reporting_component: Some(FIELD_MANAGER.to_owned()),
            reporting_instance: Some(instance.to_owned()),
            action: Some(ACTION.to_owned()),
            related: None,
            series: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about() -> ObjectReference {
        ObjectReference {
            name: Some("eventing-nats".to_owned()),
            namespace: Some("kyma-system".to_owned()),
            uid: Some("a".to_owned()),
            ..ObjectReference::default()
        }
    }

    fn announcement(message: &str) -> Announcement {
        Announcement { is_warning: false, reason: Reason::Deployed, message: message.to_owned() }
    }

    fn published(key: EventKey) -> PublishedEvent {
        PublishedEvent { key, name: "eventing-nats.1".to_owned(), count: 1 }
    }

    #[test]
    fn repeated_event_raises_the_count_of_the_first_one() {
        let mut events = PublishedEvents::default();
        let key = EventKey::new(&announcement("ready"), &about());
        assert_eq!(events.repeated(&key), None);
        events.record(published(key.clone()));
        for count in [2, 3] {
            let again = events.repeated(&key).unwrap();
            assert_eq!((again.name.as_str(), again.count), ("eventing-nats.1", count));
            events.record(again);
        }
        assert_eq!(events.0.len(), 1);
    }

    #[test]
    fn event_of_another_resource_type_reason_or_message_is_not_a_repetition() {
        let mut events = PublishedEvents::default();
        events.record(published(EventKey::new(&announcement("ready"), &about())));
        let other_resource = ObjectReference { uid: Some("b".to_owned()), ..about() };
        let warning = Announcement { is_warning: true, ..announcement("ready") };
        let other_reason = Announcement { reason: Reason::Deploying, ..announcement("ready") };
        for (announcement, about) in [
            (announcement("ready"), other_resource),
            (warning, about()),
            (other_reason, about()),
            (announcement("ready again"), about()),
        ] {
            assert_eq!(events.repeated(&EventKey::new(&announcement, &about)), None, "{announcement:?}");
        }
    }

    #[test]
    fn number_of_published_events_is_bounded() {
        let mut events = PublishedEvents::default();
        let key = |number: usize| EventKey::new(&announcement(&number.to_string()), &about());
        for number in 0..=MAX_PUBLISHED {
            events.record(published(key(number)));
            // A repetition keeps an event from being the oldest one.
            events.record(events.repeated(&key(0)).unwrap());
        }
        assert_eq!(events.0.len(), MAX_PUBLISHED);
        assert_eq!(events.repeated(&key(1)), None, "the oldest one is dropped");
        assert!(events.repeated(&key(0)).is_some() && events.repeated(&key(2)).is_some());
    }

    #[test]
    fn event_has_the_fields_of_both_apis() {
        let now = Timestamp::from_second(1_790_000_000).unwrap();
        let warning = Announcement { is_warning: true, ..announcement("not ready") };
        let event = EventKey::new(&warning, &about()).event(&about(), "nats-manager-abc", now);
        assert_eq!(
            serde_json::to_value(event).unwrap(),
            json!({
                "apiVersion": "v1",
                "kind": "Event",
                "metadata": {"name": "eventing-nats.18d75b8423f30000", "namespace": "kyma-system"},
                "involvedObject": {"name": "eventing-nats", "namespace": "kyma-system", "uid": "a"},
                "type": "Warning",
                "reason": "Deployed",
                "message": "not ready",
                "source": {"component": "nats-manager"},
                "firstTimestamp": "2026-09-21T14:13:20Z",
                "lastTimestamp": "2026-09-21T14:13:20Z",
                "count": 1,
                "eventTime": "2026-09-21T14:13:20.000000Z",
                "reportingComponent": "nats-manager",
                "reportingInstance": "nats-manager-abc",
                "action": "Reconcile",
            })
        );
    }

    #[test]
    fn long_notes_and_names_are_truncated() {
        let now = Timestamp::from_second(1_790_000_000).unwrap();
        let about = ObjectReference { name: Some("n".repeat(253)), ..about() };
        let event = EventKey::new(&announcement(&"ä".repeat(600)), &about).event(&about, "a", now);
        let note = event.message.unwrap();
        assert!(note.len() <= MAX_NOTE_BYTES && note.ends_with("ä…"), "{}", note.len());
        assert_eq!(event.metadata.name.unwrap().len(), MAX_NAME_BYTES);
    }
}
