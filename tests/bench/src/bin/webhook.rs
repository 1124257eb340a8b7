//! Server of `cargo xtask bench admission`: the webhook of the manager without a cluster, or its floor.
//!
//! The webhook has the router, the server, the TLS configuration, the limits and the runtime of the manager. Its cluster
//! facts are constant. The floor has the same server, and answers every review with a constant after it has read the
//! body.

use std::{env, error::Error, fs, process::ExitCode, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::post,
};
use http_body_util::{BodyExt, Limited};
use nats_manager_api::{NamespacedName, rules::ClusterFacts};
use nats_manager_webhook::{
    FactSource, LARGEST_BODY, Observer, Rejection, RequestTimeouts, ReviewOutcome, ServerOptions, TlsIdentity,
    WebhookKind, router, serve,
};
use rustls::{
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::{CertifiedKey, SingleCertAndKey},
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

const USAGE: &str = "usage: bench-webhook webhook|floor PORT CERTIFICATES";
/// Response of the floor, as large as that of the webhook to a review without findings.
const CONSTANT: &str = concat!(
    r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"#,
    r#""uid":"705ab4f5-6393-11e8-b7cc-42010a800002","allowed":true}}"#
);

/// Constant facts: every resource name of the reviews may be created, in a cluster of three zones.
struct Facts;

impl FactSource for Facts {
    fn cluster_facts(&self, _: &NamespacedName, _: Option<&str>) -> ClusterFacts {
        ClusterFacts { zones: Some(3), ..ClusterFacts::default() }
    }

    fn allowed(&self) -> Option<NamespacedName> {
        Some(NamespacedName::new("kyma-system", "eventing-nats"))
    }
}

struct NoMetrics;

impl Observer for NoMetrics {
    fn reviewed(&self, _: WebhookKind, _: ReviewOutcome, _: Duration) {}
    fn handshake_rejected(&self, _: Rejection) {}
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [kind, port, certificates] = arguments.as_slice() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match run(kind, port, certificates) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-webhook: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Serves until SIGTERM, on the runtime of the manager.
fn run(kind: &str, port: &str, certificates: &str) -> Result<(), Box<dyn Error>> {
    let port: u16 = port.parse()?;
    let router = match kind {
        "webhook" => router(Arc::new(Facts), Arc::new(NoMetrics), RequestTimeouts::default()),
        "floor" => floor(),
        _ => return Err(USAGE.into()),
    };
    let identity = identity(certificates)?;
    let options = ServerOptions { lame_duck: Duration::ZERO, ..ServerOptions::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(4).build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let mut terminated = signal(SignalKind::terminate())?;
        let stop = async move {
            terminated.recv().await;
        };
        Ok(serve(listener, identity, router, Arc::new(NoMetrics), options, stop).await?)
    })
}

/// Reads `tls.crt` and `tls.key` of a folder.
fn identity(folder: &str) -> Result<TlsIdentity, Box<dyn Error>> {
    let chain =
        CertificateDer::pem_slice_iter(&fs::read(format!("{folder}/tls.crt"))?).collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(format!("{folder}/tls.key"))?;
    let certified = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())?;
    Ok(TlsIdentity { resolver: Arc::new(SingleCertAndKey::from(certified)), client_verifier: None })
}

/// Builds the router that answers with a constant.
fn floor() -> Router {
    WebhookKind::ALL.iter().fold(Router::new(), |routes, webhook| routes.route(webhook.path(), post(answer)))
}

/// Reads the body within the limit of the webhook.
async fn answer(body: Body) -> Response {
    match Limited::new(body, LARGEST_BODY).collect().await {
        Ok(_) => ([(CONTENT_TYPE, "application/json")], CONSTANT).into_response(),
        Err(_) => StatusCode::BAD_REQUEST.into_response(),
    }
}
