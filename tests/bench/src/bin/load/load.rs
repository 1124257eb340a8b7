//! One review, sent over and over: in a closed loop, at fixed times, or over new connections.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use hyper::body::Bytes;
use serde::Serialize;
use tokio::{
    sync::{Mutex, mpsc},
    task::JoinSet,
};

use crate::{
    connection::{Connection, LoadError, Target},
    usage,
};

/// Load on a server.
#[derive(Clone)]
pub(crate) struct Load {
    pub(crate) target: Target,
    pub(crate) review: Bytes,
    pub(crate) connections: u16,
    pub(crate) time: Option<Duration>,
    pub(crate) reviews: Option<u64>,
    /// Reviews per second at fixed times. Without it, a connection sends when it has received the response.
    pub(crate) rate: Option<u32>,
    /// True if each review has a connection of its own.
    pub(crate) reconnects: bool,
    /// Process of the server.
    pub(crate) server: Option<u32>,
}

/// Measurement of a load.
#[derive(Debug, Serialize)]
pub(crate) struct Measured {
    reviews: usize,
    seconds: f64,
    /// CPU time of the server, in seconds.
    server: Option<f64>,
    /// Share of the server's CPU time that it spent in the kernel.
    server_system: Option<f64>,
    /// CPU time of the load generator, in seconds.
    own: f64,
    /// Latencies in microseconds, sorted: from the time at which the review was due, or from its sending in a closed
    /// loop.
    latencies: Vec<u32>,
}

/// State that the connections of a run share.
struct Run {
    load: Load,
    begun: Instant,
    sent: AtomicU64,
    /// Number of the next connection's source address.
    connected: AtomicU64,
    /// Times at which reviews are due.
    due: Option<Mutex<mpsc::UnboundedReceiver<Instant>>>,
}

impl Load {
    /// Sends the load. The connections are open, and have had one review each, before the measurement begins.
    pub(crate) async fn run(self) -> Result<Measured, LoadError> {
        let mut connections = Vec::new();
        for number in 1..=u32::from(self.connections) {
            let mut connection = self.target.connect(number).await?;
            connection.review(&self.review).await?;
            connections.push(connection);
        }
        let (server, count) = (self.server, u64::from(self.connections));
        let own = std::process::id();
        let parts = server.and_then(usage::parts);
        let before = (server.map(usage::of_process).transpose()?, usage::of_process(own)?);
        let begun = Instant::now();
        let run = Arc::new(Run {
            begun,
            sent: AtomicU64::new(0),
            connected: AtomicU64::new(count + 1),
            due: self.rate.map(|rate| Mutex::new(schedule(begun, rate, self.time.unwrap_or_default()))),
            load: self,
        });
        let mut tasks = JoinSet::new();
        for connection in connections {
            tasks.spawn(Arc::clone(&run).repeat(connection));
        }
        let mut latencies = Vec::new();
        while let Some(ended) = tasks.join_next().await {
            latencies.extend(ended??);
        }
        let seconds = begun.elapsed().as_secs_f64();
        let after = (server.map(usage::of_process).transpose()?, usage::of_process(own)?);
        let server_system = parts.zip(server.and_then(usage::parts)).and_then(usage::system_share);
        latencies.sort_unstable();
        let used = |before: u64, after: u64| Duration::from_nanos(after.saturating_sub(before)).as_secs_f64();
        Ok(Measured {
            reviews: latencies.len(),
            seconds,
            server: before.0.zip(after.0).map(|(before, after)| used(before, after)),
            server_system,
            own: used(before.1, after.1),
            latencies,
        })
    }
}

/// Returns the times at which reviews are due, each when it has come. A thread waits for them, since the runtime's timers
/// have a resolution of a millisecond.
fn schedule(begun: Instant, rate: u32, time: Duration) -> mpsc::UnboundedReceiver<Instant> {
    let (sender, receiver) = mpsc::unbounded_channel();
    thread::spawn(move || {
        let interval = Duration::from_secs(1) / rate.max(1);
        let mut due = begun;
        while due < begun + time {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if sender.send(due).is_err() {
                return;
            }
            due += interval;
        }
    });
    receiver
}

impl Run {
    /// Sends reviews until the end of the run. Returns the latencies.
    async fn repeat(self: Arc<Self>, mut connection: Connection) -> Result<Vec<u32>, LoadError> {
        let mut latencies = Vec::new();
        while let Some(due) = self.next().await {
            if self.load.reconnects {
                let number = self.connected.fetch_add(1, Ordering::Relaxed);
                connection = self.load.target.connect(u32::try_from(number % (1 << 24)).unwrap_or(1).max(1)).await?;
            }
            connection.review(&self.load.review).await?;
            latencies.push(u32::try_from(due.elapsed().as_micros()).unwrap_or(u32::MAX));
        }
        Ok(latencies)
    }

    /// Returns the time from which the next review's latency counts; `None` at the end of the run.
    async fn next(&self) -> Option<Instant> {
        if let Some(due) = &self.due {
            return due.lock().await.recv().await;
        }
        let number = self.sent.fetch_add(1, Ordering::Relaxed);
        let is_over = self.load.reviews.is_some_and(|all| number >= all)
            || self.load.time.is_some_and(|time| self.begun.elapsed() >= time);
        (!is_over).then(Instant::now)
    }
}
