//! Proxy between the manager and the apiserver that injects faults.

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

/// Fault that is injected into a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Response with this status code, and a message that differs each time.
    Reject(u16),
    /// Response that breaks off. The request is not forwarded.
    Cut,
    /// No response, ever.
    Hang,
    /// Response that breaks off after the request was forwarded.
    CutAfterwards,
    /// No response, ever, after the request was forwarded. It is counted when it has taken effect.
    HangAfterwards,
}

/// Proxy that forwards requests as the manager's ServiceAccount, except those that meet a fault.
pub struct Proxy {
    state: ProxyState,
    kubeconfig: PathBuf,
    server: JoinHandle<()>,
}

#[derive(Clone)]
struct ProxyState {
    apiserver: Client,
    faults: Arc<Mutex<Faults>>,
    /// Counter that changes when all watches are broken off.
    breaks: watch::Sender<u32>,
}

#[derive(Default)]
struct Faults {
    /// Method, end of the path, fault.
    broken_requests: Vec<(Method, String, Fault)>,
    no_watches: bool,
    /// Times of the requests that met a fault.
    met_at: Vec<Instant>,
}

impl Proxy {
    /// Starts the proxy on loopback and writes a kubeconfig for it.
    pub async fn start(world: &World) -> Self {
        let state = ProxyState {
            apiserver: world.cluster.client_of(&world.kubeconfig, "proxy").await.unwrap(),
            faults: Arc::default(),
            breaks: watch::Sender::new(0),
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let router = Router::new().fallback(handle).with_state(state.clone());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let kubeconfig = world.cluster.folder().join(format!("proxy-{port}.kubeconfig"));
        let content = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "proxy", "cluster": {"server": format!("http://127.0.0.1:{port}")}}],
            "users": [{"name": "anonymous", "user": {}}],
            "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "anonymous"}}],
            "current-context": "proxy",
        });
        std::fs::write(&kubeconfig, content.to_string()).unwrap();
        Self { state, kubeconfig, server }
    }

    /// Returns the path of the kubeconfig that leads through the proxy.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Injects a fault into further requests with this method and end of the path, and resets the counter.
    pub fn break_requests(&self, method: Method, path_end: &str, fault: Fault) {
        let mut faults = self.state.faults.lock().unwrap();
        faults.met_at.clear();
        faults.broken_requests.push((method, path_end.to_owned(), fault));
    }

    /// Breaks off all watches and rejects new ones.
    pub fn break_watches(&self) {
        self.state.faults.lock().unwrap().no_watches = true;
        self.state.breaks.send_modify(|breaks| *breaks += 1);
    }

    /// Removes all faults.
    pub fn remove_faults(&self) {
        let mut faults = self.state.faults.lock().unwrap();
        faults.broken_requests.clear();
        faults.no_watches = false;
    }

    /// Returns the number of requests that met a fault.
    pub fn fault_count(&self) -> usize {
        self.state.faults.lock().unwrap().met_at.len()
    }

    /// Returns the intervals between requests that met a fault.
    pub fn intervals(&self) -> Vec<Duration> {
        let faults = self.state.faults.lock().unwrap();
        faults.met_at.windows(2).map(|pair| pair[1] - pair[0]).collect()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn handle(State(state): State<ProxyState>, request: Request) -> Response {
    let is_watch = request.uri().query().is_some_and(|query| query.contains("watch=true"));
    let fault = state.fault_for(&request, is_watch);
    match fault {
        Some(Fault::Reject(code)) => return rejection(code, state.faults.lock().unwrap().met_at.len()),
        Some(Fault::Cut) => return cut(),
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::CutAfterwards | Fault::HangAfterwards) | None => {}
    }
    let mut breaks = state.breaks.subscribe();
    let response = forward(&state.apiserver, request).await;
    if fault == Some(Fault::HangAfterwards) {
        state.faults.lock().unwrap().met_at.push(Instant::now());
        return std::future::pending().await;
    }
    if fault == Some(Fault::CutAfterwards) {
        return cut();
    }
    if !is_watch {
        return response;
    }
    let (head, body) = response.into_parts();
    let broken = async move { drop(breaks.changed().await) };
    let forwarded = body.into_data_stream().map(|part| part.map_err(std::io::Error::other)).take_until(broken);
    let end = stream::iter([Err(std::io::Error::other("cut"))]);
    Response::from_parts(head, Body::from_stream(forwarded.chain(end)))
}

impl ProxyState {
    fn fault_for(&self, request: &Request, is_watch: bool) -> Option<Fault> {
        let mut faults = self.faults.lock().unwrap();
        if is_watch && faults.no_watches {
            return Some(Fault::Reject(503));
        }
        let broken_requests = faults.broken_requests.iter().find(|(method, path_end, _)| {
            request.method() == *method && request.uri().path().ends_with(path_end.as_str()) && !is_watch
        });
        let fault = broken_requests.map(|(_, _, fault)| *fault)?;
        if fault != Fault::HangAfterwards {
            faults.met_at.push(Instant::now());
        }
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

fn rejection(code: u16, number: usize) -> Response {
    let status = json!({
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": format!("injected fault, number {number}"),
        "reason": "Bad",
        "code": code,
    });
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::RETRY_AFTER, "1")];
    (StatusCode::from_u16(code).unwrap(), headers, status.to_string()).into_response()
}

/// Returns a response whose body breaks off.
fn cut() -> Response {
    let broken = stream::iter([Ok("{"), Err(std::io::Error::other("cut"))]);
    Response::new(Body::from_stream(broken))
}
