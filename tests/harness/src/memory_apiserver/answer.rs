//! Answers to requests, by verb.

use http::{Method, header::ACCEPT, request::Parts};
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedReceiver;

use super::{
    selection::Selection,
    store::{Key, Store, metadata_of},
    target::Target,
};

/// Answer to a request.
#[derive(Debug)]
pub(super) enum Answer {
    Object(u16, Value),
    Watch(UnboundedReceiver<Vec<u8>>),
}

impl Store {
    /// Answers a request. Admission, validation, defaults and permissions of an apiserver are left out.
    pub(super) fn answer(&mut self, head: &Parts, target: &Target, body: &[u8]) -> Answer {
        let is_partial = head
            .headers
            .get(ACCEPT)
            .is_some_and(|accept| accept.to_str().is_ok_and(|accept| accept.contains("as=PartialObjectMetadata")));
        let key =
            |name: &str| (target.collection.clone(), target.namespace.clone().unwrap_or_default(), name.to_owned());
        let sent: Value = serde_json::from_slice(body).unwrap_or_default();
        match (&head.method, target.name.as_deref()) {
            (&Method::GET, None) if target.is_watch() => Answer::Watch(self.watch(Selection::of(target), is_partial)),
            (&Method::GET, None) => Answer::Object(200, self.page(target, is_partial)),
            (&Method::GET, Some(name)) => match self.get(&key(name)) {
                Some(object) => Answer::Object(200, object.clone()),
                None => missing(name),
            },
            (&Method::POST, _) => {
                let name = sent["metadata"]["name"].as_str().unwrap_or("generated").to_owned();
                if self.get(&key(&name)).is_some() {
                    return failure(409, "AlreadyExists", &name);
                }
                Answer::Object(201, self.put(key(&name), sent))
            }
            (&Method::PUT, Some(name)) => self.replace(key(name), sent),
            (&Method::PATCH, Some(name)) => {
                let kind = head.headers.get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
                self.patch(key(name), sent, kind)
            }
            (&Method::DELETE, Some(name)) => match self.delete(&key(name)) {
                Some(object) => Answer::Object(200, object),
                None => missing(name),
            },
            _ => failure(405, "MethodNotAllowed", head.uri.path()),
        }
    }

    /// Returns a page of a list. The token of the next page is the index of its first object.
    fn page(&self, target: &Target, is_partial: bool) -> Value {
        let number = |name: &str| target.query.get(name).and_then(|text| text.parse::<usize>().ok());
        let all = self.list(&Selection::of(target));
        let begin = number("continue").unwrap_or_default().min(all.len());
        let end = number("limit").filter(|limit| *limit > 0).map_or(all.len(), |limit| all.len().min(begin + limit));
        let items = all[begin..end].iter().copied();
        let items: Vec<Value> = if is_partial { items.map(metadata_of).collect() } else { items.cloned().collect() };
        let mut metadata = json!({"resourceVersion": self.version().to_string()});
        if end < all.len() {
            metadata["continue"] = json!(end.to_string());
        }
        json!({"apiVersion": "v1", "kind": "List", "metadata": metadata, "items": items})
    }

    fn replace(&mut self, key: Key, sent: Value) -> Answer {
        let Some(stored) = self.get(&key) else { return missing(&key.2) };
        let version = &sent["metadata"]["resourceVersion"];
        if version.is_string() && *version != stored["metadata"]["resourceVersion"] {
            return failure(409, "Conflict", &key.2);
        }
        Answer::Object(200, self.put(key, sent))
    }

    /// Applies or merges. An apply owns whatever it sets: the fields of earlier applies are not removed.
    fn patch(&mut self, key: Key, sent: Value, kind: &str) -> Answer {
        match (kind, self.get(&key)) {
            ("application/apply-patch+yaml", stored) => {
                let status = if stored.is_some() { 200 } else { 201 };
                let mut object = stored.cloned().unwrap_or_else(|| json!({}));
                merge(&mut object, sent);
                Answer::Object(status, self.put(key, object))
            }
            ("application/merge-patch+json", Some(stored)) => {
                let mut object = stored.clone();
                merge(&mut object, sent);
                Answer::Object(200, self.put(key, object))
            }
            ("application/merge-patch+json", None) => missing(&key.2),
            _ => failure(415, "UnsupportedMediaType", kind),
        }
    }
}

/// Merges as RFC 7396 describes.
fn merge(object: &mut Value, patch: Value) {
    match (object, patch) {
        (Value::Object(object), Value::Object(patch)) => {
            for (name, value) in patch {
                if value.is_null() {
                    object.remove(&name);
                } else {
                    merge(object.entry(name).or_insert_with(|| json!({})), value);
                }
            }
        }
        (object, patch) => *object = patch,
    }
}

fn missing(name: &str) -> Answer {
    failure(404, "NotFound", name)
}

fn failure(code: u16, reason: &str, about: &str) -> Answer {
    let message = format!("{reason}: {about}");
    let status = json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message,
    });
    Answer::Object(code, status)
}
