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
use tokio::{sync::watch, time::sleep};

use super::*;

/// An apiserver with at most one Lease.
#[derive(Clone)]
struct Apiserver {
    state: Arc<Mutex<State>>,
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    lease: Option<Value>,
    mode: Mode,
    writes: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Mode {
    #[default]
    Healthy,
    Failing,
    Hanging,
    /// Writes are stored, and their answers are lost.
    LosesAnswers,
}

impl Apiserver {
    fn new(spec: Option<Value>) -> Self {
        let apiserver = Self { state: Arc::default(), changes: watch::Sender::new(1) };
        apiserver.store(spec);
        apiserver
    }

    fn client(&self) -> Client {
        let apiserver = self.clone();
        Client::new(tower::service_fn(move |request| respond(apiserver.clone(), request)), "default")
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn set(&self, mode: Mode) {
        self.state().mode = mode;
    }

    fn holder(&self) -> Option<String> {
        let state = self.state();
        let holder = state.lease.as_ref()?["spec"]["holderIdentity"].as_str()?;
        (!holder.is_empty()).then(|| holder.to_owned())
    }

    /// Stores a Lease with this spec, or deletes it.
    fn store(&self, spec: Option<Value>) {
        self.changes.send_modify(|version| *version += 1);
        let version = self.changes.borrow().to_string();
        let meta = json!({"name": LEASE_NAME, "namespace": "a", "uid": "u", "resourceVersion": version});
        self.state().lease = spec.map(
            |spec| json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta, "spec": spec}),
        );
    }

    fn version(&self) -> String {
        let state = self.state();
        let version = state.lease.as_ref().and_then(|lease| lease["metadata"]["resourceVersion"].as_str());
        version.unwrap_or_default().to_owned()
    }
}

fn reply(code: u16, body: &Value) -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody::from(body.to_string()));
    *response.status_mut() = StatusCode::from_u16(code).unwrap();
    response
}

fn rejection(code: u16, reason: &str) -> Response<AnswerBody> {
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": reason});
    let code_of = json!({"reason": reason, "code": code});
    let mut body = status;
    body.as_object_mut().unwrap().extend(code_of.as_object().unwrap().clone());
    reply(code, &body)
}

async fn respond(apiserver: Apiserver, request: Request<Body>) -> Result<Response<AnswerBody>, BoxError> {
    let mode = apiserver.state().mode;
    match mode {
        Mode::Healthy | Mode::LosesAnswers => {}
        Mode::Failing => return Ok(rejection(503, "ServiceUnavailable")),
        Mode::Hanging => std::future::pending().await,
    }
    let query = request.uri().query().unwrap_or_default().to_owned();
    let is_named = request.uri().path().ends_with(LEASE_NAME);
    if query.contains("watch=true") {
        let version = query.split('&').find_map(|pair| pair.strip_prefix("resourceVersion="));
        return Ok(watch_from(apiserver, version.unwrap().parse().unwrap()));
    }
    let stored = apiserver.state().lease.clone();
    match (request.method().clone(), stored) {
        (Method::GET, Some(lease)) if is_named => Ok(reply(200, &lease)),
        (Method::GET, None) if is_named => Ok(rejection(404, "NotFound")),
        (Method::GET, stored) => {
            let metadata = json!({"resourceVersion": apiserver.changes.borrow().to_string()});
            let items: Vec<Value> = stored.into_iter().collect();
            Ok(reply(200, &json!({"kind": "LeaseList", "apiVersion": "v1", "metadata": metadata, "items": items})))
        }
        (Method::PUT, Some(_)) => {
            let bytes = request.into_body().collect_bytes().await?;
            let lease: Value = serde_json::from_slice(&bytes)?;
            if lease["metadata"]["resourceVersion"] != apiserver.version() {
                return Ok(rejection(409, "Conflict"));
            }
            apiserver.store(Some(lease["spec"].clone()));
            apiserver.state().writes += 1;
            if mode == Mode::LosesAnswers {
                return Err("connection reset".into());
            }
            let stored = apiserver.state().lease.clone();
            Ok(reply(200, &stored.unwrap()))
        }
        _ => Ok(rejection(404, "NotFound")),
    }
}

fn watch_from(apiserver: Apiserver, seen: u64) -> Response<AnswerBody> {
    let changes = apiserver.changes.subscribe();
    let events = stream::unfold((apiserver, changes, seen), |(apiserver, mut changes, seen)| async move {
        let version = *changes.wait_for(|version| *version > seen).await.ok()?;
        let metadata =
            json!({"name": LEASE_NAME, "namespace": "a", "uid": "u", "resourceVersion": version.to_string()});
        let deleted = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata});
        let stored = apiserver.state().lease.clone();
        let event = stored.map_or_else(
            || json!({"type": "DELETED", "object": deleted}),
            |lease| json!({"type": "MODIFIED", "object": lease}),
        );
        Some((Ok::<_, BoxError>(format!("{event}\n")), (apiserver, changes, version)))
    });
    Response::new(AnswerBody::from_stream(events))
}

fn held_by(holder: &str, renewed: &str) -> Value {
    json!({"holderIdentity": holder, "renewTime": renewed, "acquireTime": renewed, "leaseDurationSeconds": 20})
}

fn election(apiserver: &Apiserver, name: &str) -> Election {
    Election::new(&apiserver.client(), "a", Some(name), &Metrics::new())
}

async fn leading(apiserver: &Apiserver, name: &str) -> Election {
    let mut election = election(apiserver, name);
    election.acquire().await;
    election
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn lease_of_another_is_taken_after_its_duration_whatever_its_clock_is() {
    for (case, spec, expected) in [
        ("fresh manifest", json!({}), 0..=1),
        ("released", held_by("", "2026-11-01T00:00:00.000000Z"), 0..=1),
        ("an hour behind", held_by("other", "2000-01-01T00:00:00.000000Z"), 20..=21),
        ("an hour ahead", held_by("other", "2999-01-01T00:00:00.000000Z"), 20..=21),
    ] {
        let apiserver = Apiserver::new(Some(spec));
        let start = Instant::now();
        let election = leading(&apiserver, "a").await;
        assert!(expected.contains(&start.elapsed().as_secs()), "{case}: {:?}", start.elapsed());
        assert_eq!(apiserver.holder().as_deref(), Some(election.candidate.identity()), "{case}");
    }
}

#[tokio::test(start_paused = true)]
async fn lease_is_kept_with_one_write_per_interval() {
    let apiserver = Apiserver::new(Some(json!({})));
    let mut election = leading(&apiserver, "a").await;
    let before = apiserver.state().writes;
    tokio::select! {
        lost = election.lost() => panic!("{lost}"),
        () = sleep(Duration::from_secs(80)) => {}
    }
    let writes = apiserver.state().writes - before;
    assert!((12..=13).contains(&writes), "{writes}");
}

#[tokio::test(start_paused = true)]
async fn leadership_ends_before_others_can_take_a_lease_that_is_not_renewed() {
    for mode in [Mode::Failing, Mode::Hanging] {
        let apiserver = Apiserver::new(Some(json!({})));
        let mut election = leading(&apiserver, "a").await;
        let start = Instant::now();
        apiserver.set(mode);
        assert_eq!(election.lost().await, Lost::NotRenewed);
        assert_eq!(start.elapsed().as_secs(), 17);
        // It competes again.
        apiserver.set(Mode::Healthy);
        election.acquire().await;
        assert!(election.candidate.leads(Instant::now()));
    }
}

#[tokio::test(start_paused = true)]
async fn lost_answer_to_a_renewal_keeps_leadership() {
    let apiserver = Apiserver::new(Some(json!({})));
    let mut election = leading(&apiserver, "a").await;
    apiserver.set(Mode::LosesAnswers);
    tokio::select! {
        lost = election.lost() => panic!("{lost}"),
        () = sleep(9 * SECOND) => {}
    }
    apiserver.set(Mode::Healthy);
    tokio::select! {
        lost = election.lost() => panic!("{lost}"),
        () = sleep(30 * SECOND) => {}
    }
    assert_eq!(apiserver.holder().as_deref(), Some(election.candidate.identity()));
}

#[tokio::test(start_paused = true)]
async fn change_of_the_holder_ends_leadership_at_once() {
    for (spec, expected) in [
        (Some(held_by("other", "2026-11-01T00:00:00.000000Z")), Lost::Taken),
        (Some(held_by("", "2026-11-01T00:00:00.000000Z")), Lost::Taken),
        (None, Lost::Deleted),
    ] {
        let apiserver = Apiserver::new(Some(json!({})));
        let mut election = leading(&apiserver, "a").await;
        let start = Instant::now();
        let (lost, ()) = tokio::join!(election.lost(), async {
            sleep(SECOND).await;
            apiserver.store(spec.clone());
        });
        assert_eq!(lost, expected);
        assert!(start.elapsed() < 2 * SECOND, "{spec:?}: {:?}", start.elapsed());
        // What others have is not released.
        election.release().await;
        assert_eq!(apiserver.holder(), spec.and_then(|_| apiserver.holder()));
    }
}

#[tokio::test(start_paused = true)]
async fn one_of_two_candidates_leads_and_the_other_follows_after_a_release() {
    let apiserver = Apiserver::new(Some(json!({})));
    let (mut first, mut second) = (election(&apiserver, "a"), election(&apiserver, "b"));
    let is_first = tokio::select! {
        () = first.acquire() => true,
        () = second.acquire() => false,
    };
    let (mut leader, mut follower) = if is_first { (first, second) } else { (second, first) };
    let follows = async {
        follower.acquire().await;
        Instant::now()
    };
    let mut follows = pin!(follows);
    tokio::select! {
        lost = leader.lost() => panic!("{lost}"),
        _ = &mut follows => panic!("two leaders"),
        () = sleep(Duration::from_mins(5)) => {}
    }
    let start = Instant::now();
    leader.release().await;
    let took_over = follows.await;
    assert!(took_over - start < SECOND, "{:?}", took_over - start);
}

#[tokio::test(start_paused = true)]
async fn follower_takes_over_after_the_duration_when_the_leader_stops_renewing() {
    let apiserver = Apiserver::new(Some(json!({})));
    let leader = leading(&apiserver, "a").await;
    let start = Instant::now();
    drop(leader);
    let _follower = leading(&apiserver, "b").await;
    assert!((20..=22).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn lease_that_is_missing_is_taken_when_it_is_restored() {
    let apiserver = Apiserver::new(None);
    let mut election = election(&apiserver, "a");
    let metrics = election.metrics.clone();
    let is_missing = |value: &str| metrics.encode().unwrap().contains(&format!("nats_manager_lease_missing {value}\n"));
    let restored = async {
        // Between two reads: the watch shows it.
        sleep(Duration::from_secs(63)).await;
        assert!(is_missing("1"));
        assert!(apiserver.holder().is_none());
        apiserver.store(Some(json!({})));
        Instant::now()
    };
    let (restored, ()) = tokio::join!(restored, election.acquire());
    // The leader of a deleted Lease has that long to find out.
    assert!((20..=31).contains(&(Instant::now() - restored).as_secs()));
    assert_eq!(apiserver.state().writes, 1);
    assert!(is_missing("0"));
}

#[tokio::test(start_paused = true)]
async fn release_after_a_lost_answer_reads_the_lease_again() {
    let apiserver = Apiserver::new(Some(json!({})));
    let mut election = leading(&apiserver, "a").await;
    let mut spec = held_by(election.candidate.identity(), "2026-11-01T00:00:00.000000Z");
    spec["leaseTransitions"] = json!(1);
    // As after a renewal whose answer was lost: the known version is not the stored one.
    apiserver.store(Some(spec));
    election.release().await;
    assert_eq!(apiserver.holder(), None);
}

#[test]
fn identities_differ_for_each_process_and_fit() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let _guard = runtime.enter();
    let apiserver = Apiserver::new(None);
    let (one, two) = (election(&apiserver, "pod"), election(&apiserver, "pod"));
    assert_ne!(one.candidate.identity(), two.candidate.identity());
    assert!(one.candidate.identity().starts_with("pod_"));
}
