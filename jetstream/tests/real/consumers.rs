//! Cost of a poll with many consumers.

use std::time::{Duration, Instant};

use async_nats::jetstream::{
    self,
    consumer::pull,
    stream::{self, Stream},
};
use futures::{StreamExt, TryStreamExt, future::join_all};
use nats_manager_harness::eventually;
use nats_manager_jetstream::{MonitoringEndpoint, Poller};
use nats_manager_planner::{
    Time,
    snapshot::{Healthz, JetStreamSnapshot},
};
use peak_alloc::PeakAlloc;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{proxy::Proxy, servers::Cluster};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const STREAMS: usize = 50;
/// Number of consumers of each stream. NATS 2.15 allows no more by default.
const CONSUMERS: usize = 1000;
/// Number of requests that wait for an answer at a time.
const IN_FLIGHT: usize = 64;

/// Highest number of bytes that a poll reads from a server.
const MOST_READ: u64 = 200 << 10;
/// Highest number of bytes that a poll allocates beside the memory of the test between polls.
const MOST_MEMORY: usize = 4 << 20;
const POLLS: usize = 10;
const PATIENCE: Duration = Duration::from_mins(2);

#[tokio::test]
#[ignore = "long: cargo xtask test --only real-all"]
async fn poll_with_50_000_consumers_reads_little() {
    let cluster = Cluster::start().await;
    create_consumers(&cluster).await;
    let proxies = join_all(cluster.targets().iter().map(Proxy::start)).await;
    let targets: Vec<MonitoringEndpoint> = proxies.iter().map(|proxy| proxy.target.clone()).collect();
    let poller = Poller::default();
    // The followers of the meta group need a moment for so many consumers.
    eventually("the meta group is in sync", PATIENCE, async || {
        let snapshot = poller.poll(&targets, Time::default()).await;
        snapshot.meta_group().is_some_and(|(_, meta)| meta.peers.iter().all(|peer| peer.current))
    })
    .await;
    for proxy in &proxies {
        proxy.take();
    }
    for number in 0..POLLS {
        ALLOCATOR.reset_peak_usage();
        let (quiet, begun) = (ALLOCATOR.current_usage(), Instant::now());
        let snapshot = poller.poll(&targets, Time::default()).await;
        let (took, peak) = (begun.elapsed(), ALLOCATOR.peak_usage() - quiet);
        let read: Vec<u64> = proxies.iter().map(Proxy::take).collect();
        println!("poll {number}: {read:?} bytes read, {peak} bytes of memory, {took:.0?}");
        shows_no_issue(&snapshot);
        assert!(read.iter().all(|read| (1..=MOST_READ).contains(read)), "{read:?}");
        assert!(peak <= MOST_MEMORY, "{peak}");
    }
    for path in ["/healthz", "/jsz?accounts=1&streams=1&config=1", "/jsz?accounts=1&streams=1&config=1&consumers=1"] {
        measure(&cluster, path).await;
    }
}

async fn create_consumers(cluster: &Cluster) {
    let client = async_nats::connect(cluster.url(0)).await.unwrap();
    let context = jetstream::new(client);
    let begun = Instant::now();
    let streams = futures::stream::iter(0..STREAMS).then(|index| {
        let config = stream::Config { name: format!("stream-{index}"), num_replicas: 1, ..stream::Config::default() };
        context.create_stream(config)
    });
    let streams: Vec<Stream> = streams.try_collect().await.unwrap();
    let all = (0..CONSUMERS).flat_map(|index| streams.iter().map(move |stream| (index, stream)));
    let created = futures::stream::iter(all).map(Ok).try_for_each_concurrent(IN_FLIGHT, async |(index, stream)| {
        let config = pull::Config { durable_name: Some(format!("consumer-{index}")), ..pull::Config::default() };
        stream.create_consumer(config).await.map(drop)
    });
    created.await.unwrap();
    println!("created {} consumers in {:.0?}", STREAMS * CONSUMERS, begun.elapsed());
}

fn shows_no_issue(snapshot: &JetStreamSnapshot) {
    for (name, answer) in &snapshot.servers {
        let server = answer.as_ref().unwrap();
        assert_eq!((server.disabled, &server.healthz), (false, &Healthz::Ok), "{name}");
        for replica in &server.streams {
            let leader = replica.group.as_ref().and_then(|group| group.leader.as_ref());
            assert_eq!(leader, Some(name), "{replica:?}");
        }
    }
    assert_eq!(snapshot.replicas().count(), STREAMS);
    let consumers: u64 = snapshot.replicas().map(|(_, replica)| replica.consumers).sum();
    assert_eq!(consumers, (STREAMS * CONSUMERS) as u64);
    let (_, meta) = snapshot.meta_group().unwrap();
    assert!(meta.peers.len() == 2 && meta.peers.iter().all(|peer| peer.current && !peer.offline), "{meta:?}");
}

/// Measures and prints the cost of a request to each server: time, and length of the answer.
async fn measure(cluster: &Cluster, path: &str) {
    for target in cluster.targets() {
        let mut times = Vec::new();
        let mut length = 0;
        for _ in 0..POLLS {
            let begun = Instant::now();
            let mut stream = TcpStream::connect(target.address).await.unwrap();
            stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.unwrap();
            length = answer.len();
            times.push(begun.elapsed());
        }
        times.sort_unstable();
        let (median, longest): (Duration, Duration) = (times[POLLS / 2], times[POLLS - 1]);
        println!("{} {path}: median {median:.1?}, longest {longest:.1?}, {length} bytes", target.name);
    }
}
