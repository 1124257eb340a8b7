//! Stand-in for a Service with kube-proxy: connections go to ready replicas, and stay with them.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::sleep,
};

use crate::manager::http_get;

/// Delay between a change of readiness and its effect on new connections.
const PROPAGATION: Duration = Duration::from_secs(1);

/// Forwarder of connections; stops when dropped.
pub struct Forwarder {
    pub port: u16,
    endpoints: Endpoints,
    accepting: JoinHandle<()>,
}

type Endpoints = Arc<Mutex<Vec<Endpoint>>>;

struct Endpoint {
    webhook_port: u16,
    is_ready: bool,
    following: JoinHandle<()>,
}

impl Forwarder {
    /// Starts a forwarder without replicas on a free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let endpoints = Endpoints::default();
        let shared = endpoints.clone();
        let next = AtomicUsize::new(0);
        let accepting = tokio::spawn(async move {
            loop {
                let Ok((mut client, _)) = listener.accept().await else { continue };
                let ready: Vec<u16> =
                    shared.lock().unwrap().iter().filter(|one| one.is_ready).map(|one| one.webhook_port).collect();
                let Some(to) = ready.get(next.fetch_add(1, Ordering::Relaxed) % ready.len().max(1)).copied() else {
                    continue;
                };
                tokio::spawn(async move {
                    if let Ok(mut replica) = TcpStream::connect(("127.0.0.1", to)).await {
                        let _ = client.set_nodelay(true);
                        let _ = replica.set_nodelay(true);
                        let _ = copy_bidirectional(&mut client, &mut replica).await;
                    }
                });
            }
        });
        Self { port, endpoints, accepting }
    }

    /// Adds a replica, which gets connections while it is ready.
    pub fn add(&self, webhook_port: u16, probes: SocketAddr) {
        let shared = self.endpoints.clone();
        let following = tokio::spawn(async move {
            loop {
                let is_ready = matches!(http_get(probes, "/readyz").await, Ok((200, _)));
                sleep(PROPAGATION).await;
                for endpoint in shared.lock().unwrap().iter_mut().filter(|one| one.webhook_port == webhook_port) {
                    endpoint.is_ready = is_ready;
                }
            }
        });
        self.endpoints.lock().unwrap().push(Endpoint { webhook_port, is_ready: false, following });
    }

    /// Returns the webhook ports of the replicas that get connections.
    pub fn ready(&self) -> Vec<u16> {
        self.endpoints.lock().unwrap().iter().filter(|one| one.is_ready).map(|one| one.webhook_port).collect()
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.accepting.abort();
        for endpoint in self.endpoints.lock().unwrap().iter() {
            endpoint.following.abort();
        }
    }
}
