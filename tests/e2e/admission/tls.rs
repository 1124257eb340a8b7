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
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

/// Request that is not an admission review.
const REQUEST: &str =
    "POST /validate HTTP/1.1\r\nHost: webhook\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
const READ_TIMEOUT: Option<Duration> = Some(Duration::from_secs(5));

/// Returns the certificate that is served on a port. Fails if a client that trusts `bundle` rejects it.
pub async fn served(port: u16, bundle: &[u8]) -> Result<Vec<u8>, String> {
    exchange(port, bundle, None, None).await.map(|(certificate, _)| certificate)
}

/// Sends an unreadable review, and returns the response.
pub async fn answer(port: u16, bundle: &[u8]) -> Result<String, String> {
    exchange(port, bundle, None, Some(REQUEST)).await.map(|(_, answer)| answer)
}

/// Sends an unreadable review with a certificate and key of the client, as PEM, and returns the response.
pub async fn answer_to(port: u16, bundle: &[u8], certificate: &str, key: &str) -> Result<String, String> {
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    exchange(port, bundle, Some((certificate, key)), Some(REQUEST)).await.map(|(_, answer)| answer)
}

type Identity = (CertificateDer<'static>, PrivateKeyDer<'static>);

/// Returns the configuration of a client that trusts `bundle`, and presents the identity if there is one.
fn client_config_of(bundle: &[u8], identity: Option<Identity>) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(bundle) {
        roots.add(certificate.map_err(|error| format!("{error:?}"))?).map_err(|error| error.to_string())?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots);
    match identity {
        Some((certificate, key)) => {
            config.with_client_auth_cert(vec![certificate], key).map_err(|error| error.to_string())
        }
        None => Ok(config.with_no_client_auth()),
    }
}

/// Returns the configuration of a client that trusts `bundle`.
pub fn client_config(bundle: &[u8]) -> Result<ClientConfig, String> {
    client_config_of(bundle, None)
}

/// Connects to a port, sends the request if there is one, and returns certificate and response.
async fn exchange(
    port: u16,
    bundle: &[u8],
    identity: Option<Identity>,
    request: Option<&'static str>,
) -> Result<(Vec<u8>, String), String> {
    let config = Arc::new(client_config_of(bundle, identity)?);
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
