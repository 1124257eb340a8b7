//! A bad line between the manager and the apiserver.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures::{StreamExt, stream};
use kube::Client;
use serde_json::json;
use tokio::{sync::watch, task::JoinHandle};

use crate::world::World;

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is answered with this code, and a message that never is the same twice.
    Refuse(u16),
    /// The connection breaks before there is an answer.
    Cut,
    /// There never is an answer.
    Hang,
    /// It is carried out, but the connection breaks before the answer is there.
    CutAfterwards,
}

/// Passes requests on as the manager's own ServiceAccount, but for those that meet a fault.
pub struct Proxy {
    line: Line,
    kubeconfig: PathBuf,
    server: JoinHandle<()>,
}

#[derive(Clone)]
struct Line {
    apiserver: Client,
    faults: Arc<Mutex<Faults>>,
    /// Changes when all watches break.
    breaks: watch::Sender<u32>,
}

#[derive(Default)]
struct Faults {
    /// Method, the end of the path, what happens.
    bad: Vec<(Method, String, Fault)>,
    no_watches: bool,
    /// When each bad request came.
    met: Vec<Instant>,
}

impl Proxy {
    pub async fn start(world: &World) -> Self {
        let line = Line {
            apiserver: world.cluster.client_of(&world.kubeconfig, "proxy").await.unwrap(),
            faults: Arc::default(),
            breaks: watch::Sender::new(0),
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let router = Router::new().fallback(pass_on).with_state(line.clone());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let kubeconfig = world.cluster.folder().join(format!("proxy-{port}.kubeconfig"));
        let content = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "proxy", "cluster": {"server": format!("http://127.0.0.1:{port}")}}],
            "users": [{"name": "nobody", "user": {}}],
            "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "nobody"}}],
            "current-context": "proxy",
        });
        std::fs::write(&kubeconfig, content.to_string()).unwrap();
        Self { line, kubeconfig, server }
    }

    /// For the manager.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// From now on these requests meet a fault.
    pub fn break_requests(&self, method: Method, path_end: &str, fault: Fault) {
        let mut faults = self.line.faults.lock().unwrap();
        faults.met.clear();
        faults.bad.push((method, path_end.to_owned(), fault));
    }

    /// Breaks the watches there are, and lets none start.
    pub fn break_watches(&self) {
        self.line.faults.lock().unwrap().no_watches = true;
        self.line.breaks.send_modify(|breaks| *breaks += 1);
    }

    /// From now on all is well.
    pub fn mend(&self) {
        let mut faults = self.line.faults.lock().unwrap();
        faults.bad.clear();
        faults.no_watches = false;
    }

    /// How many requests met a fault.
    pub fn met(&self) -> usize {
        self.line.faults.lock().unwrap().met.len()
    }

    /// The pauses between requests that met a fault.
    pub fn pauses(&self) -> Vec<Duration> {
        let faults = self.line.faults.lock().unwrap();
        faults.met.windows(2).map(|pair| pair[1] - pair[0]).collect()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn pass_on(State(line): State<Line>, request: Request) -> Response {
    let is_watch = request.uri().query().is_some_and(|query| query.contains("watch=true"));
    let fault = line.fault_for(&request, is_watch);
    match fault {
        Some(Fault::Refuse(code)) => return refusal(code, line.faults.lock().unwrap().met.len()),
        Some(Fault::Cut) => return cut(),
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::CutAfterwards) | None => {}
    }
    let mut breaks = line.breaks.subscribe();
    let response = forward(&line.apiserver, request).await;
    if fault == Some(Fault::CutAfterwards) {
        return cut();
    }
    if !is_watch {
        return response;
    }
    let (head, body) = response.into_parts();
    let broken = async move { drop(breaks.changed().await) };
    let whole = body.into_data_stream().map(|part| part.map_err(std::io::Error::other)).take_until(broken);
    let end = stream::iter([Err(std::io::Error::other("cut"))]);
    Response::from_parts(head, Body::from_stream(whole.chain(end)))
}

impl Line {
    fn fault_for(&self, request: &Request, is_watch: bool) -> Option<Fault> {
        let mut faults = self.faults.lock().unwrap();
        if is_watch && faults.no_watches {
            return Some(Fault::Refuse(503));
        }
        let bad = faults.bad.iter().find(|(method, path_end, _)| {
            request.method() == *method && request.uri().path().ends_with(path_end.as_str()) && !is_watch
        });
        let fault = bad.map(|(_, _, fault)| *fault)?;
        faults.met.push(Instant::now());
        Some(fault)
    }
}

async fn forward(apiserver: &Client, request: Request) -> Response {
    let (mut head, body) = request.into_parts();
    for name in [header::HOST, header::CONNECTION, header::CONTENT_LENGTH, header::USER_AGENT] {
        head.headers.remove(name);
    }
    let body = to_bytes(body, usize::MAX).await.unwrap();
    match apiserver.send(axum::http::Request::from_parts(head, body.to_vec().into())).await {
        Ok(response) => {
            let (mut head, body) = response.into_parts();
            head.headers.remove(header::TRANSFER_ENCODING);
            Response::from_parts(head, Body::new(body))
        }
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}

fn refusal(code: u16, number: usize) -> Response {
    let status = json!({
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": format!("the line is bad, number {number}"),
        "reason": "Bad",
        "code": code,
    });
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::RETRY_AFTER, "1")];
    (StatusCode::from_u16(code).unwrap(), headers, status.to_string()).into_response()
}

/// An answer that breaks off.
fn cut() -> Response {
    let broken = stream::iter([Ok("{"), Err(std::io::Error::other("cut"))]);
    Response::new(Body::from_stream(broken))
}
