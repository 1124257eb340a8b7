//! Asks the servers at their monitoring port: one request a server.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use futures::{StreamExt, stream};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Request, StatusCode, body::Bytes, client::conn::http1::handshake, header::HOST};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::{net::TcpStream, time::timeout};

use super::{
    jsz,
    look::{Look, Server, Silence},
};

/// Where a server's monitoring port is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The server's name.
    pub name: String,
    /// Where it is asked.
    pub address: SocketAddr,
    /// It has been told to stop. In lame duck mode a server gives up JetStream first, and its
    /// monitoring port last: it then looks as one does whose volume is full.
    pub stopping: bool,
}

/// How long a server may take, connecting included. One that is well takes milliseconds.
const LIMIT: Duration = Duration::from_secs(3);

/// The longest answer, in bytes: some ten thousand streams.
const LONGEST: usize = 32 << 20;

/// How many servers are asked at a time: the memory limit of the manager's pod has to hold their answers.
const AT_A_TIME: usize = 2;

/// Everything a look needs. Not the stream leaders alone: a stream without a leader would be
/// invisible.
const JETSTREAM: &str = "/jsz?accounts=1&streams=1&consumers=1&config=1";
const SERVER: &str = "/varz";
const HEALTH: &str = "/healthz";

/// Asks all servers.
pub async fn look(targets: &[Target]) -> Look {
    let servers = each(targets, |target| async move {
        let answer = get(target.address, JETSTREAM).await;
        answer.and_then(|body| server(&body, target.stopping))
    });
    Look { servers: servers.await }
}

async fn each<T, F>(targets: &[Target], ask: impl Fn(Target) -> F) -> BTreeMap<String, T>
where
    F: Future<Output = T>,
{
    let answers: Vec<_> = targets
        .iter()
        .map(|target| {
            let (name, answer) = (target.name.clone(), ask(target.clone()));
            async { (name, answer.await) }
        })
        .collect();
    stream::iter(answers).buffer_unordered(AT_A_TIME).collect().await
}

/// Which configuration each server runs with: a digest of what it read last.
pub async fn config_digests(targets: &[Target]) -> BTreeMap<String, Result<String, Silence>> {
    #[derive(Deserialize)]
    struct Varz {
        config_digest: String,
    }
    each(targets, |target| async move {
        let body = get(target.address, SERVER).await?;
        let varz: Varz = serde_json::from_slice(&body).map_err(unreadable)?;
        Ok(varz.config_digest)
    })
    .await
}

/// Whether a server has given up writing to a stream, as it says in its health; false where it does
/// not answer. Measured with NATS 2.14.2: after its volume was full it stays so until it restarts.
pub async fn has_write_error(target: &Target) -> bool {
    let Ok(Ok((_, body))) = timeout(LIMIT, ask(target.address, HEALTH)).await else { return false };
    tells_of_write_error(&body)
}

fn tells_of_write_error(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Health {
        #[serde(default)]
        error: String,
    }
    serde_json::from_slice::<Health>(body).is_ok_and(|health| health.error.contains("write error"))
}

fn server(body: &[u8], stopping: bool) -> Result<Server, Silence> {
    let server = jsz::read(body).map_err(unreadable)?;
    if stopping && server.disabled { Err(Silence("it is stopping".to_owned())) } else { Ok(server) }
}

#[expect(clippy::needless_pass_by_value, reason = "it is for map_err")]
fn unreadable(error: serde_json::Error) -> Silence {
    Silence(format!("its answer cannot be read: {error}"))
}

async fn get(address: SocketAddr, path: &str) -> Result<Bytes, Silence> {
    let late = |_| Silence(format!("no answer within {} s", LIMIT.as_secs()));
    let (status, body) =
        timeout(LIMIT, ask(address, path)).await.map_err(late)?.map_err(|cause| Silence(cause.to_string()))?;
    if status == StatusCode::OK { Ok(body) } else { Err(Silence(format!("it answers with status {status}"))) }
}

type Cause = Box<dyn std::error::Error + Send + Sync>;

async fn ask(address: SocketAddr, path: &str) -> Result<(StatusCode, Bytes), Cause> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
    let request = Request::get(path).header(HOST, address.to_string()).body(Empty::<Bytes>::new())?;
    let answer = async {
        let response = sender.send_request(request).await?;
        Ok((response.status(), Limited::new(response.into_body(), LONGEST).collect().await?.to_bytes()))
    };
    tokio::pin!(answer);
    // The connection moves the answer, and ends with it.
    tokio::select! {
        answer = &mut answer => answer,
        ended = connection => match ended {
            Ok(()) => answer.await,
            Err(cause) => Err(cause.into()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_stops_is_not_one_whose_volume_is_full() {
        const OFF: &[u8] = br#"{"server_id": "NA", "disabled": true}"#;
        assert!(server(OFF, false).unwrap().disabled);
        assert_eq!(server(OFF, true), Err(Silence("it is stopping".to_owned())));
        assert!(server(br#"{"server_id": "NA"}"#, true).is_ok(), "it still has JetStream");
    }

    #[test]
    fn a_stream_that_is_no_longer_written_to_is_told_from_one_that_is_behind() {
        for (body, expected) in [
            (r#"{"status": "ok"}"#, false),
            (r#"{"status": "unavailable", "error": "JetStream stream '$G > orders' is not current"}"#, false),
            (
                r#"{"status": "unavailable", "error": "JetStream stream '$G > orders' is not current: stream write error: expected sequence does not match store"}"#,
                true,
            ),
            ("no JSON", false),
        ] {
            assert_eq!(tells_of_write_error(body.as_bytes()), expected, "{body}");
        }
    }
}
