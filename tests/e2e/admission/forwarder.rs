//! A Service in front of replicas, as kube-proxy plays it: connections go to those that are ready,
//! and stay with them.

use std::{
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

use crate::manager::get;

/// From a change of readiness to its being known everywhere.
const PROPAGATION: Duration = Duration::from_secs(1);

/// Forwards until dropped.
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
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let endpoints = Endpoints::default();
        let known = endpoints.clone();
        let next = AtomicUsize::new(0);
        let accepting = tokio::spawn(async move {
            loop {
                let Ok((mut client, _)) = listener.accept().await else { continue };
                let ready: Vec<u16> =
                    known.lock().unwrap().iter().filter(|one| one.is_ready).map(|one| one.webhook_port).collect();
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

    /// Adds a replica; it gets connections while it is ready.
    pub fn add(&self, webhook_port: u16, probes_port: u16) {
        let known = self.endpoints.clone();
        let following = tokio::spawn(async move {
            loop {
                let is_ready = matches!(get(probes_port, "/readyz").await, Some((200, _)));
                sleep(PROPAGATION).await;
                for endpoint in known.lock().unwrap().iter_mut().filter(|one| one.webhook_port == webhook_port) {
                    endpoint.is_ready = is_ready;
                }
            }
        });
        self.endpoints.lock().unwrap().push(Endpoint { webhook_port, is_ready: false, following });
    }

    /// Which replicas get connections.
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
