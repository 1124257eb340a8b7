//! TLS handshakes in memory, with the clock of the test.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use nats_manager_certs::{Resolver, TrustBundle};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection,
    crypto::aws_lc_rs,
    pki_types::{ServerName, UnixTime},
    time_provider::TimeProvider,
};

#[derive(Debug)]
struct At(Duration);

impl TimeProvider for At {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(self.0))
    }
}

/// Performs handshakes in TLS 1.2 and 1.3 of a client that trusts `bundle` and calls `name`, with both sides at `now`.
pub(crate) fn handshake(
    resolver: &Arc<Resolver>,
    bundle: &TrustBundle,
    name: &str,
    now: Timestamp,
) -> Result<(), String> {
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let clock = Arc::new(At(now.as_duration().try_into().unwrap()));
        let mut roots = RootCertStore::empty();
        for certificate in bundle.certificates() {
            roots.add(certificate.der().clone()).unwrap();
        }
        let client = ClientConfig::builder_with_details(provider.clone(), clock.clone())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let server = ServerConfig::builder_with_details(provider, clock)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(resolver.clone());
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let client = ClientConnection::new(Arc::new(client), name).unwrap();
        let server = ServerConnection::new(Arc::new(server)).unwrap();
        exchange(client, server).map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn exchange(mut client: ClientConnection, mut server: ServerConnection) -> Result<(), rustls::Error> {
    while client.is_handshaking() || server.is_handshaking() {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        server.read_tls(&mut wire.as_slice()).unwrap();
        server.process_new_packets()?;
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        client.read_tls(&mut wire.as_slice()).unwrap();
        client.process_new_packets()?;
    }
    Ok(())
}
