use std::{
    pin::pin,
    sync::{Arc, Mutex, MutexGuard},
};

use axum::{
    BoxError,
    body::Body as AnswerBody,
    http::{Method, Request, Response, StatusCode},
};
use futures::stream;
use kube::client::Body;
use serde_json::{Value, json};

use super::*;

/// Fake apiserver with one Lease.
#[derive(Clone)]
struct Apiserver {
    state: Arc<Mutex<State>>,
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    lease: Option<Value>,
    /// Field manager that applied the holder.
    owner: Option<String>,
    mode: Mode,
    writes: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Mode {
    #[default]
    Healthy,
    Failing,
    Hanging,
}

impl Apiserver {
    fn with(spec: Option<&Value>) -> Self {
        let lease = spec.map(lease);
        let state = State { lease, owner: Some("other-manager".into()), ..State::default() };
        Self { state: Arc::new(Mutex::new(state)), changes: watch::Sender::new(1) }
    }

    fn client(&self) -> Client {
        let apiserver = self.clone();
        Client::new(tower::service_fn(move |request| answer(apiserver.clone(), request)), "default")
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn set(&self, mode: Mode) {
        self.state().mode = mode;
    }

    fn holder(&self) -> Option<String> {
        let state = self.state();
        state.lease.as_ref()?["spec"]["holderIdentity"].as_str().map(str::to_owned)
    }

    fn change(&self, lease: Option<Value>) {
        self.state().lease = lease;
        self.changes.send_modify(|version| *version += 1);
    }
}

fn lease(spec: &Value) -> Value {
    let metadata = json!({"name": LEASE_NAME, "namespace": "a", "resourceVersion": "1"});
    json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec})
}

fn reply(status: u16, body: impl Into<AnswerBody>) -> Response<AnswerBody> {
    let mut response = Response::new(body.into());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

fn refusal(code: u16, reason: &str) -> Response<AnswerBody> {
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": reason, "reason": reason, "code": code});
    reply(code, status.to_string())
}

async fn answer(apiserver: Apiserver, request: Request<Body>) -> Result<Response<AnswerBody>, BoxError> {
    let mode = apiserver.state().mode;
    match mode {
        Mode::Healthy => {}
        Mode::Failing => return Ok(refusal(503, "ServiceUnavailable")),
        Mode::Hanging => std::future::pending().await,
    }
    let query = request.uri().query().unwrap_or_default().to_owned();
    let is_named = request.uri().path().ends_with(LEASE_NAME);
    if query.contains("watch=true") {
        let version = query.split('&').find_map(|pair| pair.strip_prefix("resourceVersion="));
        let seen: u64 = version.unwrap().parse().unwrap();
        let changes = apiserver.changes.subscribe();
        let events = stream::unfold((apiserver, changes, seen), |(apiserver, mut changes, seen)| async move {
            let version = *changes.wait_for(|version| *version > seen).await.ok()?;
            let event = match &apiserver.state().lease {
                Some(lease) => json!({"type": "MODIFIED", "object": lease}),
                None => json!({"type": "DELETED", "object": lease(&json!({}))}),
            };
            Some((Ok::<_, BoxError>(format!("{event}\n")), (apiserver, changes, version)))
        });
        return Ok(reply(200, AnswerBody::from_stream(events)));
    }
    let found = apiserver.state().lease.clone();
    match (request.method().clone(), found) {
        (Method::GET, Some(lease)) if is_named => Ok(reply(200, lease.to_string())),
        (Method::GET, None) if is_named => Ok(refusal(404, "NotFound")),
        (Method::GET, found) => {
            let items: Vec<Value> = found.into_iter().collect();
            let metadata = json!({"resourceVersion": apiserver.changes.borrow().to_string()});
            let list = json!({"kind": "LeaseList", "apiVersion": "v1", "metadata": metadata, "items": items});
            Ok(reply(200, list.to_string()))
        }
        (Method::POST, _) => {
            apiserver.change(Some(lease(&json!({}))));
            Ok(reply(201, lease(&json!({})).to_string()))
        }
        (Method::PATCH, Some(mut found)) => {
            let is_apply = request.headers()["content-type"] == "application/apply-patch+yaml";
            let manager = query.split('&').find_map(|pair| pair.strip_prefix("fieldManager=")).map(str::to_owned);
            let bytes = request.into_body().collect_bytes().await?;
            let patch: Value = serde_json::from_slice(&bytes)?;
            {
                let mut state = apiserver.state();
                if is_apply && found["spec"]["holderIdentity"].is_string() && state.owner != manager {
                    return Ok(refusal(409, "Conflict"));
                }
                state.owner = manager;
                state.writes += 1;
            }
            for (key, value) in patch["spec"].as_object().unwrap() {
                found["spec"][key] = value.clone();
            }
            apiserver.change(Some(found.clone()));
            Ok(reply(200, found.to_string()))
        }
        _ => Ok(refusal(404, "NotFound")),
    }
}

fn held_by(holder: &str, renewed: &str) -> Value {
    json!({"holderIdentity": holder, "renewTime": renewed, "acquireTime": renewed, "leaseDurationSeconds": 20})
}

async fn lead(apiserver: &Apiserver, name: &str) -> (Leadership, Election) {
    let election = Election::new("a", Some(name));
    let client = apiserver.client();
    let leadership = Leadership::acquire(&client, Some(&election));
    (timeout(Duration::from_mins(2), leadership).await.unwrap(), election)
}

#[tokio::test(start_paused = true)]
async fn free_lease_is_taken() {
    let cases = [
        ("missing", None),
        ("empty", Some(json!({}))),
        ("null", Some(Value::Null)),
        ("released", Some(json!({"leaseTransitions": 4}))),
        ("expired", Some(held_by("other", "2020-01-01T00:00:00.000000Z"))),
    ];
    for (case, spec) in cases {
        let apiserver = Apiserver::with(spec.as_ref());
        let (_leadership, election) = lead(&apiserver, "pod-1").await;
        assert_eq!(apiserver.holder().as_deref(), Some(election.identity.as_str()), "{case}");
    }
}

#[tokio::test(start_paused = true)]
async fn lease_is_renewed_every_ten_seconds() {
    let apiserver = Apiserver::with(Some(&json!({})));
    let (mut leadership, _) = lead(&apiserver, "pod-1").await;
    let before = apiserver.state().writes;
    assert!(timeout(Duration::from_secs(305), leadership.lost()).await.is_err());
    let renewals = apiserver.state().writes - before;
    assert!((28..=32).contains(&renewals), "{renewals}");
}

#[tokio::test(start_paused = true)]
async fn leadership_ends_before_unrenewed_lease_expires() {
    for mode in [Mode::Failing, Mode::Hanging] {
        let apiserver = Apiserver::with(Some(&json!({})));
        let (mut leadership, _) = lead(&apiserver, "pod-1").await;
        apiserver.set(mode);
        let start = Instant::now();
        assert_eq!(leadership.lost().await, Lost::NotRenewed);
        assert!(start.elapsed() <= VALIDITY + Duration::from_secs(1), "{:?}", start.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn change_of_holder_ends_leadership_at_once() {
    let now = jiff::Timestamp::now().to_string();
    for other in [Some(lease(&held_by("other", &now))), Some(lease(&json!({}))), None] {
        let apiserver = Apiserver::with(Some(&json!({})));
        let (mut leadership, _) = lead(&apiserver, "pod-1").await;
        // The watch has to deliver this holder first.
        assert!(timeout(Duration::from_secs(1), leadership.lost()).await.is_err());
        apiserver.change(other.clone());
        let start = Instant::now();
        assert_eq!(leadership.lost().await, Lost::Taken);
        assert!(start.elapsed() < Duration::from_secs(1));
        assert_eq!(leadership.lost().await, Lost::Taken);
        // The release does not change the lease of another holder.
        leadership.release().await;
        assert_eq!(apiserver.state().lease, other);
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_replica_takes_over_released_lease_at_once() {
    let apiserver = Apiserver::with(Some(&json!({})));
    let (leadership, first) = lead(&apiserver, "pod-1").await;
    let second = Election::new("a", Some("pod-2"));
    let client = apiserver.client();
    let mut waiting = pin!(Leadership::acquire(&client, Some(&second)));
    assert!(timeout(Duration::from_secs(5), &mut waiting).await.is_err());
    assert_eq!(apiserver.holder().as_deref(), Some(first.identity.as_str()));
    leadership.release().await;
    assert_eq!(apiserver.holder(), None);
    let start = Instant::now();
    waiting.await;
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    assert_eq!(apiserver.holder().as_deref(), Some(second.identity.as_str()));
}

#[tokio::test(start_paused = true)]
async fn acquire_waits_for_failing_apiserver() {
    let apiserver = Apiserver::with(Some(&json!({})));
    apiserver.set(Mode::Failing);
    let waiting = lead(&apiserver, "pod-1");
    let coming = async {
        sleep(Duration::from_secs(90)).await;
        apiserver.set(Mode::Healthy);
    };
    let ((_, election), ()) = tokio::join!(waiting, coming);
    assert_eq!(apiserver.holder().as_deref(), Some(election.identity.as_str()));
}

#[tokio::test(start_paused = true)]
async fn leadership_without_election_is_immediate_and_permanent() {
    let apiserver = Apiserver::with(None);
    let mut leadership = Leadership::acquire(&apiserver.client(), None).await;
    assert!(timeout(Duration::from_hours(1), leadership.lost()).await.is_err());
    leadership.release().await;
    assert_eq!(apiserver.state().writes, 0);
}

#[test]
fn identity_is_unique_and_fits_field_manager() {
    let one = Election::new("a", Some("pod-1"));
    assert!(one.identity.starts_with("pod-1_"));
    assert_ne!(one.identity, Election::new("a", Some("pod-1")).identity);
    let long = "a".repeat(300);
    assert!(format!("nats-manager-{}", Election::new("a", Some(&long)).identity).len() <= 128);
    assert!(Election::new("a", None).identity.starts_with("nats-manager_"));
}
