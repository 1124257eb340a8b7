//! Server on a loopback address, and clients that see every byte.
#![allow(dead_code, reason = "not every test needs everything")]
#![allow(unreachable_pub, reason = "a module of several tests")]

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use jiff::Timestamp;
use nats_manager_certs::{Authority, DnsNames, Resolver};
use nats_manager_webhook::{RequestTimeouts, ServerOptions, TlsIdentity, router, serve};
use rustls::{
    ALL_VERSIONS, ClientConfig, RootCertStore, SupportedProtocolVersion,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName},
    server::danger::ClientCertVerifier,
};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::oneshot,
    task::JoinHandle,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::world::{Counts, FixedFacts, create, spec};

pub const NAME: &str = "webhook.kyma-system.svc";

/// Timeout that only a defect reaches.
pub const LONG: Duration = Duration::from_secs(20);

pub struct Server {
    pub address: SocketAddr,
    pub resolver: Arc<Resolver>,
    pub counts: Arc<Counts>,
    pub authority: Authority,
    stop: Mutex<Option<oneshot::Sender<()>>>,
    task: JoinHandle<()>,
}

impl Server {
    /// Starts a server on a free port, with a certificate of a new CA.
    pub async fn start(options: ServerOptions, limits: RequestTimeouts) -> Self {
        Self::start_with(options, limits, None).await
    }

    /// Starts a server as [`Server::start`] does, which verifies its clients.
    pub async fn start_with(
        options: ServerOptions,
        limits: RequestTimeouts,
        client_verifier: Option<Arc<dyn ClientCertVerifier>>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let authority = Authority::generate(Timestamp::now()).unwrap();
        let resolver = Arc::new(Resolver::new());
        let counts = Counts::new();
        let router = router(Arc::new(FixedFacts::default()), counts.clone(), limits);
        let (stop, stopped) = oneshot::channel();
        let identity = TlsIdentity { resolver: resolver.clone(), client_verifier };
        let serving = serve(listener, identity, router, counts.clone(), options, async {
            let _ = stopped.await;
        });
        let task = tokio::spawn(async { serving.await.unwrap() });
        let server = Self { address, resolver, counts, authority, stop: Mutex::new(Some(stop)), task };
        server.renew();
        server
    }

    /// Issues a leaf certificate and serves it.
    pub fn renew(&self) {
        let names = DnsNames { dns: vec![NAME.to_owned()], addresses: Vec::new() };
        self.resolver.swap(self.authority.issue(&names, Timestamp::now()).unwrap());
    }

    pub fn stop(&self) {
        self.stop.lock().unwrap().take().unwrap().send(()).unwrap();
    }

    /// Waits until the server has ended.
    pub async fn ended(self) {
        timeout(LONG, self.task).await.unwrap().unwrap();
    }

    pub async fn connect(&self) -> io::Result<Client> {
        Client::connect(self.address, &self.authority).await
    }
}

/// TLS connection to the server.
pub struct Client(pub TlsStream<TcpStream>);

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn closes(&self) -> bool {
        self.head.to_lowercase().contains("connection: close")
    }
}

/// Certificate and key of a client.
pub type ClientIdentity = (CertificateDer<'static>, PrivateKeyDer<'static>);

pub fn connector(
    authority: &Authority,
    identity: Option<ClientIdentity>,
    versions: &[&'static SupportedProtocolVersion],
) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate().der().clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots);
    let config = match identity {
        Some((certificate, key)) => config.with_client_auth_cert(vec![certificate], key).unwrap(),
        None => config.with_no_client_auth(),
    };
    TlsConnector::from(Arc::new(config))
}

/// Builds a request that reviews a valid resource.
pub fn request() -> Vec<u8> {
    request_for(&create(&spec()))
}

pub fn request_for(review: &Value) -> Vec<u8> {
    let body = review.to_string();
    head(body.len()).into_bytes().into_iter().chain(body.into_bytes()).collect()
}

pub fn head(length: usize) -> String {
    format!(
        "POST /validate HTTP/1.1\r\nhost: {NAME}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    )
}

impl Client {
    pub async fn connect(address: SocketAddr, authority: &Authority) -> io::Result<Self> {
        Self::connect_as(address, authority, None).await
    }

    pub async fn connect_as(
        address: SocketAddr,
        authority: &Authority,
        identity: Option<ClientIdentity>,
    ) -> io::Result<Self> {
        Self::connect_with(address, &connector(authority, identity, ALL_VERSIONS)).await
    }

    pub async fn connect_with(address: SocketAddr, connector: &TlsConnector) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        // With a small buffer, the server soon waits for a client that does not read.
        socket.set_recv_buffer_size(16 << 10)?;
        let stream = socket.connect(address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from(NAME).unwrap();
        timeout(LONG, connector.connect(name, stream)).await?.map(Self)
    }

    /// Returns the certificate that the server presented.
    pub fn certificate(&self) -> CertificateDer<'static> {
        self.0.get_ref().1.peer_certificates().unwrap()[0].clone()
    }

    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes).await?;
        self.0.flush().await
    }

    /// Sends a review and reads the response.
    pub async fn ask(&mut self) -> io::Result<Answer> {
        self.send(&request()).await?;
        self.answer().await
    }

    /// Reads one response within [`LONG`].
    pub async fn answer(&mut self) -> io::Result<Answer> {
        timeout(LONG, self.read()).await?
    }

    async fn read(&mut self) -> io::Result<Answer> {
        let mut bytes = Vec::new();
        let end = loop {
            if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            self.more(&mut bytes).await?;
        };
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
        let length: usize = length.parse().unwrap();
        while bytes.len() < end + length {
            self.more(&mut bytes).await?;
        }
        let body = String::from_utf8(bytes[end..].to_vec()).unwrap();
        Ok(Answer { status: head[9..12].parse().unwrap(), head, body })
    }

    async fn more(&mut self, bytes: &mut Vec<u8>) -> io::Result<()> {
        match self.0.read_buf(bytes).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// Waits until the server ends the connection.
    pub async fn closed(&mut self) {
        let mut rest = Vec::new();
        let _ = timeout(LONG, self.0.read_to_end(&mut rest)).await.expect("the server keeps the connection");
    }
}
