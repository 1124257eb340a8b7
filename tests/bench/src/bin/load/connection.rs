//! Connections to the measured server.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
};

use http_body_util::{BodyExt, Full};
use hyper::{
    Request,
    body::Bytes,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    client::Resumption,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
    version::TLS13,
};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

use crate::certificate::NAME;

/// Failure of the load generator, or a response other than 200.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("HTTP: {0}")]
    Http(#[from] hyper::Error),
    #[error("request: {0}")]
    Request(#[from] hyper::http::Error),
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    #[error("certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    #[error("CA: {0}")]
    Pem(#[from] rustls::pki_types::pem::Error),
    #[error("JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("task: {0}")]
    Task(#[from] tokio::task::JoinError),
    #[error("the server answered with the status {0}")]
    Status(u16),
    #[error("process {0} has no CPU time")]
    NoProcess(u32),
}

/// Server, and how to reach it.
#[derive(Clone)]
pub(crate) struct Target {
    address: SocketAddr,
    path: String,
    tls: TlsConnector,
}

/// Connection, with the task that drives it.
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    path: String,
}

impl Target {
    /// Creates a target. Its connections trust the CA in the file, and resume no session.
    pub(crate) fn new(address: SocketAddr, ca: &Path, path: String) -> Result<Self, LoadError> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(ca)?)?;
        let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = Resumption::disabled();
        Ok(Self { address, path, tls: TlsConnector::from(Arc::new(config)) })
    }

    /// Connects from the loopback address with this number.
    pub(crate) async fn connect(&self, number: u32) -> Result<Connection, LoadError> {
        let stream = self.dial(number).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from(NAME).map_err(io::Error::other)?;
        let stream = self.tls.connect(name, stream).await?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Connection { sender, path: self.path.clone() })
    }

    async fn dial(&self, number: u32) -> io::Result<TcpStream> {
        let [_, b, c, d] = number.to_be_bytes();
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, b, c, d)), 0))?;
        socket.connect(self.address).await
    }
}

impl Connection {
    /// Sends a review as the apiserver does. Returns status and body of the response.
    pub(crate) async fn exchange(&mut self, review: &Bytes) -> Result<(u16, Bytes), LoadError> {
        self.sender.ready().await?;
        let request = Request::post(&self.path)
            .header("host", NAME)
            .header("user-agent", "kube-apiserver-admission")
            .header("accept", "application/json, */*")
            .header("accept-encoding", "gzip")
            .header("content-type", "application/json")
            .body(Full::new(review.clone()))?;
        let response = self.sender.send_request(request).await?;
        let status = response.status().as_u16();
        Ok((status, response.into_body().collect().await?.to_bytes()))
    }

    /// Sends a review, and requires the status 200.
    pub(crate) async fn review(&mut self, review: &Bytes) -> Result<(), LoadError> {
        match self.exchange(review).await?.0 {
            200 => Ok(()),
            status => Err(LoadError::Status(status)),
        }
    }
}
