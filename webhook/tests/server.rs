//! Server on real sockets: connections, certificates, and the drain.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

mod client;
mod world;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use client::{Client, ClientIdentity, LONG, Server, connector, request};
use nats_manager_certs::{Authority, ClientVerifier, Resolver, TrustBundle};
use nats_manager_webhook::{Rejection, RequestTimeouts, ServerOptions, TlsIdentity};
use rustls::pki_types::PrivateKeyDer;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::sleep,
};

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

#[tokio::test]
async fn connection_serves_many_reviews() {
    let server = Server::start(ServerOptions::default(), RequestTimeouts::default()).await;
    let mut client = server.connect().await.unwrap();
    for _ in 0..100 {
        let answer = client.ask().await.unwrap();
        assert_eq!(answer.status, 200);
        assert!(!answer.closes() && answer.body.contains("\"allowed\":true"), "{answer:?}");
    }
    let chunked = String::from_utf8(request()).unwrap();
    let (head, body) = chunked.split_once("\r\n\r\n").unwrap();
    let head = head.split("\r\ncontent-length").next().unwrap();
    let length = body.len();
    client
        .send(format!("{head}\r\ntransfer-encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n").as_bytes())
        .await
        .unwrap();
    assert_eq!(client.answer().await.unwrap().status, 200);
    assert_eq!(server.counts.reviews.lock().unwrap().len(), 101);
}

#[tokio::test]
async fn new_certificate_keeps_open_connections() {
    let server = Server::start(ServerOptions::default(), RequestTimeouts::default()).await;
    let mut old = server.connect().await.unwrap();
    old.ask().await.unwrap();
    server.renew();
    let mut new = server.connect().await.unwrap();
    assert_ne!(old.certificate(), new.certificate());
    for client in [&mut old, &mut new] {
        assert!(!client.ask().await.unwrap().closes());
    }
}

#[tokio::test]
async fn large_body_gets_response() {
    let server = Server::start(ServerOptions::default(), RequestTimeouts::default()).await;
    for (length, expected) in [(1 << 20, 400), (9 << 20, 413)] {
        let mut client = server.connect().await.unwrap();
        client.send(client::head(length).as_bytes()).await.unwrap();
        client.send(&vec![b' '; length]).await.unwrap();
        assert_eq!(client.answer().await.unwrap().status, expected);
    }
}

/// Sends reviews without a pause, as the apiserver does: a connection is kept until a response closes it.
async fn hammer(server: Arc<Server>, until: Arc<AtomicBool>, asked: Arc<AtomicUsize>) {
    let mut kept: Option<Client> = None;
    while !until.load(Ordering::Relaxed) {
        let mut client = match kept.take() {
            Some(client) => client,
            None => server.connect().await.expect("a connection"),
        };
        let answer = client.ask().await.expect("an answer");
        assert_eq!(answer.status, 200);
        asked.fetch_add(1, Ordering::Relaxed);
        if !answer.closes() {
            kept = Some(client);
        }
        sleep(ms(5)).await;
    }
}

#[tokio::test]
async fn drain_fails_no_review() {
    let options = ServerOptions { lame_duck: ms(1500), ..ServerOptions::default() };
    let server = Arc::new(Server::start(options, RequestTimeouts::default()).await);
    let (quiet, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..8).map(|_| tokio::spawn(hammer(server.clone(), quiet.clone(), asked.clone()))).collect();
    let mut idle = server.connect().await.unwrap();
    idle.ask().await.unwrap();
    let mut pausing = server.connect().await.unwrap();
    pausing.ask().await.unwrap();
    sleep(ms(300)).await;

    server.stop();
    sleep(ms(100)).await;
    let before = asked.load(Ordering::Relaxed);
    // An idle connection is not cut: its next request is answered with `Connection: close`.
    assert!(pausing.ask().await.unwrap().closes());
    pausing.closed().await;
    sleep(ms(600)).await;
    assert!(asked.load(Ordering::Relaxed) > before + 8, "new connections are served");
    quiet.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    // A request that is in progress when the port closes.
    let mut late = server.connect().await.unwrap();
    let request = request();
    late.send(&request[..100]).await.unwrap();
    idle.closed().await;
    late.send(&request[100..]).await.unwrap();
    assert!(late.answer().await.unwrap().closes());
    let address = server.address;
    Arc::into_inner(server).unwrap().ended().await;
    assert!(TcpStream::connect(address).await.is_err(), "the port is closed");
}

#[tokio::test]
async fn drain_ends_after_limit() {
    let options = ServerOptions { lame_duck: ms(0), drain: ms(300), ..ServerOptions::default() };
    let server = Server::start(options, RequestTimeouts::default()).await;
    let mut slow = server.connect().await.unwrap();
    slow.send(&request()[..100]).await.unwrap();
    let begun = Instant::now();
    server.stop();
    server.ended().await;
    assert!(begun.elapsed() < ms(2000), "{:?}", begun.elapsed());
    slow.closed().await;
}

#[tokio::test]
async fn failed_handshakes_are_counted() {
    let server = Server::start(ServerOptions::default(), RequestTimeouts::default()).await;
    let stranger = Authority::generate(jiff::Timestamp::now()).unwrap();
    assert!(Client::connect(server.address, &stranger).await.is_err());
    let mut plain = TcpStream::connect(server.address).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let _ = plain.read_to_end(&mut Vec::new()).await;
    drop(TcpStream::connect(server.address).await.unwrap());
    let expected = [Rejection::Untrusted, Rejection::Protocol, Rejection::Closed];
    let begun = Instant::now();
    while server.counts.rejections.lock().unwrap().len() < expected.len() && begun.elapsed() < LONG {
        sleep(ms(10)).await;
    }
    assert_eq!(*server.counts.rejections.lock().unwrap(), expected);
    assert_eq!(server.connect().await.unwrap().ask().await.unwrap().status, 200);
}

#[tokio::test]
async fn no_session_is_resumed() {
    let server = Server::start(ServerOptions::default(), RequestTimeouts::default()).await;
    for version in rustls::ALL_VERSIONS {
        let connector = connector(&server.authority, None, &[version]);
        for _ in 0..2 {
            let mut client = Client::connect_with(server.address, &connector).await.unwrap();
            // A ticket of TLS 1.3 would arrive before the response.
            client.ask().await.unwrap();
            let kind = client.0.get_ref().1.handshake_kind();
            assert_eq!(kind, Some(rustls::HandshakeKind::Full), "{:?}", version.version);
        }
    }
}

#[tokio::test]
async fn handshake_fails_without_certificate() {
    let counts = world::Counts::new();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = nats_manager_webhook::router(
        Arc::new(world::FixedFacts::default()),
        counts.clone(),
        RequestTimeouts::default(),
    );
    let resolver = Arc::new(Resolver::new());
    let client = async {
        let authority = Authority::generate(jiff::Timestamp::now()).unwrap();
        assert!(Client::connect(address, &authority).await.is_err());
        sleep(ms(50)).await;
    };
    let options = ServerOptions { lame_duck: ms(0), ..ServerOptions::default() };
    let identity = TlsIdentity { resolver, client_verifier: None };
    nats_manager_webhook::serve(listener, identity, router, counts.clone(), options, client).await.unwrap();
    assert_eq!(*counts.rejections.lock().unwrap(), [Rejection::NoCertificate]);
}

/// CA of clients, in place of that of an apiserver.
struct ClientCa {
    bundle: TrustBundle,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

impl ClientCa {
    fn new() -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { bundle: TrustBundle::from_pem(pem.as_bytes()).unwrap(), issuer: rcgen::Issuer::new(params, key) }
    }

    /// Issues a certificate for a client.
    fn issue(&self) -> ClientIdentity {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.der().clone(), PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    }
}

#[tokio::test]
async fn only_clients_with_certificate_of_the_ca_are_served() {
    let [old, new] = [ClientCa::new(), ClientCa::new()];
    let verifier = Arc::new(ClientVerifier::new());
    let server = Server::start_with(ServerOptions::default(), RequestTimeouts::default(), Some(verifier.clone())).await;
    // With TLS 1.3 the handshake ends for the client before the server has verified it.
    let ask = async |identity: Option<ClientIdentity>| {
        let mut client = Client::connect_as(server.address, &server.authority, identity).await?;
        client.ask().await
    };
    let rejected = || server.counts.rejections.lock().unwrap().len();
    let mut expected = 0;
    let mut is_rejected = async |what: &str, identity: Option<ClientIdentity>| {
        ask(identity).await.expect_err(what);
        expected += 1;
        assert_eq!(rejected(), expected, "{what}");
    };
    is_rejected("no CA is known yet", Some(old.issue())).await;
    verifier.trust(&old.bundle).unwrap();
    is_rejected("no certificate", None).await;
    is_rejected("a certificate of another CA", Some(new.issue())).await;
    assert_eq!(ask(Some(old.issue())).await.unwrap().status, 200);
    verifier.trust(&new.bundle).unwrap();
    assert_eq!(ask(Some(new.issue())).await.unwrap().status, 200);
    is_rejected("a certificate of the replaced CA", Some(old.issue())).await;
    let rejections = server.counts.rejections.lock().unwrap().clone();
    assert!(rejections.iter().all(|reason| *reason == Rejection::ClientCertificate), "{rejections:?}");
}
