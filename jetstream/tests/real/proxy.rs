//! Proxy in front of a monitoring port that counts the bytes of answers.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use nats_manager_jetstream::MonitoringEndpoint;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

pub(crate) struct Proxy {
    /// Address of the proxy, with the name of the server behind it.
    pub(crate) target: MonitoringEndpoint,
    read: Arc<AtomicU64>,
}

impl Proxy {
    pub(crate) async fn start(server: &MonitoringEndpoint) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = MonitoringEndpoint { address: listener.local_addr().unwrap(), ..server.clone() };
        let (to, read) = (server.address, Arc::new(AtomicU64::new(0)));
        let counted = read.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, to, counted.clone()));
            }
        });
        Self { target, read }
    }

    /// Resets the count. Returns the number of bytes since the last call.
    pub(crate) fn take(&self) -> u64 {
        self.read.swap(0, Ordering::Relaxed)
    }
}

async fn pass(client: TcpStream, to: SocketAddr, counted: Arc<AtomicU64>) -> io::Result<()> {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = TcpStream::connect(to).await?.into_split();
    tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
    let mut buffer = [0; 8192];
    loop {
        let count = from_server.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        counted.fetch_add(u64::try_from(count).unwrap_or_default(), Ordering::Relaxed);
        to_client.write_all(&buffer[..count]).await?;
    }
}
