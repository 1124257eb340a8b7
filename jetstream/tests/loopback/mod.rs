//! Monitoring port on loopback with the behaviour that a test configures.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// Time between two bytes of a slow server.
const PAUSE: Duration = Duration::from_millis(100);

pub(crate) const JSZ: &str = r#"{"server_id": "NA", "total": 0}"#;
pub(crate) const VARZ: &str =
    r#"{"server_id": "NA", "server_name": "n-0", "version": "2.14.10", "config_digest": "sha256:1"}"#;

/// Behaviour of a server for one path.
#[derive(Clone, Debug)]
pub(crate) enum Behaviour {
    /// Sends a status line and a body.
    Answer(&'static str, String),
    /// Sends a body that is shorter than announced, and closes the connection.
    Truncated,
    /// Sends a chunked body without an end: the first text once, the second one again and again.
    Endless(&'static str, &'static str),
    /// Sends the header, and then one byte at a time.
    Drip,
    /// Sends nothing, and keeps the connection open.
    NoResponse,
    /// Sends nothing, and closes the connection.
    Hangup,
    /// Sends bytes that are not HTTP.
    NoHttp,
}

use Behaviour::{Answer, Drip, Endless, Hangup, NoHttp, NoResponse, Truncated};

/// Builds an answer with status 200.
pub(crate) fn ok(body: &str) -> Behaviour {
    Answer("200 OK", body.to_owned())
}

/// Behaviour for `/jsz`, `/varz` and `/healthz`.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) jsz: Behaviour,
    pub(crate) varz: Behaviour,
    pub(crate) healthz: Behaviour,
    /// Paths that were requested.
    pub(crate) requested: Arc<Mutex<Vec<String>>>,
}

impl Default for Server {
    fn default() -> Self {
        Self { jsz: ok(JSZ), varz: ok(VARZ), healthz: ok(r#"{"status": "ok"}"#), requested: Arc::default() }
    }
}

impl Server {
    pub(crate) async fn start(self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(self.clone().serve(stream));
            }
        });
        address
    }

    async fn serve(self, mut stream: TcpStream) -> io::Result<()> {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(stream.read_u8().await?);
        }
        let request = String::from_utf8_lossy(&request).into_owned();
        let path = request.split([' ', '?']).nth(1).unwrap_or_default();
        self.requested.lock().unwrap().push(path.to_owned());
        let behaviour = match path {
            "/jsz" => self.jsz,
            "/varz" => self.varz,
            _ => self.healthz,
        };
        behaviour.play(stream).await
    }
}

impl Behaviour {
    async fn play(self, mut stream: TcpStream) -> io::Result<()> {
        match self {
            Answer(status, body) => {
                let text = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                stream.write_all(text.as_bytes()).await
            }
            Truncated => stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{\"server_id\": ").await,
            Endless(start, rest) => {
                let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
                stream.write_all(format!("{head}{:x}\r\n{start}\r\n", start.len()).as_bytes()).await?;
                let many = rest.repeat(10_000 / rest.len() + 1);
                loop {
                    stream.write_all(format!("{:x}\r\n{many}\r\n", many.len()).as_bytes()).await?;
                }
            }
            Drip => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n").await?;
                loop {
                    stream.write_u8(b' ').await?;
                    tokio::time::sleep(PAUSE).await;
                }
            }
            NoResponse => std::future::pending::<io::Result<Infallible>>().await.map(|_| ()),
            Hangup => Ok(()),
            NoHttp => stream.write_all(b"INFO {\"server_id\":\"NA\"}\r\n").await,
        }
    }
}
