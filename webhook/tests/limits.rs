//! Effects of slow, idle and many clients on the others.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

mod client;
mod world;

use std::time::{Duration, Instant};

use client::{LONG, Server, request};
use nats_manager_webhook::{Rejection, RequestTimeouts, ServerOptions};
use tokio::{
    io::AsyncReadExt,
    net::TcpStream,
    time::{sleep, timeout},
};

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

#[tokio::test]
async fn slow_clients_are_cut_off_while_others_are_served() {
    let options = ServerOptions { handshake: ms(800), exchange: ms(1800), idle: ms(2500), ..ServerOptions::default() };
    let server = Server::start(options, RequestTimeouts { body: ms(800), handler: ms(800) }).await;
    let request = request();
    let header = request.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let begun = Instant::now();
    let mut handshake = TcpStream::connect(server.address).await.unwrap();
    // The first `at` bytes are sent at once, the rest byte by byte.
    let drip = |at: usize| {
        let (server, request) = (&server, &request);
        async move {
            let mut client = server.connect().await.unwrap();
            client.send(&request[..at]).await.unwrap();
            let begun = Instant::now();
            for byte in &request[at..] {
                match timeout(ms(20), client.answer()).await {
                    Ok(answer) => return (answer.ok().map(|answer| answer.status), begun.elapsed()),
                    Err(_) => drop(client.send(&[*byte]).await),
                }
            }
            panic!("the server waits for ever");
        }
    };
    let idle = async {
        let mut client = server.connect().await.unwrap();
        let begun = Instant::now();
        client.closed().await;
        begun.elapsed()
    };
    // Sends requests and never reads a response.
    let unread = async {
        let labels: serde_json::Map<_, _> = (0..100).map(|n| (format!("-{n}"), "".into())).collect();
        let request = client::request_for(&world::create(&world::with(&world::spec(), "/labels", labels.into())));
        let mut client = server.connect().await.unwrap();
        let mut last = Instant::now();
        while timeout(LONG, client.send(&request)).await.expect("the server cuts it off").is_ok() {
            last = Instant::now();
            // The test itself must not delay the others.
            sleep(ms(2)).await;
        }
        last.elapsed()
    };
    let others = async {
        for _ in 0..50 {
            let begun = Instant::now();
            assert_eq!(server.connect().await.unwrap().ask().await.unwrap().status, 200);
            assert!(begun.elapsed() < ms(800), "others wait: {:?}", begun.elapsed());
            sleep(ms(20)).await;
        }
    };
    let mut nothing = Vec::new();
    let handshake = async {
        let _ = timeout(LONG, handshake.read_to_end(&mut nothing)).await.unwrap();
        begun.elapsed()
    };
    let (handshake, in_header, in_body, idle, unread, ()) =
        tokio::join!(handshake, drip(20), drip(header + 10), idle, unread, others);
    let is_about = |took: Duration, limit: u64| took > ms(limit - 50) && took < ms(limit + 1500);
    assert!(is_about(handshake, 800), "{handshake:?}");
    assert!(in_header.0.is_none() && is_about(in_header.1, 1800), "{in_header:?}");
    assert!(in_body.0 == Some(408) && is_about(in_body.1, 800), "{in_body:?}");
    assert!(is_about(idle, 2500), "{idle:?}");
    // The client continues to write for a while after the server has stopped reading.
    assert!(unread < ms(1800 + 1500), "{unread:?}");
    assert!(server.counts.rejections.lock().unwrap().contains(&Rejection::Timeout));
}

#[tokio::test]
async fn idle_connection_outlives_exchange_limit() {
    let options = ServerOptions { exchange: ms(200), ..ServerOptions::default() };
    let server = Server::start(options, RequestTimeouts::default()).await;
    let mut client = server.connect().await.unwrap();
    for _ in 0..3 {
        assert!(!client.ask().await.unwrap().closes());
        sleep(ms(300)).await;
    }
}

#[tokio::test]
async fn longest_waiting_connection_is_replaced() {
    let options = ServerOptions { connections: 4, ..ServerOptions::default() };
    let server = Server::start(options, RequestTimeouts::default()).await;
    let mut bare = Vec::new();
    for _ in 0..3 {
        bare.push(TcpStream::connect(server.address).await.unwrap());
    }
    let mut first = server.connect().await.unwrap();
    first.ask().await.unwrap();
    // Connections without a handshake are replaced first.
    let mut clients = Vec::new();
    for mut bare in bare {
        let mut client = server.connect().await.unwrap();
        client.ask().await.unwrap();
        clients.push(client);
        let mut nothing = Vec::new();
        let _ = timeout(LONG, bare.read_to_end(&mut nothing)).await.unwrap();
    }
    first.ask().await.unwrap();
    let mut one_more = server.connect().await.unwrap();
    one_more.ask().await.unwrap();
    clients[0].closed().await;
    for client in clients[1..].iter_mut().chain([&mut first, &mut one_more]) {
        client.ask().await.unwrap();
    }
}

#[tokio::test]
async fn flood_of_idle_connections_excludes_no_client() {
    let options = ServerOptions { connections: 64, ..ServerOptions::default() };
    let server = Server::start(options, RequestTimeouts::default()).await;
    let address = server.address;
    let flood = tokio::spawn(async move {
        let mut opened = Vec::new();
        loop {
            opened.extend(TcpStream::connect(address).await);
            sleep(ms(2)).await;
        }
    });
    sleep(ms(200)).await;
    for _ in 0..30 {
        assert_eq!(server.connect().await.unwrap().ask().await.unwrap().status, 200);
        sleep(ms(20)).await;
    }
    assert!(!flood.is_finished());
    flood.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flood_of_one_peer_loses_no_review_of_another() {
    static OPENED: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    const BUSY: usize = 256;
    let server = Server::start(ServerOptions::default(), RequestTimeouts::default()).await;
    let address = server.address;
    let from = move |last: u8| async move {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.bind(([127, 0, 0, last], 0).into())?;
        socket.connect(address).await
    };
    // As many as the server has room for, each with a handshake that does not end.
    let mut busy = Vec::new();
    for _ in 0..BUSY {
        busy.push(from(2).await.unwrap());
    }
    let flood = tokio::spawn(async move {
        let mut opened = 0_u64;
        loop {
            if from(2).await.is_ok() {
                opened += 1;
            }
            if opened.is_multiple_of(64) {
                tokio::task::yield_now().await;
            }
            OPENED.store(opened, std::sync::atomic::Ordering::Relaxed);
        }
    });
    let mut kept = server.connect().await.unwrap();
    let begun = Instant::now();
    let mut round = 0;
    while begun.elapsed() < Duration::from_secs(2) {
        round += 1;
        let started = Instant::now();
        assert_eq!(kept.ask().await.unwrap().status, 200, "round {round}");
        assert_eq!(server.connect().await.unwrap().ask().await.unwrap().status, 200, "round {round}");
        assert!(started.elapsed() < Duration::from_secs(4), "round {round}: {:?}", started.elapsed());
    }
    flood.abort();
    let opened = OPENED.load(std::sync::atomic::Ordering::Relaxed);
    println!("{opened} connections in {:?}", begun.elapsed());
    assert!(opened > 500, "{opened} connections are no flood");
}
