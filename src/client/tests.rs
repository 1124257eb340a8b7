//! Tests of the client on an apiserver stand-in with TLS.

use std::{future::Future, net::SocketAddr, pin::pin, task::Context};

use futures::{
    future::{join_all, try_join_all},
    task::noop_waker,
};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api,
    config::{KubeConfigOptions, Kubeconfig},
};
use nats_manager_harness::{MemoryApiserver, free_address, memory_apiserver::ServedApiserver};
use tempfile::TempDir;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    time::{Duration, timeout},
};

use super::*;

/// Less than the limit of a request.
const LIMIT: Duration = Duration::from_secs(20);

/// Stand-in with TLS, and the configuration of its client.
struct World {
    apiserver: MemoryApiserver,
    config: Config,
    _served: ServedApiserver,
    _folder: TempDir,
}

impl World {
    async fn new(protocols: &[&str]) -> Self {
        let apiserver = MemoryApiserver::default();
        let folder = tempfile::tempdir().unwrap();
        let served = apiserver.serve_protocols(folder.path(), protocols).await.unwrap();
        let kubeconfig = Kubeconfig::read_from(&served.kubeconfig).unwrap();
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
        Self { apiserver, config, _served: served, _folder: folder }
    }

    fn secrets(&self) -> Api<Secret> {
        Api::namespaced(client(self.config.clone(), &Metrics::new()).unwrap(), "a")
    }

    fn address(&self) -> SocketAddr {
        self.config.cluster_url.authority().unwrap().as_str().parse().unwrap()
    }
}

#[tokio::test]
async fn requests_share_one_connection_by_http_2_only() {
    for (protocols, most) in [(&["h2", "http/1.1"][..], 1), (&["http/1.1"], 20)] {
        let world = World::new(protocols).await;
        let secrets = world.secrets();
        for _ in 0..2 {
            let found = timeout(LIMIT, try_join_all((0..20).map(|_| secrets.get_opt("b")))).await.unwrap().unwrap();
            assert_eq!(found, vec![None; 20]);
        }
        let connections = world.apiserver.accepted().len();
        assert!((1..=most).contains(&connections), "{protocols:?}: {connections} connections");
        // A stand-in with one protocol must not be measured by the other.
        assert_eq!(connections == 1, protocols.contains(&"h2"), "{protocols:?}: {connections} connections");
    }
}

#[tokio::test]
async fn request_that_is_not_polled_delays_no_other() {
    let world = World::new(&["h2"]).await;
    let secrets = world.secrets();
    let mut unpolled = pin!(secrets.get_opt("b"));
    let waker = noop_waker();
    // It is the first, so it opens the connection.
    while world.apiserver.accepted().is_empty() {
        assert!(unpolled.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        tokio::task::yield_now().await;
    }
    assert_eq!(timeout(LIMIT, secrets.get_opt("c")).await.unwrap().unwrap(), None);
    assert_eq!(unpolled.await.unwrap(), None);
    assert_eq!(world.apiserver.accepted().len(), 1);
}

#[tokio::test]
async fn request_without_an_answer_delays_no_other() {
    let world = World::new(&["h2"]).await;
    let secrets = world.secrets();
    // None is answered before all have arrived.
    world.apiserver.hold_until(20);
    let found = timeout(LIMIT, try_join_all((0..20).map(|_| secrets.get_opt("b")))).await.unwrap().unwrap();
    assert_eq!(found, vec![None; 20]);
    assert_eq!(world.apiserver.accepted().len(), 1);
}

#[tokio::test]
async fn unreachable_apiserver_fails_each_request() {
    let mut world = World::new(&["h2"]).await;
    world.config.cluster_url = format!("https://{}", free_address().unwrap()).parse().unwrap();
    let secrets = world.secrets();
    for _ in 0..2 {
        let failed = timeout(LIMIT, join_all((0..20).map(|_| secrets.get_opt("b")))).await.unwrap();
        assert!(failed.iter().all(Result::is_err), "{failed:?}");
    }
}

#[tokio::test]
async fn connection_without_response_is_replaced() {
    let mut world = World::new(&["h2"]).await;
    let network = Network::start(world.address()).await;
    world.config.cluster_url = format!("https://{}", network.address).parse().unwrap();
    let secrets = world.secrets();
    assert_eq!(secrets.get_opt("b").await.unwrap(), None);
    network.lose_packets();
    // Longer than the checks of the connection together, and far below the limit of a request.
    let lost = timeout(Duration::from_secs(15), secrets.get_opt("b")).await.expect("the connection has ended");
    assert!(lost.is_err());
    assert_eq!(timeout(LIMIT, secrets.get_opt("b")).await.unwrap().unwrap(), None);
    assert_eq!(world.apiserver.accepted().len(), 2);
}

#[tokio::test]
async fn certificate_is_checked_against_the_name_of_the_kubeconfig() {
    let mut world = World::new(&["h2"]).await;
    world.config.cluster_url = format!("https://localhost:{}", world.address().port()).parse().unwrap();
    // The certificate is for the address.
    assert!(timeout(LIMIT, world.secrets().get_opt("b")).await.unwrap().is_err());
    world.config.tls_server_name = Some("127.0.0.1".to_owned());
    assert_eq!(timeout(LIMIT, world.secrets().get_opt("b")).await.unwrap().unwrap(), None);
    world.config.tls_server_name = Some("no name".to_owned());
    assert!(client(world.config, &Metrics::new()).is_err());
}

#[tokio::test]
async fn proxy_is_rejected() {
    let mut config = Config::new("https://127.0.0.1:1".parse().unwrap());
    for proxy in ["http://127.0.0.1:2", "socks5://127.0.0.1:2", "ftp://127.0.0.1:2"] {
        config.proxy_url = Some(proxy.parse().unwrap());
        let error = client(config.clone(), &Metrics::new()).err().unwrap().to_string();
        assert!(error.contains(proxy), "{error}");
    }
}

/// Network in front of a server, which can lose all further packets of the connections through it.
struct Network {
    address: SocketAddr,
    losses: watch::Sender<()>,
}

impl Network {
    async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let losses = watch::Sender::new(());
        let network = losses.clone();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut lost = network.subscribe();
                tokio::spawn(async move {
                    let mut server = TcpStream::connect(server).await.unwrap();
                    tokio::select! {
                        _ = copy_bidirectional(&mut client, &mut server) => {}
                        // Both stay open without an answer.
                        _ = lost.changed() => std::future::pending().await,
                    }
                });
            }
        });
        Self { address, losses }
    }

    fn lose_packets(&self) {
        self.losses.send_replace(());
    }
}
