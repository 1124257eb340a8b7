//! Servers that misbehave: each gives a cause within the time limit.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use nats_manager_jetstream::{Limits, Poller, Target};
use nats_manager_planner::{
    Time,
    snapshot::{Healthz, ServerSnapshot, Unreachable},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
};

const LIMIT: Duration = Duration::from_millis(300);
/// Three requests, and what a busy machine adds.
const PATIENCE: Duration = Duration::from_secs(3);

const JSZ: &str = r#"{"server_id": "NA", "total": 0}"#;
const VARZ: &str = r#"{"server_id": "NA", "server_name": "n-0", "version": "2.14.10", "config_digest": "sha256:1"}"#;

/// The behaviour of a server for one path.
#[derive(Clone, Debug)]
enum Behaviour {
    /// A status line and a body.
    Answer(&'static str, String),
    /// A body that is shorter than announced; then the connection closes.
    Truncated,
    /// A chunked body without an end, made of these bytes.
    Endless(&'static str, &'static str),
    /// The header, and then one byte a time.
    Drip,
    /// Nothing, and the connection stays open.
    Silent,
    /// Nothing, and the connection closes.
    Hangup,
    /// Bytes that are not HTTP.
    NoHttp,
}

use Behaviour::{Answer, Drip, Endless, Hangup, NoHttp, Silent, Truncated};

fn ok(body: &str) -> Behaviour {
    Answer("200 OK", body.to_owned())
}

/// The behaviour for `/jsz`, `/varz` and `/healthz`.
#[derive(Clone, Debug)]
struct Server {
    jsz: Behaviour,
    varz: Behaviour,
    healthz: Behaviour,
}

impl Default for Server {
    fn default() -> Self {
        Self { jsz: ok(JSZ), varz: ok(VARZ), healthz: ok(r#"{"status": "ok"}"#) }
    }
}

impl Server {
    async fn start(self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(self.clone().serve(stream));
            }
        });
        address
    }

    async fn serve(self, mut stream: TcpStream) -> io::Result<()> {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(stream.read_u8().await?);
        }
        let request = String::from_utf8_lossy(&request).into_owned();
        let behaviour = match request.split([' ', '?']).nth(1) {
            Some("/jsz") => self.jsz,
            Some("/varz") => self.varz,
            _ => self.healthz,
        };
        behaviour.play(stream).await
    }
}

impl Behaviour {
    async fn play(self, mut stream: TcpStream) -> io::Result<()> {
        match self {
            Answer(status, body) => {
                let text = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                stream.write_all(text.as_bytes()).await
            }
            Truncated => stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{\"server_id\": ").await,
            Endless(start, rest) => {
                let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
                stream.write_all(format!("{head}{:x}\r\n{start}\r\n", start.len()).as_bytes()).await?;
                let many = rest.repeat(10_000 / rest.len() + 1);
                loop {
                    stream.write_all(format!("{:x}\r\n{many}\r\n", many.len()).as_bytes()).await?;
                }
            }
            Drip => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n").await?;
                loop {
                    stream.write_u8(b' ').await?;
                    tokio::time::sleep(LIMIT / 3).await;
                }
            }
            Silent => std::future::pending::<io::Result<Infallible>>().await.map(|_| ()),
            Hangup => Ok(()),
            NoHttp => stream.write_all(b"INFO {\"server_id\":\"NA\"}\r\n").await,
        }
    }
}

async fn poll(address: SocketAddr) -> Result<ServerSnapshot, String> {
    poll_within(LIMIT, target(address)).await
}

fn target(address: SocketAddr) -> Target {
    Target { name: "n-0".to_owned(), address, stopping: false }
}

async fn poll_within(limit: Duration, target: Target) -> Result<ServerSnapshot, String> {
    let poller = Poller::with_limits(Limits { request: limit });
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
        ("no answer within 0.3 s", Silent),
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
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
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
async fn unusable_varz_leaves_the_version_open() {
    for varz in [Silent, Hangup, ok("{}"), ok("no JSON"), Answer("500 Internal Server Error", String::new())] {
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
        (Healthz::Unknown, Silent),
        (Healthz::Unknown, Drip),
        (Healthz::Unknown, Truncated),
        (Healthz::Unknown, Endless("{\"error\": \"", "x")),
    ] {
        let address = Server { healthz: healthz.clone(), ..Server::default() }.start().await;
        assert_eq!(poll(address).await.unwrap().healthz, expected, "{healthz:?}");
    }
}

#[tokio::test]
async fn stopping_server_is_not_taken_for_one_whose_volume_is_full() {
    let stopping = |address| Target { stopping: true, ..target(address) };
    let disabled = ok(r#"{"server_id": "NA", "disabled": true, "total": 0}"#);
    let address = Server { jsz: disabled, ..Server::default() }.start().await;
    assert!(poll(address).await.unwrap().disabled);
    assert_eq!(poll_within(LIMIT, stopping(address)).await.unwrap_err(), "it is stopping");
    let address = Server::default().start().await;
    assert!(!poll_within(LIMIT, stopping(address)).await.unwrap().disabled, "JetStream still runs");
}

#[tokio::test]
async fn slow_servers_do_not_hold_up_the_others_answers() {
    let mut targets = Vec::new();
    for (index, jsz) in [Drip, ok(JSZ), Silent, ok(&JSZ.replace("NA", "NB"))].into_iter().enumerate() {
        let name = format!("n-{index}");
        let id = if index == 3 { "NB" } else { "NA" };
        let varz = ok(&VARZ.replace("n-0", &name).replace("NA", id));
        let address = Server { jsz, varz, ..Server::default() }.start().await;
        targets.push(Target { name, address, stopping: false });
    }
    let poller = Poller::with_limits(Limits { request: LIMIT });
    let snapshot = poller.poll(&targets, Time::default()).await;
    let answered: Vec<&str> = snapshot.answers().map(|(name, _)| name).collect();
    assert_eq!((snapshot.servers.len(), answered), (4, vec!["n-1", "n-3"]));
}
