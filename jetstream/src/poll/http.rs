//! HTTP client for GET requests with limits of time and memory.

use std::{net::SocketAddr, time::Duration};

use http_body_util::Empty;
use hyper::{Request, Response, body::Bytes, body::Incoming, client::conn::http1, header::HOST};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    time::{Instant, timeout_at},
};

use super::error::PollError;

/// Number of bytes of an answer that wait in memory to be read, per connection. Bounds the headers, too.
const BUFFER: usize = 64 << 10;

/// Sends a GET request and reads the answer with `read`. Both take at most `limit`, including the connection.
pub(super) async fn get<T>(
    address: SocketAddr,
    path: &str,
    limit: Duration,
    read: impl AsyncFnOnce(Response<Incoming>) -> Result<T, PollError>,
) -> Result<T, PollError> {
    let deadline = Instant::now() + limit;
    let connected = timeout_at(deadline, TcpStream::connect(address)).await;
    let stream = connected.map_err(|_| PollError::ConnectTimeout(limit))?.map_err(PollError::Connect)?;
    let (mut sender, connection) = http1::Builder::new().max_buf_size(BUFFER).handshake(TokioIo::new(stream)).await?;
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.uri_mut() = path.parse().map_err(|_| PollError::Unusable(format!("{path} is not a path")))?;
    let host = address.to_string().parse().map_err(|_| PollError::Unusable(format!("{address} is not a host")))?;
    request.headers_mut().insert(HOST, host);
    let answer = async {
        let response = timeout_at(deadline, sender.send_request(request)).await;
        let response = response.map_err(|_| PollError::NoAnswer(limit))??;
        timeout_at(deadline, read(response)).await.map_err(|_| PollError::Incomplete(limit))?
    };
    tokio::pin!(answer);
    // The connection transfers the answer, and ends with it.
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        ended = connection => match ended {
            Ok(()) => answer.await,
            Err(cause) => Err(cause.into()),
        },
    }
}
