//! TLS client that calls a replica directly, in place of the apiserver.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::Arc,
    time::Duration,
};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, Stream,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject},
};

const READ_TIMEOUT: Option<Duration> = Some(Duration::from_secs(5));

/// Returns the certificate that is served on a port. Fails if a client that trusts `bundle` rejects it.
pub async fn served(port: u16, bundle: &[u8]) -> Result<Vec<u8>, String> {
    exchange(port, bundle, None).await.map(|(certificate, _)| certificate)
}

/// Sends an unreadable review, and returns the response.
pub async fn answer(port: u16, bundle: &[u8]) -> Result<String, String> {
    let request =
        "POST /validate HTTP/1.1\r\nHost: webhook\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
    exchange(port, bundle, Some(request)).await.map(|(_, answer)| answer)
}

/// Returns the configuration of a client that trusts `bundle`.
pub fn client_config(bundle: &[u8]) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(bundle) {
        roots.add(certificate.map_err(|error| format!("{error:?}"))?).map_err(|error| error.to_string())?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// Connects to a port, sends the request if there is one, and returns certificate and response.
async fn exchange(port: u16, bundle: &[u8], request: Option<&'static str>) -> Result<(Vec<u8>, String), String> {
    let config = Arc::new(client_config(bundle)?);
    let blocking = move || -> Result<(Vec<u8>, String), Box<dyn std::error::Error>> {
        let mut connection = ClientConnection::new(config, "127.0.0.1".try_into()?)?;
        let mut socket = TcpStream::connect(("127.0.0.1", port))?;
        socket.set_read_timeout(READ_TIMEOUT)?;
        while connection.is_handshaking() {
            connection.complete_io(&mut socket)?;
        }
        let chain = connection.peer_certificates().unwrap_or_default();
        let certificate = chain.first().map(|leaf| leaf.to_vec()).unwrap_or_default();
        let mut answer = [0; 4096];
        let mut length = 0;
        if let Some(request) = request {
            let mut stream = Stream::new(&mut connection, &mut socket);
            stream.write_all(request.as_bytes())?;
            length = stream.read(&mut answer)?;
        }
        Ok((certificate, String::from_utf8_lossy(&answer[..length]).into_owned()))
    };
    tokio::task::spawn_blocking(move || blocking().map_err(|error| error.to_string())).await.unwrap()
}
