//! Floods of connections against the manager's process: they exclude only the address that they come from.

mod clients;

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use k8s_openapi::{
    api::{coordination::v1::Lease, core::v1::Secret},
    jiff::Timestamp,
};
use nats_manager_harness::{Seen, eventually};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use self::clients::{Flood, Hold, busy, holding};
use crate::{
    admission::{load::Load, tls::client_config, webhook_options_at},
    manager::{ManagerProcess, free_address, http_get},
    world::{TIMEOUT, World},
};

/// Number of connections that the webhook's server keeps.
const CONNECTIONS: usize = 256;
/// Interval of renewals, and the time that one may be late on a busy machine. The leader has 17 s.
const RENEWALS: Duration = Duration::from_secs(6 + 2);
/// Renewals that happen during a flood.
const OBSERVED: usize = 3;
/// Connections per second below which the machine is too busy for the test to show anything.
const MIN_RATE: f64 = 500.0;
/// Timeout of a probe, and the failures in a row after which the kubelet acts.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
const PROBE_FAILURES: u32 = 3;
/// Limit of the resident memory in KiB.
const MAX_PEAK: u32 = 64 << 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn webhook_flood_of_one_address_loses_no_review_and_delays_no_renewal() {
    let world = World::new().await;
    let address = free_address().unwrap();
    let manager = world.manager_with(&options(address)).await;
    world.webhook_is_active().await;
    world.create(json!({})).await;
    world.state_becomes("Ready").await;
    let secret = world.api::<Secret>().get("nats-manager-webhook-ca").await.unwrap();
    let bundle = secret.data.unwrap().remove("ca.crt").unwrap().0;
    let connector = TlsConnector::from(Arc::new(client_config(&bundle).unwrap()));

    let _busy = busy(CONNECTIONS, 2, address, &connector);
    eventually("the clients keep the server busy", TIMEOUT, || async {
        manager.metric("nats_manager_admission_reviews_total{webhook=\"validate\",outcome=\"unreadable\"}").await
            > Some(100.0)
    })
    .await;
    let flood = Flood::start(2, vec![address]);
    let reviews = Load::start(&world, 20).await;
    let longest = longest_pause(&world, OBSERVED).await;
    let tally = reviews.end(&world, "reviews beside a flood").await;
    let rate = flood.end();

    println!("{rate:.0} connections per second, longest pause of renewals {longest:.1?}");
    assert!(tally.sent > 100, "{tally}");
    assert!(rate > MIN_RATE, "{rate:.0} connections per second are no flood");
    assert!(longest < RENEWALS, "{longest:?}");
    assert_peak(&manager);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probes_and_metrics_answer_during_floods() {
    let world = World::new().await;
    let manager = world.manager_with(&options(free_address().unwrap())).await;
    eventually("the replica leads", TIMEOUT, || async { manager.metric("nats_manager_leader").await == Some(1.0) })
        .await;
    let ports = [(manager.probes, "/healthz"), (manager.metrics, "/metrics")];

    let mut clients = Vec::new();
    for (address, _) in ports {
        for (hold, from) in [(Hold::Silent, 2), (Hold::SlowHead, 3), (Hold::HalfClosed, 4)] {
            clients.push(holding(40, hold, from, address));
        }
    }
    let flood = Flood::start(5, ports.iter().map(|(address, _)| *address).collect());
    let scrapes: Vec<_> = ports.into_iter().map(|(address, path)| Scrapes::start(address, path)).collect();
    let longest = longest_pause(&world, OBSERVED).await;
    for scrapes in scrapes {
        scrapes.end().await;
    }
    let rate = flood.end();
    println!("{rate:.0} connections per second, longest pause of renewals {longest:.1?}");
    assert!(rate > MIN_RATE, "{rate:.0} connections per second are no flood");
    assert!(longest < RENEWALS, "{longest:?}");
    assert_peak(&manager);
}

/// Returns the options of a manager that holds the lease, with its webhook on `address`.
fn options(address: SocketAddr) -> crate::manager::ManagerOptions {
    let mut options = webhook_options_at(address.port(), address.port());
    options.args.push("--leader-elect".to_owned());
    options.env.insert("LOG_LEVEL".to_owned(), "info".to_owned());
    options
}

/// Waits for `count` renewals of the lease, and returns the longest time between two of them.
async fn longest_pause(world: &World, count: usize) -> Duration {
    let leases = world.api::<Lease>();
    let renewed = || async {
        let spec = leases.get("nats-manager").await?.spec.unwrap_or_default();
        Ok::<_, kube::Error>(spec.renew_time.map(|time| time.0))
    };
    let mut last: Timestamp = eventually("the lease has a holder", TIMEOUT, renewed).await;
    let mut longest = Duration::ZERO;
    for _ in 0..count {
        let next = eventually("the lease is renewed", TIMEOUT, || async {
            Ok::<_, kube::Error>(match renewed().await? {
                Some(time) if time > last => Seen::Done(time),
                other => Seen::NotYet(format!("{other:?}")),
            })
        })
        .await;
        longest = longest.max(next.duration_since(last).unsigned_abs());
        last = next;
    }
    longest
}

/// Asserts that the manager has never used more memory than the limit.
fn assert_peak(manager: &ManagerProcess) {
    let Some(memory) = manager.memory() else { return };
    println!("{memory:?}");
    assert!(memory.peak <= MAX_PEAK, "{memory:?}");
}

/// Requests without a pause from an address that does not misbehave.
struct Scrapes {
    stop: tokio::sync::oneshot::Sender<()>,
    task: JoinHandle<usize>,
}

impl Scrapes {
    /// Starts to send requests. Each must get a response with 200, and so many in a row must not be slow that the
    /// kubelet would restart the container: the kernel drops connections while a busy machine does not run the manager.
    fn start(address: SocketAddr, path: &'static str) -> Self {
        let (stop, mut stopped) = tokio::sync::oneshot::channel();
        let task = tokio::spawn(async move {
            let (mut count, mut slow_in_a_row, mut slowest) = (0, 0, Duration::ZERO);
            while stopped.try_recv().is_err() {
                let started = Instant::now();
                let answer = http_get(address, path).await;
                assert!(matches!(answer, Ok((200, _))), "{path} {count}: {answer:?}");
                let took = started.elapsed();
                slow_in_a_row = if took > PROBE_TIMEOUT { slow_in_a_row + 1 } else { 0 };
                assert!(slow_in_a_row < PROBE_FAILURES, "{path} {count}: {took:?}");
                slowest = slowest.max(took);
                count += 1;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            println!("{path}: {count} requests, the slowest took {slowest:.0?}");
            count
        });
        Self { stop, task }
    }

    /// Ends the requests, and asserts that there were some.
    async fn end(self) {
        let _ = self.stop.send(());
        let count = self.task.await.unwrap();
        assert!(count > 20, "{count} requests");
    }
}
