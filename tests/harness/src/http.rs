//! A GET request for probes, metrics and monitoring ports.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

const TIMEOUT: Duration = Duration::from_secs(5);

/// Sends a GET request, and returns the status and the body of the response. Fails after 5 s, on a response that is not
/// HTTP, and on a body that is not UTF-8. Bodies in chunks are not decoded: HTTP/1.0 asks for none.
pub async fn http_get(address: impl Into<SocketAddr>, path: &str) -> io::Result<(u16, String)> {
    let address = address.into();
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").as_bytes()).await?;
        let mut response = String::new();
        stream.read_to_string(&mut response).await?;
        parse(&response).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, response))
    };
    timeout(TIMEOUT, exchange).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

fn parse(response: &str) -> Option<(u16, String)> {
    let (head, body) = response.split_once("\r\n\r\n")?;
    let status = head.split_whitespace().nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn response_is_split_into_status_and_body() {
        let response = "HTTP/1.0 503 Service Unavailable\r\nContent-Length: 3\r\n\r\nno\n";
        assert_eq!(parse(response), Some((503, "no\n".to_owned())));
        for malformed in ["", "HTTP/1.0 200 OK\r\n", "HTTP/1.0\r\n\r\n", "HTTP/1.0 ok\r\n\r\nbody"] {
            assert_eq!(parse(malformed), None, "{malformed:?}");
        }
    }
}
