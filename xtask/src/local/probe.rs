//! GET requests on loopback. Bodies of probes are a few bytes, so no HTTP client is needed.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Returns the body of a response with status 200. The error is the body of another response, or the cause of the
/// failure.
pub(super) async fn get(port: u16, path: &str) -> Result<String, String> {
    let ask = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut response = String::new();
        stream.read_to_string(&mut response).await?;
        std::io::Result::Ok(response)
    };
    let response = ask.await.map_err(|error| error.to_string())?;
    let (head, body) = response.split_once("\r\n\r\n").unwrap_or((&response, ""));
    let is_ok = head.split_whitespace().nth(1) == Some("200");
    if is_ok { Ok(body.to_owned()) } else { Err(body.trim().to_owned()) }
}
