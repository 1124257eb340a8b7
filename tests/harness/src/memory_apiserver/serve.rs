//! TLS server of the stand-in, for a manager in a process of its own.

use std::{
    fs, io,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError},
    time::Instant,
};

use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{ServerConfig, crypto::aws_lc_rs, pki_types::PrivateKeyDer};
use serde_json::json;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_rustls::TlsAcceptor;

use super::MemoryApiserver;

/// Stand-in that listens on loopback, until it is dropped.
#[derive(Debug)]
pub struct ServedApiserver {
    /// Kubeconfig that leads to it.
    pub kubeconfig: PathBuf,
    server: JoinHandle<()>,
}

impl MemoryApiserver {
    /// Serves HTTP/2 and HTTP/1.1 with TLS on loopback, as an apiserver does, and writes a kubeconfig to `folder`.
    pub async fn serve(&self, folder: &Path) -> io::Result<ServedApiserver> {
        self.serve_protocols(folder, &["h2", "http/1.1"]).await
    }

    /// Serves as [`MemoryApiserver::serve`] does, but only the protocols with these names of ALPN.
    pub async fn serve_protocols(&self, folder: &Path, protocols: &[&str]) -> io::Result<ServedApiserver> {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed([Ipv4Addr::LOCALHOST.to_string()]).map_err(io::Error::other)?;
        let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![cert.der().clone()], key))
            .map_err(io::Error::other)?;
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let ca = folder.join(format!("memory-apiserver-{port}.pem"));
        fs::write(&ca, cert.pem())?;
        let kubeconfig = folder.join(format!("memory-apiserver-{port}.kubeconfig"));
        let content = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{
                "name": "memory",
                "cluster": {"server": format!("https://127.0.0.1:{port}"), "certificate-authority": ca},
            }],
            "users": [{"name": "any", "user": {"token": "any"}}],
            "contexts": [{"name": "memory", "context": {"cluster": "memory", "user": "any"}}],
            "current-context": "memory",
        });
        fs::write(&kubeconfig, content.to_string())?;
        Ok(ServedApiserver { kubeconfig, server: tokio::spawn(self.clone().accept(listener, acceptor)) })
    }

    async fn accept(self, listener: TcpListener, acceptor: TlsAcceptor) {
        while let Ok((stream, _)) = listener.accept().await {
            self.accepted.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
            let (stand_in, acceptor) = (self.clone(), acceptor.clone());
            tokio::spawn(async move {
                // As Go's server does.
                let _ = stream.set_nodelay(true);
                // A client that breaks off is not the stand-in's failure.
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let service = service_fn(move |request| {
                    let stand_in = stand_in.clone();
                    async move { stand_in.handle(request).await }
                });
                let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
            });
        }
    }
}

impl Drop for ServedApiserver {
    fn drop(&mut self) {
        self.server.abort();
    }
}
