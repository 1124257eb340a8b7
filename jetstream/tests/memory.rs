//! Memory of a poll: it is bounded whatever the size of the answers is.
#![allow(clippy::unwrap_used)]

use std::{fmt::Write, io, net::SocketAddr, time::Duration};

use nats_manager_jetstream::{MonitoringEndpoint, PollLimits, Poller};
use nats_manager_planner::Time;
use peak_alloc::PeakAlloc;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const STREAMS: usize = 50;
const CONSUMERS: usize = 400;
/// Highest peak of a poll of two servers at a time, in bytes. Most of it are buffers of connections.
const PEAK: usize = 1 << 20;
const LONG_ANSWER: usize = 25_000_000;

/// Builds a consumer as servers list it: 1.2 KB.
fn consumer(stream: usize, index: usize) -> String {
    format!(
        r#"{{"stream_name": "stream-{stream}", "name": "consumer-{index}", "created": "2026-11-26T14:05:42.273035294Z",
        "config": {{"durable_name": "consumer-{index}", "description": "{}", "deliver_policy": "all", "max_deliver": -1}},
        "cluster": {{"leader": "n-0", "replicas": [{{"name": "n-1", "current": true, "active": 0, "peer": "JomJ25Oa"}}]}}}}"#,
        "text ".repeat(200)
    )
}

/// Writes `/jsz` in pieces, so that the server's part of the memory is small. Returns its length.
async fn write_jsz(to: &mut TcpStream, consumers: usize) -> io::Result<usize> {
    let mut length = 0;
    let mut piece =
        r#"{"server_id": "NA", "total": 1, "account_details": [{"name": "$G", "stream_detail": ["#.to_owned();
    for stream in 0..STREAMS {
        let separator = if stream == 0 { "" } else { "," };
        let state = r#"{"last_seq": 1}"#;
        write!(piece, r#"{separator}{{"name": "stream-{stream}", "state": {state}, "config": {{}}"#).unwrap();
        for index in 0..consumers {
            let separator = if index == 0 { r#", "consumer_detail": ["# } else { "," };
            piece += separator;
            piece += &consumer(stream, index);
            length += write_piece(to, &mut piece).await?;
        }
        piece += if consumers == 0 { "}" } else { "]}" };
        length += write_piece(to, &mut piece).await?;
    }
    piece += "]}]}";
    length += write_piece(to, &mut piece).await?;
    Ok(length)
}

async fn write_piece(to: &mut TcpStream, piece: &mut String) -> io::Result<usize> {
    to.write_all(piece.as_bytes()).await?;
    let length = piece.len();
    piece.clear();
    Ok(length)
}

async fn serve(mut stream: TcpStream, consumers: usize) -> io::Result<usize> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await?);
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n").await?;
    if request.starts_with(b"GET /jsz") { write_jsz(&mut stream, consumers).await } else { Ok(0) }
}

/// Starts a server. Returns its address, and the length of its longest answer at its end.
async fn server(consumers: usize) -> (SocketAddr, tokio::task::JoinHandle<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let served = tokio::spawn(async move {
        let mut longest = 0;
        // `/jsz`, `/varz` and `/healthz`.
        for _ in 0..3 {
            let (stream, _) = listener.accept().await.unwrap();
            longest = serve(stream, consumers).await.unwrap().max(longest);
        }
        longest
    });
    (address, served)
}

#[tokio::test]
async fn poll_of_long_answers_has_bounded_memory() {
    // The first poll allocates threads and other memory once.
    peak(0).await;
    let (peak, length) = peak(CONSUMERS).await;
    println!("peak of two answers of {length} bytes: {peak} bytes");
    assert!(length > LONG_ANSWER, "{length}");
    assert!(peak < PEAK, "{peak}");
}

/// Measures a poll of two servers. Returns its peak of memory and the length of an answer, both in bytes.
async fn peak(consumers: usize) -> (usize, usize) {
    let servers = [server(consumers).await, server(consumers).await];
    let target = |(index, (address, _)): (usize, &(SocketAddr, _))| MonitoringEndpoint {
        name: format!("n-{index}"),
        address: *address,
        stopping: false,
    };
    let targets: Vec<MonitoringEndpoint> = servers.iter().enumerate().map(target).collect();
    let poller = Poller::with_limits(PollLimits { request: Duration::from_mins(1) });
    ALLOCATOR.reset_peak_usage();
    let before = ALLOCATOR.current_usage();
    let snapshot = poller.poll(&targets, Time::default()).await;
    let peak = ALLOCATOR.peak_usage() - before;
    assert_eq!(snapshot.replicas().count(), 2 * STREAMS, "{snapshot:?}");
    let [(_, first), (_, second)] = servers;
    (peak, first.await.unwrap().max(second.await.unwrap()))
}
