//! Clients that misbehave, each kind from an address of its own.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::TlsConnector;

/// Pause of a client after the end of its connection.
const PAUSE: Duration = Duration::from_millis(100);
/// Time after which a client opens its connection again.
const PATIENCE: Duration = Duration::from_secs(10);

/// Connects from 127.0.0.`from`. The connection ends with a reset, so that it does not occupy a port any longer.
async fn connect(from: u8, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_zero_linger()?;
    // Otherwise servers of other tests cannot listen on the port of a connection.
    socket.set_reuseaddr(true)?;
    socket.bind(([127, 0, 0, from], 0).into())?;
    socket.connect(to).await
}

/// Connections that one thread opens and closes as fast as it can.
pub struct Flood {
    stop: Arc<AtomicBool>,
    opened: Arc<AtomicUsize>,
    started: Instant,
    thread: Option<JoinHandle<()>>,
}

impl Flood {
    /// Starts a flood from 127.0.0.`from` to each address in turn.
    pub fn start(from: u8, to: Vec<SocketAddr>) -> Self {
        let (stop, opened) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let shared = (stop.clone(), opened.clone());
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let (stop, opened) = shared;
            for address in to.iter().cycle() {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                if runtime.block_on(connect(from, *address)).is_ok() {
                    opened.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        Self { stop, opened, started: Instant::now(), thread: Some(thread) }
    }

    /// Ends the flood, and returns its rate in connections per second.
    pub fn end(mut self) -> f64 {
        let rate = f64::from(u32::try_from(self.opened.load(Ordering::Relaxed)).unwrap())
            / self.started.elapsed().as_secs_f64();
        self.join();
        rate
    }

    fn join(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.join();
    }
}

/// Returns `count` clients that each keep a TLS connection busy with the body of a review that does not end. They run
/// until they are dropped.
pub fn busy(count: usize, from: u8, to: SocketAddr, connector: &TlsConnector) -> JoinSet<()> {
    let head = "POST /validate HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 9999\r\n\r\n{";
    let mut clients = JoinSet::new();
    for _ in 0..count {
        let connector = connector.clone();
        clients.spawn(async move {
            loop {
                let exchange = async {
                    let name = ServerName::try_from("127.0.0.1").map_err(io::Error::other)?;
                    let mut stream = connector.connect(name, connect(from, to).await?).await?;
                    stream.write_all(head.as_bytes()).await?;
                    stream.read_to_end(&mut Vec::new()).await
                };
                let _ = timeout(PATIENCE, exchange).await;
                sleep(PAUSE).await;
            }
        });
    }
    clients
}

/// A way to hold a connection without a request.
#[derive(Clone, Copy, Debug)]
pub enum Hold {
    /// Sends nothing.
    Silent,
    /// Sends the head of a request that does not end, a byte at a time.
    SlowHead,
    /// Closes its half of the connection and never reads.
    HalfClosed,
}

/// Returns `count` clients that hold a connection, and open it again when the server closes it. They run until they are
/// dropped.
pub fn holding(count: usize, hold: Hold, from: u8, to: SocketAddr) -> JoinSet<()> {
    let mut clients = JoinSet::new();
    for _ in 0..count {
        clients.spawn(async move {
            loop {
                let exchange = async {
                    let mut stream = connect(from, to).await?;
                    match hold {
                        Hold::Silent => {}
                        Hold::SlowHead => {
                            for byte in b"GET /healthz HTTP/1.1\r\nhost: ".iter().chain([b'a'; 1000].iter()) {
                                stream.write_all(&[*byte]).await?;
                                sleep(Duration::from_millis(100)).await;
                            }
                        }
                        Hold::HalfClosed => stream.shutdown().await?,
                    }
                    stream.read_to_end(&mut Vec::new()).await
                };
                let _ = timeout(PATIENCE, exchange).await;
                sleep(PAUSE).await;
            }
        });
    }
    clients
}
