//! Apiserver stand-in that keeps objects in memory and answers at once.
//!
//! It has what the manager's client uses: get, lists in pages, watches, create, replace, apply and merge patches, with
//! selectors and `resourceVersion` preconditions. It has no admission, no validation, no defaults and no controllers, and
//! every client may do everything. Use it to count and to measure. Use [`LocalCluster`](crate::LocalCluster) for
//! everything that Kubernetes has an opinion on.
#![allow(clippy::missing_panics_doc, reason = "a poisoned lock is a test that has failed already")]

mod answer;
mod selection;
mod serve;
mod servers;
mod store;
mod target;

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use http::{Request, Response, request::Parts};
use http_body_util::{BodyExt, Either, Full, StreamBody};
use hyper::body::{Body, Bytes, Frame};
use kube::Client;
use serde_json::{Value, json};
use tokio::sync::watch;

use self::{answer::Answer, store::Store, target::Target};

pub use serve::ServedApiserver;
pub use servers::{NATS, PODS, STATEFUL_SETS};

use crate::installation::NAMESPACE;

/// Request that the stand-in has received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedRequest {
    /// Verb of the Kubernetes API, such as `list` or `watch`.
    pub verb: &'static str,
    /// Plural of the resource.
    pub resource: String,
    /// Name of the object, or the selector of a list or a watch; empty for all objects.
    pub selected: String,
    /// Time of arrival.
    pub at: Instant,
}

/// Apiserver stand-in. Clones share the objects.
#[derive(Clone, Debug, Default)]
pub struct MemoryApiserver {
    store: Arc<Mutex<Store>>,
    received: Arc<Mutex<Vec<ReceivedRequest>>>,
    /// Times at which connections were accepted.
    accepted: Arc<Mutex<Vec<Instant>>>,
    /// Number of requests that have to arrive before any is answered.
    held: watch::Sender<usize>,
}

type AnswerBody = Either<Full<Bytes>, StreamBody<BoxStream<'static, Result<Frame<Bytes>, Infallible>>>>;

impl MemoryApiserver {
    /// Returns a stand-in with the objects of the installation that the manager reads or writes: its Lease, and the
    /// ClusterRole that owns the webhook configurations.
    pub fn with_installation() -> Self {
        let stand_in = Self::default();
        let metadata = json!({"namespace": NAMESPACE, "name": "nats-manager"});
        stand_in.put("apis/coordination.k8s.io/v1/leases", json!({"metadata": metadata, "spec": {}}));
        let metadata = json!({"name": "nats-manager-webhook"});
        stand_in.put("apis/rbac.authorization.k8s.io/v1/clusterroles", json!({"metadata": metadata}));
        stand_in
    }

    /// Stores an object. `collection` is the path of its group, version and plural, such as `apis/apps/v1/statefulsets`.
    /// The fields that an apiserver sets are set. Returns the object as it is stored.
    pub fn put(&self, collection: &str, object: Value) -> Value {
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
        let key = (collection.to_owned(), text("namespace"), text("name"));
        self.store().put(key, object)
    }

    /// Returns an object.
    pub fn get(&self, collection: &str, namespace: &str, name: &str) -> Option<Value> {
        self.store().get(&(collection.to_owned(), namespace.to_owned(), name.to_owned())).cloned()
    }

    /// Deletes an object, whatever its finalizers are.
    pub fn delete(&self, collection: &str, namespace: &str, name: &str) {
        self.store().delete(&(collection.to_owned(), namespace.to_owned(), name.to_owned()));
    }

    /// Returns all requests so far, in the order of their arrival.
    pub fn received(&self) -> Vec<ReceivedRequest> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the times at which the connections so far were accepted.
    pub fn accepted(&self) -> Vec<Instant> {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Drops the requests and connections so far.
    pub fn clear_received(&self) {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Holds all answers until `count` more requests have arrived. A client that waits for an answer before it sends the
    /// last of them never gets one.
    pub fn hold_until(&self, count: usize) {
        self.held.send_replace(count);
    }

    /// Returns a client of this process that needs no connection.
    pub fn client(&self) -> Client {
        let stand_in = self.clone();
        let service = tower::service_fn(move |request: Request<kube::client::Body>| {
            let stand_in = stand_in.clone();
            async move { stand_in.handle(request).await }
        });
        Client::new(service, "default")
    }

    async fn handle<B: Body<Data = Bytes>>(&self, request: Request<B>) -> Result<Response<AnswerBody>, B::Error> {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let Some(target) = Target::parse(&head.uri) else {
            return Ok(response(404, Either::Left(Full::from("not found"))));
        };
        self.record(&head, &target);
        // The sender is ours, so this cannot fail.
        let _ = self.held.subscribe().wait_for(|held| *held == 0).await;
        let answer = self.store().answer(&head, &target, &body);
        Ok(match answer {
            Answer::Object(status, object) => response(status, Either::Left(Full::from(object.to_string()))),
            Answer::Watch(events) => {
                let events = stream::unfold(events, |mut events| async { Some((events.recv().await?, events)) });
                let frames = events.map(|line| Ok(Frame::data(Bytes::from(line))));
                response(200, Either::Right(StreamBody::new(frames.boxed())))
            }
        })
    }

    fn record(&self, head: &Parts, target: &Target) {
        let verb = match (head.method.as_str(), &target.name) {
            ("GET", Some(_)) => "get",
            ("GET", None) if target.is_watch() => "watch",
            ("GET", None) => "list",
            ("POST", _) => "create",
            ("PUT", _) => "update",
            ("PATCH", _) => "patch",
            _ => "delete",
        };
        let selectors = ["labelSelector", "fieldSelector"].iter().filter_map(|name| target.query.get(*name));
        let selected = target.name.iter().chain(selectors).map(String::as_str).collect::<Vec<_>>().join(" ");
        let request = ReceivedRequest { verb, resource: target.plural.clone(), selected, at: Instant::now() };
        self.received.lock().unwrap_or_else(PoisonError::into_inner).push(request);
        self.held.send_if_modified(|held| {
            *held = held.saturating_sub(1);
            *held == 0
        });
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn response(status: u16, body: AnswerBody) -> Response<AnswerBody> {
    let mut response = Response::new(body);
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}
