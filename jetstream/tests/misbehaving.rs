//! Polls of misbehaving servers: each has a cause within the time limit.
#![allow(clippy::unwrap_used)]

mod loopback;

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use loopback::{
    Behaviour::{Answer, Drip, Endless, Hangup, NoHttp, NoResponse, Truncated},
    JSZ, Server, VARZ, ok,
};
use nats_manager_harness::free_address;
use nats_manager_jetstream::{MonitoringEndpoint, PollLimits, Poller, config_digests};
use nats_manager_planner::{
    Time, Version,
    snapshot::{Healthz, ServerSnapshot, Unreachable},
};
use tokio::net::{TcpSocket, TcpStream};

const LIMIT: Duration = Duration::from_millis(300);
/// Time for three requests, and delays of a busy machine.
const PATIENCE: Duration = Duration::from_secs(3);

async fn poll(address: SocketAddr) -> Result<ServerSnapshot, String> {
    poll_within(LIMIT, target(address)).await
}

fn target(address: SocketAddr) -> MonitoringEndpoint {
    MonitoringEndpoint { name: "n-0".to_owned(), address, stopping: false }
}

async fn poll_within(limit: Duration, target: MonitoringEndpoint) -> Result<ServerSnapshot, String> {
    let poller = Poller::with_limits(PollLimits { request: limit });
    let begun = Instant::now();
    let snapshot = poller.poll(&[target], Time::from_millis(7)).await;
    assert!(begun.elapsed() < limit + PATIENCE, "{:?}", begun.elapsed());
    assert_eq!(snapshot.taken_at, Time::from_millis(7));
    snapshot.servers["n-0"].clone().map_err(|Unreachable(cause)| cause)
}

#[tokio::test]
async fn unusable_jsz_makes_a_server_unreachable_with_the_cause() {
    let many = r#"{"name": "c", "config": {"durable": "c"}}, "#;
    for (cause, jsz) in [
        (
            "connection to the monitoring port failed: error reading a body from connection: end of file before message \
             length reached",
            Truncated,
        ),
        ("connection to the monitoring port failed: connection closed before message completed", Hangup),
        ("connection to the monitoring port failed: invalid HTTP version parsed", NoHttp),
        ("no answer within 0.3 s", NoResponse),
        ("no complete answer within 0.3 s", Drip),
        (
            "no usable answer: HTTP status 500 Internal Server Error",
            Answer("500 Internal Server Error", JSZ.to_owned()),
        ),
        ("no usable answer: HTTP status 302 Found", Answer("302 Found", JSZ.to_owned())),
        ("no usable answer: EOF while parsing an object", ok(r#"{"server_id": "NA""#)),
        ("no usable answer: invalid type: boolean `true`, expected a string", ok(r#"{"server_id": true}"#)),
        ("no usable answer: it counts streams and lists none", ok(r#"{"server_id": "NA", "streams": 3, "total": 0}"#)),
        (
            "no complete answer within 0.3 s",
            Endless(r#"{"account_details": [{"stream_detail": [{"consumer_detail": ["#, many),
        ),
    ] {
        let address = Server { jsz: jsz.clone(), ..Server::default() }.start().await;
        assert_eq!(poll(address).await.unwrap_err(), cause, "{jsz:?}");
    }
}

#[tokio::test]
async fn endless_element_is_rejected_at_its_longest_length() {
    for jsz in [Endless("{\"server_id\": \"", "x"), Endless(" ", " "), Endless("{\"a\": ", "[")] {
        let address = Server { jsz: jsz.clone(), ..Server::default() }.start().await;
        let cause = poll_within(Duration::from_mins(1), target(address)).await.unwrap_err();
        assert_eq!(cause, "no usable answer: an element is longer than 4194304 bytes", "{jsz:?}");
    }
}

#[tokio::test]
async fn refused_and_half_open_connections_are_distinguished() {
    let closed = free_address().unwrap();
    let cause = poll(closed).await.unwrap_err();
    assert!(cause.starts_with("cannot connect to the monitoring port: Connection refused"), "{cause}");

    // The kernel drops further connections once the backlog of a listener is full.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let _backlog = [TcpStream::connect(address).await.unwrap()];
    assert_eq!(poll(address).await.unwrap_err(), "no connection to the monitoring port within 0.3 s");
}

#[tokio::test]
async fn answer_of_another_server_is_not_used() {
    let varz = |id: &str, name: &str| ok(&VARZ.replace("NA", id).replace("n-0", name));
    for (cause, varz) in [
        ("no usable answer: it comes from a server with the name other-0", varz("NA", "other-0")),
        ("the server restarted during the poll", varz("NB", "n-0")),
    ] {
        let address = Server { varz, ..Server::default() }.start().await;
        assert_eq!(poll(address).await.unwrap_err(), cause);
    }
}

#[tokio::test]
async fn unusable_varz_leaves_the_version_unknown() {
    for varz in [NoResponse, Hangup, ok("{}"), ok("no JSON"), Answer("500 Internal Server Error", String::new())] {
        let address = Server { varz: varz.clone(), ..Server::default() }.start().await;
        let server = poll(address).await.unwrap();
        assert_eq!((server.version, server.healthz), (None, Healthz::Ok), "{varz:?}");
    }
}

#[tokio::test]
async fn healthz_is_reported_with_its_text() {
    let unavailable = |body: &str| Answer("503 Service Unavailable", body.to_owned());
    let failing = |text: &str| Healthz::Failing(text.to_owned());
    for (expected, healthz) in [
        (Healthz::Ok, ok("anything")),
        (
            failing("JetStream is not current with the meta leader"),
            unavailable(r#"{"status": "unavailable", "error": "JetStream is not current with the meta leader"}"#),
        ),
        (failing("HTTP status 503 Service Unavailable"), unavailable("no JSON")),
        (failing("HTTP status 503 Service Unavailable"), unavailable(r#"{"status": "unavailable"}"#)),
        (Healthz::Unknown, NoResponse),
        (Healthz::Unknown, Drip),
        (Healthz::Unknown, Truncated),
        (Healthz::Unknown, Endless("{\"error\": \"", "x")),
    ] {
        let address = Server { healthz: healthz.clone(), ..Server::default() }.start().await;
        assert_eq!(poll(address).await.unwrap().healthz, expected, "{healthz:?}");
    }
}

#[tokio::test]
async fn stopping_server_is_unreachable_instead_of_disabled() {
    let stopping = |address| MonitoringEndpoint { stopping: true, ..target(address) };
    let disabled = ok(r#"{"server_id": "NA", "disabled": true, "total": 0}"#);
    let address = Server { jsz: disabled, ..Server::default() }.start().await;
    assert!(poll(address).await.unwrap().disabled);
    assert_eq!(poll_within(LIMIT, stopping(address)).await.unwrap_err(), "it is stopping");
    let address = Server::default().start().await;
    assert!(!poll_within(LIMIT, stopping(address)).await.unwrap().disabled, "JetStream still runs");
}

#[tokio::test]
async fn slow_servers_do_not_delay_answers_of_others() {
    let mut targets = Vec::new();
    for (index, jsz) in [Drip, ok(JSZ), NoResponse, ok(&JSZ.replace("NA", "NB"))].into_iter().enumerate() {
        let name = format!("n-{index}");
        let id = if index == 3 { "NB" } else { "NA" };
        let varz = ok(&VARZ.replace("n-0", &name).replace("NA", id));
        let address = Server { jsz, varz, ..Server::default() }.start().await;
        targets.push(MonitoringEndpoint { name, address, stopping: false });
    }
    let poller = Poller::with_limits(PollLimits { request: LIMIT });
    let snapshot = poller.poll(&targets, Time::default()).await;
    let answered: Vec<&str> = snapshot.answers().map(|(name, _)| name).collect();
    assert_eq!((snapshot.servers.len(), answered), (4, vec!["n-1", "n-3"]));
}

#[tokio::test]
async fn version_is_requested_once_while_a_server_runs() {
    let server = Server::default();
    let requested = server.requested.clone();
    let targets = [target(server.start().await)];
    let poller = Poller::default();
    for _ in 0..3 {
        let snapshot = poller.poll(&targets, Time::default()).await;
        assert_eq!(snapshot.answer("n-0").unwrap().version, Version::parse("2.14.10"));
    }
    let count = |path: &str| requested.lock().unwrap().iter().filter(|requested| *requested == path).count();
    assert_eq!((count("/jsz"), count("/varz"), count("/healthz")), (3, 1, 3));

    let restarted = Server { jsz: ok(&JSZ.replace("NA", "NB")), ..Server::default() };
    let varz = ok(&VARZ.replace("NA", "NB").replace("2.14.10", "2.15.3"));
    let targets = [target(Server { varz, ..restarted }.start().await)];
    let snapshot = poller.poll(&targets, Time::default()).await;
    assert_eq!(snapshot.answer("n-0").unwrap().version, Version::parse("2.15.3"));
}

#[tokio::test]
async fn cause_that_quotes_the_answer_is_short() {
    let jsz = ok(&format!(r#"{{"storage": "{}"}}"#, "x".repeat(10_000)));
    let cause = poll(Server { jsz, ..Server::default() }.start().await).await.unwrap_err();
    assert!(cause.starts_with("no usable answer: invalid type: string \"xxx") && cause.len() == 300, "{cause}");
}

#[tokio::test]
async fn config_digest_is_that_of_varz() {
    let closed = free_address().unwrap();
    let targets =
        [target(Server::default().start().await), MonitoringEndpoint { name: "n-1".to_owned(), ..target(closed) }];
    let digests = config_digests(&targets).await;
    assert_eq!(digests["n-0"], Ok("sha256:1".to_owned()));
    assert!(digests["n-1"].is_err());
}
